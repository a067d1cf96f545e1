//! kafka-python's integration tests, from its source package.
//!
//! They are run as they are. What its package leaves out of `test/` lies in `tests/suites/kafka-python` and is placed beside.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::process::fill_once;
use super::pytest::{collect, outcome, pytest, unpack_source};
use super::{Address, Outcome, Suite};
use crate::root;

const VERSION: &str = "3.0.12";
const PREFIX: &str = "test/integration/";

pub(super) struct KafkaPython;

impl Suite for KafkaPython {
    fn name(&self) -> &'static str {
        "kafka-python"
    }

    fn version(&self) -> String {
        format!("kafka-python {VERSION} (PyPI), test/integration")
    }

    fn prepare(&self) -> Result<()> {
        let directory = directory();
        fill_once(&directory, || {
            unpack_source(self.name(), VERSION, &directory)?;
            for beside in fs::read_dir(root().join("tests/suites/kafka-python"))? {
                let beside = beside?.path();
                if let Some(name) = beside
                    .file_name()
                    .filter(|_| beside.extension().is_some_and(|end| end == "py"))
                {
                    fs::copy(&beside, directory.join("test").join(name))?;
                }
            }
            Ok(())
        })
    }

    fn tests(&self) -> Result<Vec<String>> {
        collect(with_kafka("localhost:0")?, &[PREFIX], PREFIX)
    }

    fn broker_arguments(&self, _test: &str) -> Vec<&'static str> {
        // As its fixtures configure the broker that they start themselves.
        let groups = [
            "--group-min-session-timeout-ms",
            "1000",
            "--group-initial-rebalance-delay-ms",
            "0",
        ];
        [&["--num-partitions", "4"], groups.as_slice()].concat()
    }

    fn run(&self, test: &str, broker: &Address, directory: &Path) -> Result<Outcome> {
        outcome(with_kafka(&broker.client)?, &format!("{PREFIX}{test}"), directory)
    }
}

fn directory() -> PathBuf {
    root().join("target/suites/kafka-python")
}

fn with_kafka(bootstrap: &str) -> Result<Command> {
    let mut pytest = pytest(&directory())?;
    pytest
        .env("KAFKA_URI", format!("kafka://{bootstrap}"))
        .env("KAFKA_VERSION", "4.2.0")
        // Where Apache Kafka would be; the fixtures only look whether it is there.
        .env("KAFKA_ROOT", directory());
    Ok(pytest)
}

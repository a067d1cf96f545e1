//! kafka-python's integration tests, from its source package.
//!
//! They are run as they are. What its package leaves out of `test/` lies in `tests/suites/kafka-python` and is placed beside.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::process::{command, fill_once, output, run, run_within};
use super::{Outcome, Suite};
use crate::root;

const VERSION: &str = "3.0.12";
const LIMIT: Duration = Duration::from_secs(180);
const PIP: [&str; 6] = [
    "-m",
    "pip",
    "--quiet",
    "--disable-pip-version-check",
    "--no-input",
    "--isolated",
];

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
            // What it brings along is in the virtual environment; only its own source is wanted.
            run(command(venv()?)
                .args(PIP)
                .args([
                    "download",
                    "--no-deps",
                    "--no-binary",
                    ":all:",
                    "--no-build-isolation",
                ])
                .arg(format!("kafka-python=={VERSION}"))
                .current_dir(&directory))?;
            let archive = format!("kafka_python-{VERSION}.tar.gz");
            let unpack = ["--extract", "--file", &archive, "--strip-components=1"];
            run(command("tar").args(unpack).current_dir(&directory))?;
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
        let said = output(pytest("localhost:0")?.args(["--collect-only", "--quiet", "test/integration"]))?;
        let prefix = "test/integration/";
        Ok(said
            .lines()
            .filter_map(|line| line.strip_prefix(prefix))
            .map(str::to_owned)
            .collect())
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

    fn run(&self, test: &str, bootstrap: &str, directory: &Path) -> Result<Outcome> {
        let log = directory.join("log");
        let test = format!("test/integration/{test}");
        let options = ["--quiet", "-r", "a", "--tb=short"];
        let status = run_within(pytest(bootstrap)?.args(options).arg(test), LIMIT, &log)?;
        let said = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        let verdict = said
            .lines()
            .rev()
            .find_map(verdict)
            .unwrap_or_default()
            .to_owned();
        Ok(match status {
            None => Outcome::NotPassed(format!("it did not end within {} s", LIMIT.as_secs())),
            // A test that skips itself ends well too, and one that is expected to fail.
            Some(status) if status.success() && verdict.is_empty() => Outcome::Passed,
            Some(_) => Outcome::NotPassed(verdict),
        })
    }
}

/// What pytest's short summary says of a test that did not pass.
fn verdict(line: &str) -> Option<&str> {
    let states = ["FAILED ", "ERROR ", "SKIPPED ", "XFAIL ", "XPASS "];
    states.iter().any(|state| line.starts_with(state)).then_some(line)
}

fn directory() -> PathBuf {
    root().join("target/suites/kafka-python")
}

/// Runs where its source lies, so that this is what is imported.
fn pytest(bootstrap: &str) -> Result<std::process::Command> {
    let mut pytest = command(venv()?);
    pytest
        .args(["-m", "pytest", "-p", "no:cacheprovider"])
        .env("KAFKA_URI", format!("kafka://{bootstrap}"))
        .env("KAFKA_VERSION", "4.2.0")
        // Where Apache Kafka would be; the fixtures only look whether it is there.
        .env("KAFKA_ROOT", directory())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(directory());
    Ok(pytest)
}

/// The interpreter of a virtual environment that has what the suites want of Python.
pub(super) fn venv() -> Result<PathBuf> {
    let venv = root().join("target/suites/venv");
    let python = venv.join("bin/python");
    let requirements = root().join("tests/suites/requirements.txt");
    let stamp = venv.join("requirements.txt");
    let wanted = fs::read_to_string(&requirements)?;
    if fs::read_to_string(&stamp).is_ok_and(|there| there == wanted) {
        return Ok(python);
    }
    if venv.exists() {
        fs::remove_dir_all(&venv)?;
    }
    run(command("python3").args(["-m", "venv"]).arg(&venv))?;
    run(command(&python)
        .args(PIP)
        .args(["install", "--no-deps", "--requirement"])
        .arg(&requirements))
    .context("what tests/suites/requirements.txt names could not be installed")?;
    fs::write(stamp, wanted)?;
    Ok(python)
}

//! The suites of AMQP clients in Python: amqpstorm's functional tests, which lie in its wheel, and the integration tests in the
//! source packages of rabbitpy, kombu and py-amqp. Nothing of them is changed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use super::process::fill_once;
use super::pytest::{collect, outcome, pytest, unpack_source, unpack_wheel};
use super::{Address, Outcome, Protocol, Suite};
use crate::root;

/// Where it is an unchangeable part of a test. Firth listens on it at an address of the test's own.
const PORT: &str = "5672";

pub(super) struct AmqpPython {
    name: &'static str,
    package: &'static str,
    version: &'static str,
    is_wheel: bool,
    paths: &'static [&'static str],
    /// What the names of its tests begin with, and need not be said.
    prefix: &'static str,
    environment: fn(&mut Command, &Address) -> Result<()>,
}

pub(super) const AMQPSTORM: AmqpPython = AmqpPython {
    name: "amqpstorm",
    package: "amqpstorm",
    version: "3.1.4",
    is_wheel: true,
    paths: &["amqpstorm/tests/functional"],
    prefix: "amqpstorm/tests/functional/",
    environment: amqpstorm,
};

pub(super) const RABBITPY: AmqpPython = AmqpPython {
    name: "rabbitpy",
    package: "rabbitpy",
    version: "3.0.2",
    is_wheel: false,
    paths: &["tests/test_integration.py", "tests/integration"],
    prefix: "tests/",
    environment: |pytest, broker| {
        pytest.env(
            "RABBITMQ_URL",
            format!("amqp://guest:guest@{}/%2f", broker.client),
        );
        Ok(())
    },
};

pub(super) const KOMBU: AmqpPython = AmqpPython {
    name: "kombu",
    package: "kombu",
    version: "5.7.0",
    is_wheel: false,
    paths: &["t/integration/test_py_amqp.py"],
    prefix: "t/integration/test_py_amqp.py::",
    environment: host_and_port,
};

pub(super) const PY_AMQP: AmqpPython = AmqpPython {
    name: "py-amqp",
    package: "amqp",
    version: "5.4.2",
    is_wheel: false,
    // The other file beside it speaks to no broker.
    paths: &["t/integration/test_rmq.py"],
    prefix: "t/integration/test_rmq.py::",
    environment: host_and_port,
};

impl Suite for AmqpPython {
    fn name(&self) -> &'static str {
        self.name
    }

    fn version(&self) -> String {
        format!("{} {} (PyPI), {}", self.name, self.version, self.paths.join(", "))
    }

    fn protocol(&self) -> Protocol {
        Protocol::Amqp
    }

    fn prepare(&self) -> Result<()> {
        let directory = self.directory();
        fill_once(&directory, || {
            let unpack = if self.is_wheel {
                unpack_wheel
            } else {
                unpack_source
            };
            unpack(self.package, self.version, &directory)
        })
    }

    fn tests(&self) -> Result<Vec<String>> {
        let nobody = Address {
            client: format!("127.0.0.1:{PORT}"),
            http: "http://127.0.0.1:15672".to_owned(),
        };
        collect(self.with_amqp(&nobody)?, self.paths, self.prefix)
    }

    fn run(&self, test: &str, broker: &Address, directory: &Path) -> Result<Outcome> {
        outcome(
            self.with_amqp(broker)?,
            &format!("{}{test}", self.prefix),
            directory,
        )
    }
}

impl AmqpPython {
    fn directory(&self) -> PathBuf {
        root().join("target/suites").join(self.name)
    }

    fn with_amqp(&self, broker: &Address) -> Result<Command> {
        let mut pytest = pytest(&self.directory())?;
        (self.environment)(&mut pytest, broker)?;
        Ok(pytest)
    }
}

fn host_and_port(pytest: &mut Command, broker: &Address) -> Result<()> {
    let (host, port) = broker.host_and_port()?;
    pytest.env("RABBITMQ_HOST", host).env("RABBITMQ_5672_TCP", port);
    Ok(())
}

/// All of its variables: those that are not set name a broker on the internet.
fn amqpstorm(pytest: &mut Command, broker: &Address) -> Result<()> {
    let (host, port) = broker.host_and_port()?;
    if port != PORT {
        bail!(
            "amqpstorm's tests only know port {PORT}, at any address; {} has another",
            broker.client
        );
    }
    pytest
        .env("AMQP_BROKER", "rabbitmq")
        .env("AMQP_HOST", host)
        .env("AMQP_USERNAME", "guest")
        .env("AMQP_PASSWORD", "guest")
        .env("AMQP_URI", format!("amqp://guest:guest@{}/%2F", broker.client))
        .env("AMQP_HTTP_URL", &broker.http)
        .env("AMQP_SSL_URI", format!("amqps://guest:guest@{host}:5671/%2F"))
        .env("AMQP_SSL_HOST", host)
        .env("AMQP_CAFILE", "/nonexistent")
        .env("AMQP_CERTFILE", "/nonexistent")
        .env("AMQP_KEYFILE", "/nonexistent");
    Ok(())
}

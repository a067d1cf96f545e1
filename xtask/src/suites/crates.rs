//! Suites that lie in crates: rust-rdkafka's, lapin's and amqprs's.
//!
//! A package of our own compiles them, with the crate from the registry: so a crate is compiled once for these tests and for
//! the program in `tests/clients`, whose target directory this is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::administration::add_user;
use super::process::{command, fill_once, output, run, run_within};
use super::{Address, Outcome, Protocol, Suite};
use crate::root;

const LIMIT: Duration = Duration::from_secs(180);

pub(super) struct Crate {
    /// As the directory in `tests/suites` is called.
    name: &'static str,
    package: &'static str,
    version: &'static str,
    protocol: Protocol,
    /// Below `target/clients`.
    target: &'static str,
    broker_arguments: &'static [&'static str],
    /// Name and password of the user that its tests are, if not `guest`.
    user: Option<(&'static str, &'static str)>,
    environment: fn(&mut Command, &Address),
}

pub(super) const RUST_RDKAFKA: Crate = Crate {
    name: "rust-rdkafka",
    package: "rdkafka",
    version: "0.39.0",
    protocol: Protocol::Kafka,
    target: "rdkafka",
    // As in its docker-compose.yaml.
    broker_arguments: &["--num-partitions", "3"],
    user: None,
    environment: |cargo, broker| {
        cargo
            .env("KAFKA_HOST", &broker.client)
            .env("KAFKA_VERSION", "4.2.0");
    },
};

pub(super) const LAPIN: Crate = Crate {
    name: "lapin",
    package: "lapin",
    version: "4.12.3",
    protocol: Protocol::Amqp,
    target: "toolchains/cargo",
    broker_arguments: &[],
    user: None,
    environment: |cargo, broker| {
        cargo.env("AMQP_ADDR", format!("amqp://{}/%2f", broker.client));
    },
};

pub(super) const AMQPRS: Crate = Crate {
    name: "amqprs",
    package: "amqprs",
    version: "2.1.5",
    protocol: Protocol::Amqp,
    target: "toolchains/cargo",
    broker_arguments: &[],
    user: Some(("user", "bitnami")),
    environment: |cargo, broker| {
        cargo.env("AMQP_ADDRESS", &broker.client);
    },
};

impl Suite for Crate {
    fn name(&self) -> &'static str {
        self.name
    }

    fn version(&self) -> String {
        format!("{} {} (crates.io), tests/", self.name, self.version)
    }

    fn protocol(&self) -> Protocol {
        self.protocol
    }

    fn prepare(&self) -> Result<()> {
        let (directory, ours) = (self.directory(), root().join("tests/suites").join(self.name));
        fill_once(&directory, || {
            fs::create_dir(directory.join("src"))?;
            for name in ["Cargo.toml", "Cargo.lock"] {
                fs::copy(ours.join(name), directory.join(name))?;
            }
            fs::write(directory.join("src/lib.rs"), "")?;
            let tests = self.crate_directory()?.join("tests");
            run(command("cp").arg("-r").arg(tests).arg(&directory))?;
            let common = ours.join("common.rs.in");
            if common.exists() {
                fs::copy(common, directory.join("tests/common/mod.rs"))?;
            }
            run(self.cargo().args(["test", "--quiet", "--no-run"]))?;
            Ok(())
        })
    }

    fn tests(&self) -> Result<Vec<String>> {
        let mut all = Vec::new();
        let tests = self.directory().join("tests");
        let mut files: Vec<_> = fs::read_dir(tests)?.collect::<Result<_, _>>()?;
        files.sort_by_key(fs::DirEntry::file_name);
        for file in files {
            let path = file.path();
            let (Some(name), true) = (path.file_stem(), path.extension().is_some_and(|end| end == "rs"))
            else {
                continue;
            };
            let name = name.to_string_lossy();
            let said = output(
                self.cargo()
                    .args(["test", "--quiet", "--test", &name, "--", "--list"]),
            )?;
            let tests = said.lines().filter_map(|line| line.strip_suffix(": test"));
            all.extend(tests.map(|test| format!("{name}/{test}")));
        }
        Ok(all)
    }

    fn broker_arguments(&self, _test: &str) -> Vec<&'static str> {
        self.broker_arguments.to_vec()
    }

    fn administer(&self, broker: &Address) -> Result<()> {
        match self.user {
            Some((name, password)) => add_user(broker, name, password),
            None => Ok(()),
        }
    }

    fn run(&self, test: &str, broker: &Address, directory: &Path) -> Result<Outcome> {
        let (file, name) = test.split_once('/').context("a test is FILE/NAME")?;
        let log = directory.join("log");
        let options = ["--exact", "--nocapture", "--include-ignored"];
        let mut cargo = self.cargo();
        (self.environment)(&mut cargo, broker);
        let status = run_within(
            cargo
                .args(["test", "--quiet", "--test", file, "--", name])
                .args(options)
                .env("RUST_LOG", "off"),
            LIMIT,
            &log,
        )?;
        let said = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        Ok(match status {
            None => Outcome::NotPassed(format!("it did not end within {} s", LIMIT.as_secs())),
            Some(status) if status.success() && said.contains("test result: ok. 1 passed") => Outcome::Passed,
            Some(_) => Outcome::NotPassed(panic_message(&said)),
        })
    }
}

impl Crate {
    fn directory(&self) -> PathBuf {
        root().join("target/suites").join(self.name)
    }

    fn cargo(&self) -> Command {
        let mut cargo = command("cargo");
        cargo.current_dir(self.directory()).env(
            "CARGO_TARGET_DIR",
            root().join("target/clients").join(self.target),
        );
        // Cargo takes the command before its options.
        cargo
    }

    /// Where Cargo unpacked the crate.
    fn crate_directory(&self) -> Result<PathBuf> {
        let said = output(
            self.cargo()
                .args(["metadata", "--locked", "--format-version", "1"]),
        )?;
        let manifest = format!("/{}-{}/Cargo.toml", self.package, self.version);
        let found = said
            .split("\"manifest_path\":\"")
            .filter_map(|rest| rest.split('"').next())
            .find(|path| path.ends_with(&manifest));
        let found = found.with_context(|| format!("the crate {} is among the dependencies", self.package))?;
        ensure!(Path::new(found).exists(), "{found} was not unpacked");
        Ok(Path::new(found)
            .parent()
            .context("a manifest lies in a directory")?
            .to_path_buf())
    }
}

/// The line after `thread ... panicked at`.
fn panic_message(said: &str) -> String {
    let mut lines = said.lines().skip_while(|line| !line.contains("panicked at"));
    lines
        .nth(1)
        .unwrap_or("it did not pass, and did not say why")
        .to_owned()
}

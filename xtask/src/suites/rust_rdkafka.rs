//! rust-rdkafka's tests, from its crate.
//!
//! A package of our own compiles them, with the crate from the registry: so librdkafka is compiled once for these tests and for
//! the program in `tests/clients/rdkafka`, whose target directory this is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::process::{command, fill_once, output, run, run_within};
use super::{Outcome, Suite};
use crate::root;

const VERSION: &str = "0.39.0";
const LIMIT: Duration = Duration::from_secs(180);

pub(super) struct RustRdkafka;

impl Suite for RustRdkafka {
    fn name(&self) -> &'static str {
        "rust-rdkafka"
    }

    fn version(&self) -> String {
        format!("rust-rdkafka {VERSION} (crates.io), tests/")
    }

    fn prepare(&self) -> Result<()> {
        let directory = directory();
        fill_once(&directory, || {
            fs::create_dir(directory.join("src"))?;
            for name in ["Cargo.toml", "Cargo.lock"] {
                fs::copy(
                    root().join("tests/suites/rust-rdkafka").join(name),
                    directory.join(name),
                )?;
            }
            fs::write(directory.join("src/lib.rs"), "")?;
            let tests = crate_directory()?.join("tests");
            run(command("cp").arg("-r").arg(tests).arg(&directory))?;
            run(cargo().args(["test", "--quiet", "--no-run"]))?;
            Ok(())
        })
    }

    fn tests(&self) -> Result<Vec<String>> {
        let mut all = Vec::new();
        let mut files: Vec<_> = fs::read_dir(directory().join("tests"))?.collect::<Result<_, _>>()?;
        files.sort_by_key(fs::DirEntry::file_name);
        for file in files {
            let path = file.path();
            let (Some(name), true) = (path.file_stem(), path.extension().is_some_and(|end| end == "rs"))
            else {
                continue;
            };
            let name = name.to_string_lossy();
            let said = output(cargo().args(["test", "--quiet", "--test", &name, "--", "--list"]))?;
            let tests = said.lines().filter_map(|line| line.strip_suffix(": test"));
            all.extend(tests.map(|test| format!("{name}/{test}")));
        }
        Ok(all)
    }

    fn broker_arguments(&self, _test: &str) -> Vec<&'static str> {
        // As in its docker-compose.yaml.
        vec!["--num-partitions", "3"]
    }

    fn run(&self, test: &str, bootstrap: &str, directory: &Path) -> Result<Outcome> {
        let (file, name) = test.split_once('/').context("a test is FILE/NAME")?;
        let log = directory.join("log");
        let options = ["--exact", "--nocapture", "--include-ignored"];
        let status = run_within(
            cargo()
                .args(["test", "--quiet", "--test", file, "--", name])
                .args(options)
                .env("KAFKA_HOST", bootstrap)
                .env("KAFKA_VERSION", "4.2.0")
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

/// The line after `thread ... panicked at`.
fn panic_message(said: &str) -> String {
    let mut lines = said.lines().skip_while(|line| !line.contains("panicked at"));
    lines
        .nth(1)
        .unwrap_or("it did not pass, and did not say why")
        .to_owned()
}

fn directory() -> PathBuf {
    root().join("target/suites/rust-rdkafka")
}

fn cargo() -> Command {
    let mut cargo = command("cargo");
    cargo
        .current_dir(directory())
        .env("CARGO_TARGET_DIR", root().join("target/clients/rdkafka"));
    // Cargo takes the command before its options.
    cargo
}

/// Where Cargo unpacked the crate.
fn crate_directory() -> Result<PathBuf> {
    let said = output(cargo().args(["metadata", "--locked", "--format-version", "1"]))?;
    let manifest = format!("/rdkafka-{VERSION}/Cargo.toml");
    let found = said
        .split("\"manifest_path\":\"")
        .filter_map(|rest| rest.split('"').next())
        .find(|path| path.ends_with(&manifest));
    let found = found.context("the crate rdkafka is among the dependencies")?;
    ensure!(Path::new(found).exists(), "{found} was not unpacked");
    Ok(Path::new(found)
        .parent()
        .context("a manifest lies in a directory")?
        .to_path_buf())
}

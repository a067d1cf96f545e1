//! Suites in Python: what they are fetched with, and what pytest says of a test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Outcome;
use super::process::{command, output, run, run_within};
use crate::root;

const LIMIT: Duration = Duration::from_secs(180);
const PIP: [&str; 6] = [
    "-m",
    "pip",
    "--quiet",
    "--disable-pip-version-check",
    "--no-input",
    "--isolated",
];

/// Puts a package's source where its tests run.
pub(super) fn unpack_source(package: &str, version: &str, directory: &Path) -> Result<()> {
    // What it brings along is in the virtual environment; only its own source is wanted.
    let options = [
        "download",
        "--no-deps",
        "--no-binary",
        ":all:",
        "--no-build-isolation",
    ];
    run(command(venv()?)
        .args(PIP)
        .args(options)
        .arg(format!("{package}=={version}"))
        .current_dir(directory))?;
    let archive = format!("{}-{version}.tar.gz", package.replace('-', "_"));
    let unpack = ["--extract", "--file", &archive, "--strip-components=1"];
    run(command("tar").args(unpack).current_dir(directory))
}

/// Puts a package there as it is installed, of which its tests are a part.
pub(super) fn unpack_wheel(package: &str, version: &str, directory: &Path) -> Result<()> {
    let options = ["install", "--no-deps", "--no-compile", "--target"];
    run(command(venv()?)
        .args(PIP)
        .args(options)
        .arg(directory)
        .arg(format!("{package}=={version}")))
}

/// pytest where the source lies, so that this is what is imported.
pub(super) fn pytest(directory: &Path) -> Result<Command> {
    let mut pytest = command(venv()?);
    pytest
        .args(["-m", "pytest", "-p", "no:cacheprovider"])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(directory);
    Ok(pytest)
}

/// All tests that there are in `paths`, in the order in which they run. Their names are what follows `prefix`.
pub(super) fn collect(mut pytest: Command, paths: &[&str], prefix: &str) -> Result<Vec<String>> {
    let said = output(pytest.args(["--collect-only", "--quiet"]).args(paths))?;
    Ok(said
        .lines()
        .filter_map(|line| line.strip_prefix(prefix))
        .map(str::to_owned)
        .collect())
}

/// Runs one test, whose log is written to `directory`.
pub(super) fn outcome(mut pytest: Command, test: &str, directory: &Path) -> Result<Outcome> {
    let log = directory.join("log");
    let options = ["--quiet", "-r", "a", "--tb=short"];
    let status = run_within(pytest.args(options).arg(test), LIMIT, &log)?;
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

/// What pytest's short summary says of a test that did not pass.
fn verdict(line: &str) -> Option<&str> {
    let states = ["FAILED ", "ERROR ", "SKIPPED ", "XFAIL ", "XPASS "];
    states.iter().any(|state| line.starts_with(state)).then_some(line)
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

//! Programs that are run and waited for, with a bound on their time.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::root;

/// Measures how long something really takes.
pub(super) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(
        clippy::disallowed_methods,
        reason = "the table shows how long a test really took"
    )]
    pub(super) fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A program that takes its binaries from target/, and reads nothing from the terminal.
pub(super) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(root())
        .env_remove("CARGO_TARGET_DIR")
        .stdin(Stdio::null());
    command
}

/// Runs a program that has to succeed.
pub(super) fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| cannot_start(&program))?;
    ensure!(status.success(), "{program} ended with {status}");
    Ok(())
}

/// Fills a directory, unless that was done. What an attempt left that did not come to its end is removed first.
pub(super) fn fill_once(directory: &Path, fill: impl FnOnce() -> Result<()>) -> Result<()> {
    let done = directory.join("filled");
    if done.exists() {
        return Ok(());
    }
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    fs::create_dir_all(directory)?;
    fill()?;
    fs::write(done, "")?;
    Ok(())
}

/// What a program that has to succeed prints.
pub(super) fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| cannot_start(&program))?;
    ensure!(output.status.success(), "{program} ended with {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a test of its own process group, and kills all of that once its time is over, which is no status.
pub(super) fn run_within(command: &mut Command, limit: Duration, log: &Path) -> Result<Option<ExitStatus>> {
    let program = command.get_program().to_string_lossy().into_owned();
    let log = File::create(log)?;
    let mut child = command
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()
        .with_context(|| cannot_start(&program))?;
    let group = child.id();
    let (sender, ended) = mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait()));
    if let Ok(status) = ended.recv_timeout(limit) {
        return Ok(Some(status?));
    }
    run(Command::new("kill")
        .arg("-KILL")
        .arg("--")
        .arg(format!("-{group}")))?;
    ended.recv().context("its end was not seen")??;
    Ok(None)
}

fn cannot_start(program: &str) -> String {
    format!("`{program}` could not be started: install it or put it on PATH")
}

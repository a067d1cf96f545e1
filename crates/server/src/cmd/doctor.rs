//! Checks a data directory as a broker would meet it, and lists what is lost with what can be done about it.

mod accept;
mod examine;
mod partition;
mod report;

use std::io::{IsTerminal, Write, stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use firth_log::segment::{self, SegmentId};

use crate::progress;
pub(super) use examine::{examine, open};
pub(super) use report::Holds;
use report::Report;

/// Nothing could be looked at; as clap ends for wrong usage.
const EXIT_CANNOT_LOOK: u8 = 2;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The data directory of the broker, which must not run
    #[arg(
        long,
        value_name = "DIR",
        env = "FIRTH_DATA",
        hide_env_values = true,
        default_value = "./firth-data"
    )]
    data: PathBuf,
    /// Give up what is lost there, as the doctor names it, or "all": it is no hole any more, and consumers pass it
    #[arg(long, value_name = "LOG:FIRST-LAST")]
    accept: Vec<String>,
    /// Accept all without being asked to say so again
    #[arg(long, requires = "accept")]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    log_warnings();
    if let Err(refused) = check_holds_data(&args.data) {
        eprintln!("firth: {refused:#}");
        return Ok(ExitCode::from(EXIT_CANNOT_LOOK));
    }
    let report = super::block_on(examine(&args.data)).and_then(|report| match args.accept.is_empty() {
        true => Ok(report),
        false => accept_holes(args, &report),
    });
    let report = match report {
        Ok(report) => report,
        Err(error) => {
            eprintln!("firth: {error:#}");
            return Ok(ExitCode::from(EXIT_CANNOT_LOOK));
        }
    };
    if args.json {
        writeln!(stdout(), "{}", report.as_json())?;
    } else {
        write!(stdout(), "{}", report.as_text(&args.data))?;
    }
    Ok(match report.is_healthy() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Gives up what was asked for, and looks again.
fn accept_holes(args: &Args, report: &Report) -> Result<Report> {
    let chosen = accept::choose(report, &args.accept)?;
    ensure!(
        args.yes || !args.accept.iter().any(|argument| argument == accept::ALL),
        "this would give up {} holes for good; see `firth doctor` for what they are, and add --yes if that is meant",
        chosen.len()
    );
    accept::accept(&args.data, &chosen)?;
    super::block_on(examine(&args.data))
}

/// What recovery finds, it logs with its place.
pub(super) fn log_warnings() {
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_writer(|| {
            progress::erase();
            stderr()
        })
        .with_ansi(stderr().is_terminal())
        .without_time()
        .init();
}

/// Fails unless a broker ever wrote here.
pub(super) fn check_holds_data(data: &Path) -> Result<()> {
    let shown = data.display();
    anyhow::ensure!(
        data.is_dir(),
        "{shown} is not a directory; name the broker's with --data DIR"
    );
    anyhow::ensure!(
        holds_data(data).with_context(|| format!("cannot read {shown}"))?,
        "no Firth data here: {shown}; name the broker's directory with --data DIR"
    );
    Ok(())
}

/// Whether there is a catalog, a file of the WAL or a segment. The others may be what is damaged.
fn holds_data(data: &Path) -> Result<bool> {
    let is_wal_file = |name: &str| name.len() == 8 && u32::from_str_radix(name, 16).is_ok();
    let is_segment = |name: &str| SegmentId::parse(name).is_some();
    Ok(data.join(firth_log::catalog::PATH).is_file()
        || has_name(&data.join("wal"), is_wal_file)?
        || has_name(&data.join(segment::DIRECTORY), is_segment)?)
}

fn has_name(directory: &Path, is_ours: impl Fn(&str) -> bool) -> Result<bool> {
    if !directory.is_dir() {
        return Ok(false);
    }
    for entry in std::fs::read_dir(directory)? {
        if entry?.file_name().to_str().is_some_and(&is_ours) {
            return Ok(true);
        }
    }
    Ok(false)
}

//! Gives up what is lost: what the operator names is no hole from then on.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use firth_log::file::disk::Disk;
use firth_log::{Engine, LogId, Options};

use super::super::serve::LOCK_FILE;
use super::report::Report;
use crate::environment;

/// What stands for everything that is lost.
pub(super) const ALL: &str = "all";
/// Enough for some records of the engine's own.
const WAL_BYTES: u64 = 16 * 1024 * 1024;

/// One stretch as the command line has it: `LOG:FIRST-LAST` or `LOG:OFFSET`.
#[derive(Debug, PartialEq, Eq)]
struct Wanted<'a> {
    log: &'a str,
    offsets: Range<i64>,
}

fn parse(text: &str) -> Option<Wanted<'_>> {
    let (log, offsets) = text.rsplit_once(':')?;
    let (first, last) = offsets.split_once('-').unwrap_or((offsets, offsets));
    let (first, last): (i64, i64) = (first.parse().ok()?, last.parse().ok()?);
    let next = last.checked_add(1)?;
    (0 <= first && first < next && !log.is_empty()).then_some(Wanted {
        log,
        offsets: first..next,
    })
}

/// The parts of holes that are to be accepted.
///
/// # Errors
/// One of the arguments is no stretch of a log, or nothing is lost there.
pub(super) fn choose(report: &Report, arguments: &[String]) -> Result<Vec<(LogId, Range<i64>)>> {
    let mut chosen = Vec::new();
    for argument in arguments {
        if argument == ALL {
            chosen.extend(report.holes().map(|(log, _, lost)| (log, lost.clone())));
            continue;
        }
        let Some(wanted) = parse(argument) else {
            bail!("{argument:?} is no stretch such as TOPIC/PARTITION:FIRST-LAST, and not \"{ALL}\"");
        };
        let before = chosen.len();
        for (log, name, lost) in report.holes().filter(|(_, name, _)| name == wanted.log) {
            let part = lost.start.max(wanted.offsets.start)..lost.end.min(wanted.offsets.end);
            if !part.is_empty() {
                debug_assert_eq!(name, wanted.log);
                chosen.push((log, part));
            }
        }
        ensure!(
            chosen.len() > before,
            "nothing is lost at {argument}; `firth doctor` lists what is"
        );
    }
    Ok(chosen)
}

/// Opens the directory as a broker would, which changes it as a start does, and notes what was given up.
pub(super) fn accept(data: &Path, chosen: &[(LogId, Range<i64>)]) -> Result<()> {
    let disk = Disk::open(data)?;
    let _lock = disk
        .lock(LOCK_FILE)
        .context("holes can only be accepted while no broker runs on the directory")?;
    let environment = firth_log::Environment {
        wall_ms: Arc::new(environment::wall_ms),
        random: environment::random()?,
        on_failure: Arc::new(|reason| tracing::error!(reason, "the engine failed")),
    };
    let options = Options {
        wal_bytes_max: Some(WAL_BYTES),
        merge_segments: 0,
        ..Options::default()
    };
    let engine = Engine::open(Arc::new(disk), environment, options)?;
    let noted = note(&engine, chosen);
    engine.close();
    noted
}

fn note(engine: &Engine, chosen: &[(LogId, Range<i64>)]) -> Result<()> {
    for (log, lost) in chosen {
        let accepted = engine.accept(*log, lost.start, lost.end)?;
        accepted.wait().context("the note of it is not durable")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_are_named_as_the_doctor_names_them() {
        let wanted = |log, offsets| Some(Wanted { log, offsets });
        assert_eq!(parse("t/0:5-9"), wanted("t/0", 5..10));
        assert_eq!(parse("definitions:7"), wanted("definitions", 7..8));
        assert_eq!(parse("#17:0-0"), wanted("#17", 0..1));
        for text in [
            "",
            "t/0",
            "t/0:",
            ":1-2",
            "t/0:9-5",
            "t/0:-1",
            "t/0:1-9223372036854775807",
            "t/0:a-b",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}

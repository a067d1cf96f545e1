//! Checks a data directory as a broker would meet it: recovery runs on an overlay, then everything is read.

mod partition;
mod report;

use std::io::{IsTerminal, Write, stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use firth_broker::{Broker, Config, Environment};
use firth_log::file::aligned::BufferPool;
use firth_log::file::disk::Disk;
use firth_log::file::{Existence, Mode, Storage};
use firth_log::segment::{self, FooterCache, Segment, SegmentId};
use firth_log::{Direct, Engine, Options};

use super::serve::LOCK_FILE;
use crate::environment;
use crate::overlay::Overlay;
use crate::progress::{self, Progress};
use report::{Report, SegmentDamage};

const FOOTER_CACHE_BYTES: usize = 16 * 1024 * 1024;
const BUFFER_POOL_BYTES: usize = 16 * 1024 * 1024;
/// Nothing is sealed or recycled while we only look.
const NEVER_BYTES: u64 = 1 << 50;
/// As clap ends for wrong usage.
const EXIT_WRONG_USAGE: u8 = 2;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The data directory of the broker, which must not run
    #[arg(long, value_name = "DIR", env = "FIRTH_DATA", default_value = "./firth-data")]
    data: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args) -> Result<ExitCode> {
    // What recovery finds, it logs with its place.
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_writer(|| {
            progress::erase();
            stderr()
        })
        .with_ansi(stderr().is_terminal())
        .without_time()
        .init();
    let data = args.data.display();
    if !args.data.is_dir() {
        eprintln!("firth: {data} is not a directory; name the broker's with --data DIR");
        return Ok(ExitCode::from(EXIT_WRONG_USAGE));
    }
    if !holds_data(&args.data).with_context(|| format!("cannot read {data}"))? {
        eprintln!("firth: no Firth data here: {data}; name the broker's directory with --data DIR");
        return Ok(ExitCode::from(EXIT_WRONG_USAGE));
    }
    let report = super::block_on(examine(&args.data))?;
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

/// Whether a broker ever wrote here: a catalog, a file of the WAL or a segment. The others may be what is damaged.
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

async fn examine(data: &Path) -> Result<Report> {
    let disk = Disk::open(data)?;
    let _lock = disk
        .lock(LOCK_FILE)
        .context("the directory can only be checked while no broker runs on it")?;
    let mut report = Report::default();
    let overlay = Arc::new(Overlay::new(disk));
    verify_segments(&overlay, &mut report)?;

    let known = overlay.list("").context("the directory cannot be read")?;
    let engine = match open(overlay.clone()) {
        Ok(engine) => engine,
        Err(error) => {
            report.problem(format!("a broker would not start: {error}"));
            return Ok(report);
        }
    };
    report.quarantined = engine.stats().quarantined;
    for path in overlay.created().into_iter().filter(|path| !known.contains(path)) {
        if path.starts_with(firth_log::catalog::DAMAGED_PREFIX) {
            report.problem("the catalog is damaged; the next start rebuilds it from the segments".to_owned());
        }
    }
    let environment = Environment {
        clock: environment::clock(),
        random: environment::random()?,
    };
    match Broker::open(engine.clone(), Config::default(), environment).await {
        Ok(broker) => {
            partition::read_all(&broker, &mut report).await;
            broker.shutdown().await;
        }
        Err(error) => report.problem(format!("a broker would not start: {error}")),
    }
    engine.close();
    Ok(report)
}

fn open(overlay: Arc<Overlay>) -> Result<Engine> {
    let environment = firth_log::Environment {
        wall_ms: Arc::new(environment::wall_ms),
        random: environment::random()?,
        on_failure: Arc::new(|reason| tracing::error!(reason, "the engine failed")),
    };
    let options = Options {
        durability: firth_log::Durability::Os,
        direct: Direct::Never,
        wal_bytes_max: Some(NEVER_BYTES),
        segment_bytes: NEVER_BYTES,
        reserve_bytes: Some(0),
        ..Options::default()
    };
    Ok(Engine::open(overlay, environment, options)?)
}

/// Every checksum of every segment, whether anything refers to it or not.
fn verify_segments(overlay: &Overlay, report: &mut Report) -> Result<()> {
    let Ok(names) = overlay.list(segment::DIRECTORY) else {
        return Ok(());
    };
    let ids = names.iter().filter_map(|name| SegmentId::parse(name));
    let mut files = Vec::new();
    for id in ids {
        let file = overlay.open(&id.path(), Mode::Buffered, Existence::MustExist)?;
        files.push((id, file.len()?));
    }
    let bytes = files.iter().map(|(_, bytes)| bytes).sum();
    let mut progress = Progress::new("checking segments", bytes);
    let cache = FooterCache::new(FOOTER_CACHE_BYTES);
    let buffers = BufferPool::new(BUFFER_POOL_BYTES);
    for (id, bytes) in files {
        match Segment::open(overlay, id, cache.clone(), buffers.clone()) {
            Ok(segment) => report.segment(segment.verify().into_iter().map(SegmentDamage::from)),
            // Its writer was interrupted, and what it would have held is still in the WAL.
            Err(segment::Error::Unfinished { .. }) => {}
            Err(error) => report.segment([SegmentDamage::from(error)]),
        }
        progress.add(bytes);
    }
    Ok(())
}

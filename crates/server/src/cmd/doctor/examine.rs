//! Recovery runs on an overlay, every segment is verified, and everything that readers could ask for is read.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use firth_broker::{Broker, Config, Environment};
use firth_log::file::aligned::BufferPool;
use firth_log::file::disk::Disk;
use firth_log::file::{Existence, Mode, Storage};
use firth_log::segment::{self, FooterCache, Segment, SegmentId};
use firth_log::{Direct, Engine, LogId, OpenError, Options};

use super::super::serve::LOCK_FILE;
use super::partition;
use super::report::{Name, Report, SegmentDamage};
use crate::environment;
use crate::overlay::Overlay;
use crate::progress::Progress;

const FOOTER_CACHE_BYTES: usize = 16 * 1024 * 1024;
const BUFFER_POOL_BYTES: usize = 16 * 1024 * 1024;
/// Nothing is sealed or recycled while we only look.
const NEVER_BYTES: u64 = 1 << 50;

/// Looks at everything and changes nothing.
///
/// # Errors
/// The directory cannot be looked at: a process uses it, it cannot be read, or a newer Firth wrote it.
pub(in crate::cmd) async fn examine(data: &Path) -> Result<Report> {
    let disk = Disk::look(data).with_context(|| format!("cannot open {}", data.display()))?;
    let _lock = disk
        .lock(LOCK_FILE)
        .context("the directory can only be checked while no broker runs on it")?;
    let mut report = Report::default();
    let overlay = Arc::new(Overlay::new(disk));
    verify_segments(&overlay, &mut report)?;

    let known = overlay.list("").context("the directory cannot be read")?;
    let engine = match open(overlay.clone()) {
        Ok(engine) => engine,
        Err(OpenError::Damaged(reason)) => {
            report.problem(format!("a broker would not start: {reason}"));
            return Ok(report);
        }
        Err(error) => return Err(error.into()),
    };
    report.quarantined = engine.stats().quarantined;
    for path in overlay.created().into_iter().filter(|path| !known.contains(path)) {
        if path.starts_with(firth_log::catalog::DAMAGED_PREFIX) {
            report.problem("the catalog is damaged; the next start rebuilds it from the segments".to_owned());
        }
    }
    let read = read_all(&engine, &mut report).await;
    engine.close();
    read.map(|()| report)
}

async fn read_all(engine: &Engine, report: &mut Report) -> Result<()> {
    let stats = engine.stats();
    // About what there is to read: what is trimmed is still counted, what is unsealed and in a segment twice.
    let mut progress = Progress::new("reading records", stats.segment_bytes + stats.unsealed_bytes);
    let ours = [
        (LogId::META, Name::Meta),
        (LogId::DEFINITIONS, Name::Definitions),
        (LogId::GROUPS, Name::Groups),
        (LogId::QUEUES, Name::Queues),
        (LogId::TOPOLOGY, Name::Topology),
        (LogId::USERS, Name::Users),
    ];
    for (log, name) in ours {
        partition::read_log(engine, log, name, report, &mut progress).await;
    }
    let environment = Environment {
        clock: environment::clock(),
        random: environment::random()?,
    };
    match Broker::open(engine.clone(), Config::default(), environment).await {
        Ok(broker) => {
            firth_kafka::unreadable(&broker)
                .into_iter()
                .for_each(|found| report.unreadable(found));
            for topic in broker.topics().iter() {
                partition::read_topic(engine, topic, report, &mut progress).await;
            }
            broker.shutdown().await;
            let orphans: Vec<_> = engine
                .logs()
                .into_iter()
                .filter(|log| !report.knows(*log))
                .collect();
            for log in orphans {
                partition::read_log(engine, log, Name::Orphan(log.0), report, &mut progress).await;
            }
        }
        Err(error @ (firth_broker::Error::NewerVersion { .. } | firth_broker::Error::StateNewer { .. })) => {
            return Err(error.into());
        }
        Err(firth_broker::Error::StateUnreadable(found)) => report.unreadable(found),
        Err(error) => report.problem(format!("a broker would not start: {error}")),
    }
    Ok(())
}

pub(in crate::cmd) fn open(overlay: Arc<Overlay>) -> Result<Engine, OpenError> {
    let environment = firth_log::Environment {
        wall_ms: Arc::new(environment::wall_ms),
        random: environment::random().map_err(std::io::Error::other)?,
        on_failure: Arc::new(|reason| tracing::error!(reason, "the engine failed")),
    };
    let options = Options {
        durability: firth_log::Durability::Os,
        direct: Direct::Never,
        wal_bytes_max: Some(NEVER_BYTES),
        segment_bytes: NEVER_BYTES,
        merge_segments: 0,
        reserve_bytes: Some(0),
        ..Options::default()
    };
    Engine::open(overlay, environment, options)
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

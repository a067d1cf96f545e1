//! Checks a data directory as a broker would meet it: recovery runs on an overlay, then everything is read.

use std::io::{IsTerminal, Write, stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use firth_batch::{Batch, Batches};
use firth_broker::{Broker, Config, Environment, ReadError, Topic};
use firth_log::file::Storage;
use firth_log::file::aligned::BufferPool;
use firth_log::file::disk::Disk;
use firth_log::segment::{self, FooterCache, Segment, SegmentId};
use firth_log::{Direct, Engine, Options};
use serde_json::json;

use super::serve::LOCK_FILE;
use crate::environment;
use crate::overlay::Overlay;
use crate::table::table;

const READ_BYTES: usize = 8 * 1024 * 1024;
const FOOTER_CACHE_BYTES: usize = 16 * 1024 * 1024;
const BUFFER_POOL_BYTES: usize = 16 * 1024 * 1024;
/// Nothing is sealed or recycled while we only look.
const NEVER_BYTES: u64 = 1 << 50;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The data directory of the broker, which must not run
    #[arg(long, value_name = "DIR", env = "FIRTH_DATA", default_value = "./firth-data")]
    data: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Default)]
struct Report {
    segments: u64,
    partitions: Vec<PartitionReport>,
    /// One sentence each.
    problems: Vec<String>,
}

struct PartitionReport {
    topic: Arc<str>,
    partition: i32,
    first_offset: i64,
    next_offset: i64,
    records: u64,
    bytes: u64,
    /// Damaged, or not there.
    missing_offsets: i64,
}

pub(crate) fn run(args: Args) -> Result<ExitCode> {
    // What recovery finds, it logs with its place.
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal())
        .without_time()
        .init();
    if !args.data.is_dir() {
        bail!(
            "{} is not a directory; name the broker's with --data DIR",
            args.data.display()
        );
    }
    let report = super::block_on(examine(&args.data))?;
    if args.json {
        writeln!(stdout(), "{}", report.as_json())?;
    } else {
        write!(stdout(), "{}", report.as_text(&args.data))?;
    }
    Ok(if report.problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn examine(data: &Path) -> Result<Report> {
    let disk = Disk::open(data)?;
    let _lock = disk
        .lock(LOCK_FILE)
        .context("the directory can only be checked while no broker runs on it")?;
    let mut report = Report::default();
    let overlay = Arc::new(Overlay::new(disk));
    verify_segments(&overlay, &mut report)?;

    let known = files(&*overlay)?;
    let engine = match open(overlay.clone()) {
        Ok(engine) => engine,
        Err(error) => {
            report.problems.push(format!("a broker would not start: {error}"));
            return Ok(report);
        }
    };
    let quarantined = engine.stats().quarantined;
    if quarantined > 0 {
        report.problems.push(format!(
            "{quarantined} stretches of acknowledged records are damaged in the WAL"
        ));
    }
    for path in overlay.created().into_iter().filter(|path| !known.contains(path)) {
        if path.starts_with(firth_log::catalog::DAMAGED_PREFIX) {
            report
                .problems
                .push("the catalog is damaged; the next start rebuilds it from the segments".to_owned());
        }
    }
    let environment = Environment {
        clock: environment::clock(),
        random: environment::random()?,
    };
    match Broker::open(engine.clone(), Config::default(), environment).await {
        Ok(broker) => {
            read_topics(&broker, &mut report).await;
            broker.shutdown().await;
        }
        Err(error) => report.problems.push(format!("a broker would not start: {error}")),
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
        ..Options::default()
    };
    Ok(Engine::open(overlay, environment, options)?)
}

/// Every checksum of every segment, whether anything refers to it or not.
fn verify_segments(overlay: &Overlay, report: &mut Report) -> Result<()> {
    let Ok(names) = overlay.list(segment::DIRECTORY) else {
        return Ok(());
    };
    let cache = FooterCache::new(FOOTER_CACHE_BYTES);
    let buffers = BufferPool::new(BUFFER_POOL_BYTES);
    for id in names.iter().filter_map(|name| SegmentId::parse(name)) {
        match Segment::open(overlay, id, cache.clone(), buffers.clone()) {
            Ok(segment) => {
                report.segments += 1;
                report
                    .problems
                    .extend(segment.verify().iter().map(ToString::to_string));
            }
            // Its writer was interrupted, and what it would have held is still in the WAL.
            Err(segment::Error::Unfinished { .. }) => {}
            Err(error) => report.problems.push(error.to_string()),
        }
    }
    Ok(())
}

fn files(storage: &dyn Storage) -> Result<Vec<String>> {
    storage.list("").context("the directory cannot be read")
}

async fn read_topics(broker: &Broker, report: &mut Report) {
    for topic in broker.topics() {
        for partition in topic.partition_indexes() {
            read_partition(broker, &topic, partition, report).await;
        }
    }
}

async fn read_partition(broker: &Broker, topic: &Topic, partition: i32, report: &mut Report) {
    let name = format!("partition {partition} of {}", topic.name);
    let Some(bounds) = broker.bounds(topic, partition) else {
        report.problems.push(format!("{name} has no log"));
        return;
    };
    let mut read = PartitionReport {
        topic: topic.name.clone(),
        partition,
        first_offset: bounds.start,
        next_offset: bounds.end,
        records: 0,
        bytes: 0,
        missing_offsets: 0,
    };
    let mut next = bounds.start;
    while next < bounds.end {
        match broker.read(topic, partition, next, READ_BYTES).await {
            Ok(found) if found.bytes == 0 => break,
            Ok(found) => {
                for slice in &found.slices {
                    for batch in Batches::new(slice) {
                        let Ok((header, batch)) = batch else { break };
                        // Until logs are compacted, only damage leaves holes.
                        if header.base_offset > next {
                            read.missing_offsets += header.base_offset - next;
                            let hole =
                                format!("{name}: offsets {next} to {} are missing", header.base_offset);
                            report.problems.push(hole);
                        }
                        if let Err(error) = Batch::stored(slice.slice_ref(batch)) {
                            report
                                .problems
                                .push(format!("{name}, offset {}: {error}", header.base_offset));
                        }
                        read.records += u64::try_from(header.record_count).unwrap_or(0);
                        read.bytes += batch.len() as u64;
                        next = header.next_offset();
                    }
                }
            }
            Err(ReadError::Damaged {
                first_offset,
                next_offset,
            }) if next_offset > next => {
                report.problems.push(format!(
                    "{name}: offsets {first_offset} to {next_offset} are damaged"
                ));
                read.missing_offsets += next_offset - first_offset.max(next);
                next = next_offset;
            }
            Err(error) => {
                report.problems.push(format!("{name}, offset {next}: {error}"));
                break;
            }
        }
    }
    report.partitions.push(read);
}

impl Report {
    fn as_text(&self, data: &Path) -> String {
        let row = |read: &PartitionReport| {
            let numbers = [read.first_offset, read.next_offset].map(|offset| offset.to_string());
            let [first, next] = numbers;
            let missing = read.missing_offsets.to_string();
            let (records, bytes) = (read.records.to_string(), read.bytes.to_string());
            vec![
                read.topic.to_string(),
                read.partition.to_string(),
                first,
                next,
                records,
                bytes,
                missing,
            ]
        };
        let head = [
            "topic",
            "partition",
            "first",
            "next",
            "records",
            "bytes",
            "missing",
        ];
        let mut text = table(&head, &self.partitions.iter().map(row).collect::<Vec<_>>());
        text += &format!("{} segments, every checksum verified\n", self.segments);
        for problem in &self.problems {
            text += &format!("PROBLEM {problem}\n");
        }
        text += &match self.problems.len() {
            0 => format!("{} is healthy\n", data.display()),
            count => format!("{} has {count} problems; nothing was changed\n", data.display()),
        };
        text
    }

    fn as_json(&self) -> serde_json::Value {
        let row = |read: &PartitionReport| {
            json!({
                "topic": &*read.topic,
                "partition": read.partition,
                "first_offset": read.first_offset,
                "next_offset": read.next_offset,
                "records": read.records,
                "bytes": read.bytes,
                "missing_offsets": read.missing_offsets,
            })
        };
        json!({
            "healthy": self.problems.is_empty(),
            "segments": self.segments,
            "partitions": self.partitions.iter().map(row).collect::<Vec<_>>(),
            "problems": self.problems,
        })
    }
}

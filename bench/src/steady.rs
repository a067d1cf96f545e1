//! `bench steady`: hours of mixed load with retention at an even pace, and a look every few seconds at what must stay as it is:
//! memory, file descriptors, disk, what is written for each byte that is produced, latency.
//!
//! Threads, one for each producer and reader, are enough here: the pace is set, so that they wait most of the time. What
//! any of them finds wrong ends the run.

mod drift;
mod plot;
mod readers;
mod sample;
mod series;
mod writers;

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, ScopedJoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;

use self::sample::{Sample, Sampler};
use crate::{
    connection::Connection, recycled::Durability, report::Report, report::latency_histogram, server::Server,
};

const MIB: u64 = 1 << 20;

/// One kind of load: a topic and who writes to it.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) topic: &'static str,
    pub(crate) partitions: i32,
    pub(crate) batch_bytes: usize,
    pub(crate) record_bytes: usize,
    /// Of all bytes that are written.
    pub(crate) percent: u32,
    /// `retention.bytes` of each partition.
    pub(crate) retention_bytes: Option<u64>,
    pub(crate) retention_ms: Option<u64>,
    /// Keys that records are about; the topic is compacted.
    pub(crate) keys: Option<u64>,
}

/// Retention is such that a minute or two of data is kept, a few times the WAL.
pub(crate) const FLOWS: [Flow; 5] = [
    Flow {
        topic: "events",
        partitions: 8,
        batch_bytes: 64 << 10,
        record_bytes: 1024,
        percent: 42,
        retention_bytes: Some(64 * MIB),
        retention_ms: None,
        keys: None,
    },
    Flow {
        topic: "audit",
        partitions: 1,
        batch_bytes: 512 << 10,
        record_bytes: 4096,
        percent: 25,
        retention_bytes: Some(256 * MIB),
        retention_ms: None,
        keys: None,
    },
    Flow {
        topic: "metrics",
        partitions: 100,
        batch_bytes: 4 << 10,
        record_bytes: 100,
        percent: 17,
        retention_bytes: None,
        retention_ms: Some(120_000),
        keys: None,
    },
    Flow {
        topic: "state",
        partitions: 4,
        batch_bytes: 16 << 10,
        record_bytes: 1024,
        percent: 15,
        retention_bytes: None,
        retention_ms: None,
        keys: Some(20_000),
    },
    Flow {
        topic: "commands",
        partitions: 4,
        batch_bytes: 0,
        record_bytes: 200,
        percent: 1,
        retention_bytes: None,
        retention_ms: Some(120_000),
        keys: None,
    },
];

impl Flow {
    /// The settings of the topic. Segments of Kafka's size and age would let a compacted topic rest for hours.
    fn configs(&self) -> Vec<(String, String)> {
        let mut configs = Vec::new();
        let mut set = |name: &str, value: String| configs.push((name.to_owned(), value));
        if let Some(bytes) = self.retention_bytes {
            set("retention.bytes", bytes.to_string());
        }
        if let Some(ms) = self.retention_ms {
            set("retention.ms", ms.to_string());
        }
        if self.keys.is_some() {
            set("cleanup.policy", "compact".to_owned());
            set("max.compaction.lag.ms", "60000".to_owned());
            set("delete.retention.ms", "60000".to_owned());
        }
        configs
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Steadiness {
    pub(crate) broker: PathBuf,
    pub(crate) dir: PathBuf,
    pub(crate) duration: Duration,
    /// All topics together.
    pub(crate) bytes_per_s: u64,
    pub(crate) wal_limit_bytes: u64,
    pub(crate) every: Duration,
    pub(crate) csv: PathBuf,
    pub(crate) svg: PathBuf,
}

/// What the threads share.
pub(crate) struct Shared {
    pub(crate) bootstrap: SocketAddr,
    pub(crate) stop: AtomicBool,
    /// Payload of batches that were acknowledged.
    pub(crate) produced_bytes: AtomicU64,
    /// By those who follow what comes.
    pub(crate) followed_bytes: AtomicU64,
    /// By those who begin at the start of what is kept.
    pub(crate) reread_bytes: AtomicU64,
    latency: Mutex<Histogram<u64>>,
}

impl Shared {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn latency(&self) -> MutexGuard<'_, Histogram<u64>> {
        self.latency
            .lock()
            .expect("a thread that panics ends the run before anyone looks")
    }

    /// Sleeps until `due`, or until the run ends.
    fn sleep_until(&self, due: Instant) {
        const STEP: Duration = Duration::from_millis(200);
        while !self.stopped() {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(STEP));
        }
    }
}

/// Runs the load, writes the series and their plot, and says how far each series drifted.
pub(crate) fn run(steadiness: &Steadiness) -> Result<Report> {
    crate::process::precise_timers()?;
    let dir = tempfile::Builder::new()
        .prefix("firth-bench-")
        .tempdir_in(&steadiness.dir)?;
    let data = dir.path().join("data");
    let broker = Server::broker(
        &steadiness.broker,
        &data,
        Durability::Disk,
        Some(steadiness.wal_limit_bytes),
        &[],
    )?;
    let mut control = Connection::open(broker.address)?;
    for flow in &FLOWS {
        control.create_topic(flow.topic, flow.partitions, &flow.configs())?;
    }
    let shared = Shared {
        bootstrap: broker.address,
        stop: AtomicBool::new(false),
        produced_bytes: AtomicU64::new(0),
        followed_bytes: AtomicU64::new(0),
        reread_bytes: AtomicU64::new(0),
        latency: Mutex::new(latency_histogram()),
    };
    let sampler = Sampler::new(broker.pid(), data, control, &steadiness.csv)?;
    let samples = thread::scope(|scope| -> Result<Vec<Sample>> {
        let mut threads = Vec::new();
        let shared = &shared;
        for flow in &FLOWS {
            let bytes_per_s = steadiness.bytes_per_s as f64 * f64::from(flow.percent) / 100.0;
            threads.push(scope.spawn(move || writers::write(shared, flow, bytes_per_s)));
        }
        for flow in FLOWS.iter().take(3) {
            threads.push(scope.spawn(move || readers::follow(shared, flow)));
        }
        threads.push(scope.spawn(move || readers::reread(shared, &FLOWS)));
        threads.push(scope.spawn(move || writers::come_and_go(shared)));
        let taken = watch(sampler, steadiness, shared, &threads);
        shared.stop.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().ok().context("a thread of the load panicked")??;
        }
        taken
    })?;
    broker.stop()?;
    fs::write(&steadiness.svg, plot::svg(&samples))
        .with_context(|| format!("cannot write {}", steadiness.svg.display()))?;
    Ok(drift::report(&samples))
}

/// Takes samples until the time is over or a thread of the load ended, which it does not do for a good reason.
fn watch(
    mut sampler: Sampler,
    steadiness: &Steadiness,
    shared: &Shared,
    threads: &[ScopedJoinHandle<'_, Result<()>>],
) -> Result<Vec<Sample>> {
    let began = Instant::now();
    let mut samples: Vec<Sample> = Vec::new();
    while began.elapsed() < steadiness.duration && !threads.iter().any(ScopedJoinHandle::is_finished) {
        let due = began + steadiness.every * (samples.len() as u32 + 1);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let latency = std::mem::replace(&mut *shared.latency(), latency_histogram());
        samples.push(sampler.take(began.elapsed(), shared, &latency)?);
    }
    Ok(samples)
}

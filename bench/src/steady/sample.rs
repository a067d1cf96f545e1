//! One look at the broker, and the line of the series that it becomes.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    time::Duration,
};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;

use super::{FLOWS, Shared};
use crate::{
    batch::Batch,
    connection::Connection,
    process::{self, Memory, Usage},
    protocol::Edge,
};

const BLOCK_BYTES: u64 = 512;
const COLUMNS: &str = "seconds,rss_bytes,fds,disk_bytes,segment_bytes,segments,produced_bytes,written_bytes,\
    followed_bytes,reread_bytes,cpu_s,ack_p50_us,ack_p99_us,ack_max_us,events_kept,audit_kept,load";

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sample {
    pub(super) seconds: f64,
    pub(super) rss_bytes: u64,
    pub(super) fds: u64,
    /// What the files in the data directory occupy.
    pub(super) disk_bytes: u64,
    /// Of that, sealed segments.
    pub(super) segment_bytes: u64,
    pub(super) segments: u64,
    /// From here on sums since the start.
    pub(super) produced_bytes: u64,
    pub(super) written_bytes: u64,
    pub(super) followed_bytes: u64,
    pub(super) reread_bytes: u64,
    pub(super) cpu_s: f64,
    /// Of the batches since the last sample.
    pub(super) ack_p50_us: f64,
    pub(super) ack_p99_us: f64,
    pub(super) ack_max_us: f64,
    /// What is kept, as a share of `retention.bytes`, of the partition that keeps most.
    pub(super) kept: [f64; 2],
    /// The load average of the machine, of the last minute.
    pub(super) load: f64,
}

pub(super) struct Sampler {
    pid: u32,
    data: PathBuf,
    control: Connection,
    before: Usage,
    csv: File,
}

impl Sampler {
    pub(super) fn new(pid: u32, data: PathBuf, control: Connection, csv: &Path) -> Result<Self> {
        let mut csv = File::create(csv).with_context(|| format!("cannot create {}", csv.display()))?;
        writeln!(csv, "{COLUMNS}")?;
        Ok(Self {
            before: Usage::of(pid)?,
            pid,
            data,
            control,
            csv,
        })
    }

    /// Looks, and writes a line, so that a run which is ended early leaves what it saw.
    pub(super) fn take(&mut self, at: Duration, shared: &Shared, latency: &Histogram<u64>) -> Result<Sample> {
        let usage = Usage::of(self.pid)?.since(self.before);
        let us = |quantile| latency.value_at_quantile(quantile) as f64 / 1000.0;
        let segments = occupied(&self.data.join("segments"))?;
        let sample = Sample {
            seconds: at.as_secs_f64(),
            rss_bytes: Memory::of(self.pid)?.resident_bytes,
            fds: process::open_files(self.pid)?,
            disk_bytes: occupied(&self.data)?.bytes,
            segment_bytes: segments.bytes,
            segments: segments.files,
            produced_bytes: shared.produced_bytes.load(Ordering::Relaxed),
            written_bytes: usage.written_bytes,
            followed_bytes: shared.followed_bytes.load(Ordering::Relaxed),
            reread_bytes: shared.reread_bytes.load(Ordering::Relaxed),
            cpu_s: usage.cpu_s(),
            ack_p50_us: us(0.5),
            ack_p99_us: us(0.99),
            ack_max_us: us(1.0),
            kept: [self.kept(0)?, self.kept(1)?],
            load: process::load_average()?,
        };
        self.csv.write_all(sample.line().as_bytes())?;
        Ok(sample)
    }

    /// Records are equal, so that offsets tell how many bytes are kept.
    fn kept(&mut self, flow: usize) -> Result<f64> {
        let flow = FLOWS.get(flow).context("there is no such flow")?;
        let first = self
            .control
            .offsets(flow.topic, flow.partitions, Edge::Earliest)?;
        let last = self.control.offsets(flow.topic, flow.partitions, Edge::Latest)?;
        let records = first.iter().zip(&last).map(|(first, last)| last - first).max();
        let batch = Batch::filled(flow.record_bytes, flow.batch_bytes, 0);
        let record_bytes = batch.bytes.len() as f64 / batch.records as f64;
        let limit = flow.retention_bytes.context("the flow has no retention.bytes")?;
        Ok(records.unwrap_or(0) as f64 * record_bytes / limit as f64)
    }
}

impl Sample {
    fn line(&self) -> String {
        let [events_kept, audit_kept] = self.kept;
        format!(
            "{:.1},{},{},{},{},{},{},{},{},{},{:.2},{:.0},{:.0},{:.0},{events_kept:.3},{audit_kept:.3},{:.2}\n",
            self.seconds,
            self.rss_bytes,
            self.fds,
            self.disk_bytes,
            self.segment_bytes,
            self.segments,
            self.produced_bytes,
            self.written_bytes,
            self.followed_bytes,
            self.reread_bytes,
            self.cpu_s,
            self.ack_p50_us,
            self.ack_p99_us,
            self.ack_max_us,
            self.load,
        )
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Occupied {
    bytes: u64,
    files: u64,
}

/// What lies under a directory. A file that goes while it is looked at is gone.
fn occupied(path: &Path) -> Result<Occupied> {
    let mut sum = Occupied::default();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            let below = occupied(&entry.path())?;
            sum.bytes += below.bytes;
            sum.files += below.files;
        } else {
            sum.bytes += metadata.blocks() * BLOCK_BYTES;
            sum.files += 1;
        }
    }
    Ok(sum)
}

//! `bench flush`: the latency of one durable write at a time, by the method that the WAL and the ideal server use. Latency targets
//! are stated relative to it.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use rustix::{
    event::{Timespec, poll},
    io::Errno,
};

use crate::{
    process::{self, Disks},
    recycled::{self, AlignedBuffer, BLOCK_BYTES, Circle, Durability, Lane},
    report::{Report, latency_histogram},
};

#[derive(Debug, Clone)]
pub(crate) struct Flushing {
    pub(crate) file: PathBuf,
    pub(crate) file_bytes: u64,
    pub(crate) block_bytes: usize,
    /// Writes per second; without it one begins when the last has ended.
    pub(crate) rate: Option<f64>,
    pub(crate) duration: Duration,
}

#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) latency: Histogram<u64>,
    block_bytes: usize,
    seconds: f64,
    disks: Disks,
}

impl Outcome {
    pub(crate) fn report(&self) -> Report {
        let mut report = Report::default();
        let per_s = self.latency.len() as f64 / self.seconds;
        report
            .figure("flushes_per_s", per_s)
            .figure("mb_per_s", per_s * self.block_bytes as f64 / 1e6);
        report
            .percentiles("flush", &self.latency)
            .disks(&self.disks, self.seconds);
        report
    }
}

pub(crate) fn run(flushing: &Flushing) -> Result<Outcome> {
    ensure!(
        flushing.block_bytes.is_multiple_of(BLOCK_BYTES),
        "a block is whole 4 KiB long"
    );
    process::precise_timers()?;
    recycled::prepare(&flushing.file, flushing.file_bytes)?;
    let lane = Lane::open(&flushing.file, Durability::Disk)?;
    let buffer = AlignedBuffer::new(flushing.block_bytes);
    let mut circle = Circle::new(flushing.file_bytes);
    let mut latency = latency_histogram();
    let disks_before = Disks::read()?;
    let began = Instant::now();
    let mut index = 0u32;
    while began.elapsed() < flushing.duration {
        if let Some(rate) = flushing.rate {
            sleep_until(began + Duration::from_secs_f64(f64::from(index) / rate))?;
        }
        index += 1;
        let write_began = Instant::now();
        lane.write(buffer.as_slice(), circle.take(flushing.block_bytes as u64))?;
        latency.saturating_record(write_began.elapsed().as_nanos() as u64);
    }
    let seconds = began.elapsed().as_secs_f64();
    let disks = Disks::read()?.since(disks_before);
    Ok(Outcome {
        latency,
        block_bytes: flushing.block_bytes,
        seconds,
        disks,
    })
}

/// With the precision of the timers, which `thread::sleep` shares, but in the same call as the other drivers wait in.
fn sleep_until(due: Instant) -> Result<()> {
    let rest = due.saturating_duration_since(Instant::now());
    if rest.is_zero() {
        return Ok(());
    }
    match poll(
        &mut [],
        Some(&Timespec {
            tv_sec: rest.as_secs() as i64,
            tv_nsec: rest.subsec_nanos().into(),
        }),
    ) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

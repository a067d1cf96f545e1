//! What was done so far, shared by the connections that do it, and when it ends.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, anyhow};
use hdrhistogram::Histogram;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Length;
use crate::environment::since_boot;
use crate::progress::Line;

/// One minute in nanoseconds; what takes longer counts as that.
const LATENCY_NS_MAX: u64 = 60_000_000_000;
const SIGNIFICANT_DIGITS: u8 = 3;
const TICK: Duration = Duration::from_secs(1);
/// For answers that are under way when it is over.
const DRAIN_MAX: Duration = Duration::from_secs(30);

/// Latencies in nanoseconds.
pub(super) struct Latencies(Mutex<Histogram<u64>>);

impl Latencies {
    fn new() -> Latencies {
        let histogram = Histogram::new_with_bounds(1, LATENCY_NS_MAX, SIGNIFICANT_DIGITS);
        Latencies(Mutex::new(histogram.expect("the bounds are constants in range")))
    }

    /// `count` records that took as long each.
    fn record(&self, latency: Duration, count: u64) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        let mut histogram = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        histogram.saturating_record_n(ns.clamp(1, LATENCY_NS_MAX), count);
    }

    pub(super) fn taken(&self) -> Histogram<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unit {
    Records,
    Messages,
}

impl Unit {
    pub(super) fn name(self) -> &'static str {
        match self {
            Unit::Records => "records",
            Unit::Messages => "messages",
        }
    }
}

/// Counts what is done while it is measured.
pub(super) struct Tally {
    unit: Unit,
    records: AtomicU64,
    bytes: AtomicU64,
    /// When something was counted last, in nanoseconds since the machine started.
    counted_at: AtomicU64,
    /// Records that were given out to be sent, measured or not.
    given: AtomicU64,
    records_max: u64,
    is_measuring: AtomicBool,
    /// Until a record was acknowledged, or a Fetch was answered.
    pub(super) answered: Latencies,
    /// Until a record was read.
    pub(super) consumed: Latencies,
    stop: watch::Sender<bool>,
}

/// What there is in the end.
pub(super) struct Measured {
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) seconds: f64,
    pub(super) interrupted: bool,
}

impl Tally {
    pub(super) fn new(length: &Length, unit: Unit) -> Arc<Tally> {
        Arc::new(Tally {
            unit,
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            counted_at: AtomicU64::new(0),
            given: AtomicU64::new(0),
            records_max: length.records.unwrap_or(u64::MAX),
            is_measuring: AtomicBool::new(length.records.is_some() || length.warmup.is_zero()),
            answered: Latencies::new(),
            consumed: Latencies::new(),
            stop: watch::Sender::new(false),
        })
    }

    /// Whether so many more records are to be sent.
    pub(super) fn give(&self, records: u64) -> bool {
        !*self.stop.borrow() && self.given.fetch_add(records, Ordering::Relaxed) < self.records_max
    }

    pub(super) fn count(&self, records: u64, bytes: u64, answered: Option<Duration>) {
        if self.is_measuring.load(Ordering::Relaxed) {
            self.records.fetch_add(records, Ordering::Relaxed);
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
            let now = u64::try_from(since_boot().as_nanos()).unwrap_or(u64::MAX);
            self.counted_at.store(now, Ordering::Relaxed);
            if let Some(latency) = answered {
                self.answered.record(latency, 1);
            }
        }
    }

    pub(super) fn count_consumed(&self, latency: Duration) {
        if self.is_measuring.load(Ordering::Relaxed) {
            self.consumed.record(latency, 1);
        }
    }

    pub(super) fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// Whether as many records were counted as were asked for.
    pub(super) fn is_enough(&self) -> bool {
        self.records() >= self.records_max
    }

    pub(super) fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// Resolves when it is over.
    pub(super) async fn stopped(&self) {
        // The sender is here, so it does not go away.
        let _ = self.stop.subscribe().wait_for(|stopped| *stopped).await;
    }

    /// Runs the workers until the time is over, which there may be none of, until they are done, or until somebody interrupts it.
    pub(super) async fn run(
        &self,
        length: &Length,
        duration: Option<Duration>,
        mut workers: JoinSet<Result<()>>,
    ) -> Result<Measured> {
        let mut line = Line::new();
        let mut began = since_boot();
        let warmed = began + length.warmup;
        let mut ticks = tokio::time::interval(TICK);
        let mut shown = Shown::at(began);
        let interrupt = crate::cmd::stopped();
        tokio::pin!(interrupt);
        let mut interrupted = false;
        loop {
            let now = since_boot();
            if !self.is_measuring.load(Ordering::Relaxed) && now >= warmed {
                (began, shown) = (now, Shown::at(now));
                self.is_measuring.store(true, Ordering::Relaxed);
            }
            let next = match (self.is_measuring.load(Ordering::Relaxed), duration) {
                (false, _) => Some(warmed),
                (true, Some(duration)) => Some(began + duration),
                (true, None) => None,
            };
            let left = next.map_or(TICK, |next| next.saturating_sub(now));
            if left.is_zero() {
                break;
            }
            tokio::select! {
                _ = ticks.tick() => self.show(&mut line, &mut shown, began),
                () = tokio::time::sleep(left) => {}
                done = &mut interrupt => {
                    done?;
                    interrupted = true;
                    break;
                }
                worker = workers.join_next() => match worker {
                    Some(worker) => worker??,
                    None => break,
                },
            }
        }
        // Without a time to fill it took as long as there was something to count.
        let end = match duration {
            Some(_) => since_boot(),
            None => Duration::from_nanos(self.counted_at.load(Ordering::Relaxed)),
        };
        let measured = Measured {
            records: self.records(),
            bytes: self.bytes.load(Ordering::Relaxed),
            seconds: end.saturating_sub(began).as_secs_f64(),
            interrupted,
        };
        self.stop.send_replace(true);
        drain(workers).await?;
        Ok(measured)
    }

    fn show(&self, line: &mut Line, shown: &mut Shown, began: Duration) {
        let now = since_boot();
        let (records, bytes) = (self.records(), self.bytes.load(Ordering::Relaxed));
        let seconds = now.saturating_sub(shown.at).as_secs_f64();
        // The first tick is at once, and while it warms up nothing is counted.
        if seconds < TICK.as_secs_f64() / 2.0 || records == 0 {
            return;
        }
        let (more_records, more_bytes) = (records - shown.records, bytes - shown.bytes);
        line.say(&rates(
            self.unit,
            now.saturating_sub(began),
            more_records,
            more_bytes,
            seconds,
        ));
        *shown = Shown {
            at: now,
            records,
            bytes,
        };
    }
}

/// What the last line of figures told.
struct Shown {
    at: Duration,
    records: u64,
    bytes: u64,
}

impl Shown {
    fn at(at: Duration) -> Shown {
        Shown {
            at,
            records: 0,
            bytes: 0,
        }
    }
}

fn rates(unit: Unit, since: Duration, records: u64, bytes: u64, seconds: f64) -> String {
    format!(
        "{:4} s  {:10.0} {}/s  {:8.1} MB/s",
        since.as_secs(),
        records as f64 / seconds,
        unit.name(),
        bytes as f64 / 1e6 / seconds
    )
}

/// What was sent is answered and checked, so that no figure is one of errors.
async fn drain(mut workers: JoinSet<Result<()>>) -> Result<()> {
    let all = async {
        while let Some(worker) = workers.join_next().await {
            worker??;
        }
        Ok(())
    };
    let drained = tokio::time::timeout(DRAIN_MAX, all).await;
    drained.map_err(|_| anyhow!("the broker did not answer within {} s", DRAIN_MAX.as_secs()))?
}

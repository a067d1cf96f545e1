//! What is counted of one API.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use firth_kafka_codec::ErrorCode;

use super::{add, add_many};

/// Counters of one API. On a cache line of its own, because Produce is counted on every core.
#[derive(Debug)]
#[repr(align(64))]
pub struct ApiMetrics {
    requests: AtomicU64,
    request_bytes: AtomicU64,
    response_bytes: AtomicU64,
    latency: Latency,
    errors: [AtomicU64; ErrorCode::ALL.len()],
}

impl Default for ApiMetrics {
    fn default() -> ApiMetrics {
        ApiMetrics {
            requests: AtomicU64::new(0),
            request_bytes: AtomicU64::new(0),
            response_bytes: AtomicU64::new(0),
            latency: Latency::default(),
            errors: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl ApiMetrics {
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub fn request_bytes(&self) -> u64 {
        self.request_bytes.load(Ordering::Relaxed)
    }

    pub fn response_bytes(&self) -> u64 {
        self.response_bytes.load(Ordering::Relaxed)
    }

    /// From when a request was dispatched until its answer could be sent.
    pub fn latency(&self) -> &Latency {
        &self.latency
    }

    /// How often responses named each error, those that none named left out. Each partition counts for itself.
    pub fn errors(&self) -> impl Iterator<Item = (ErrorCode, u64)> {
        let counts = self.errors.iter().map(|count| count.load(Ordering::Relaxed));
        let all = ErrorCode::ALL.iter().copied().zip(counts);
        all.filter(|(_, count)| *count > 0)
    }

    pub(crate) fn request(&self, bytes: usize) {
        add(&self.requests, 1);
        add_many(&self.request_bytes, bytes);
    }

    /// What is no error is not counted.
    pub(crate) fn error(&self, code: ErrorCode) {
        if !code.is_error() {
            return;
        }
        let at = ErrorCode::ALL.binary_search(&code).ok();
        if let Some(count) = at.and_then(|at| self.errors.get(at)) {
            add(count, 1);
        }
    }

    pub(crate) fn answered(&self, after: Duration, bytes: usize) {
        self.latency.record(after);
        add_many(&self.response_bytes, bytes);
    }
}

/// How many requests took how long.
#[derive(Debug, Default)]
pub struct Latency {
    /// Of each bound, what is above the one before it; the last is what is above all.
    counts: [AtomicU64; Latency::BOUNDS_US.len() + 1],
    sum_ns: AtomicU64,
}

impl Latency {
    /// Upper bounds in microseconds, each of which belongs to its bucket.
    pub const BOUNDS_US: [u64; 15] = [
        100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
        2_500_000, 10_000_000,
    ];

    /// How many took at most as long as each bound, and how many there are in all.
    pub fn cumulative(&self) -> ([u64; Latency::BOUNDS_US.len()], u64) {
        let mut sum = 0_u64;
        let mut counts = self.counts.iter().map(|count| {
            sum = sum.saturating_add(count.load(Ordering::Relaxed));
            sum
        });
        let within = std::array::from_fn(|_| counts.next().unwrap_or(0));
        let all = counts.next().unwrap_or(0);
        (within, all)
    }

    /// The time of all together.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_ns.load(Ordering::Relaxed))
    }

    fn record(&self, took: Duration) {
        let within = |bound: &u64| took <= Duration::from_micros(*bound);
        let first = Latency::BOUNDS_US.iter().position(within);
        if let Some(count) = self.counts.get(first.unwrap_or(Latency::BOUNDS_US.len())) {
            add(count, 1);
        }
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        add(&self.sum_ns, ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let latency = Latency::default();
        for us in [0, 100, 101, 10_000_000, 10_000_001] {
            latency.record(Duration::from_micros(us));
        }
        let (within, all) = latency.cumulative();
        assert_eq!(
            (within[0], within[1], within[13], within[14], all),
            (2, 3, 3, 4, 5)
        );
        assert_eq!(latency.sum(), Duration::from_micros(20_000_202));
    }

    #[test]
    fn every_error_is_counted_and_success_is_not() {
        let metrics = ApiMetrics::default();
        ErrorCode::ALL.iter().for_each(|code| metrics.error(*code));
        assert_eq!(metrics.errors().count(), ErrorCode::ALL.len() - 1);
        assert!(
            metrics
                .errors()
                .all(|(code, count)| code.is_error() && count == 1)
        );
    }
}

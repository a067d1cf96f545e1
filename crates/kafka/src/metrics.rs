//! What is counted on the way, for the HTTP listener to tell.

mod api;

use std::sync::atomic::{AtomicU64, Ordering};

use firth_kafka_codec::{ApiKey, SERVED};

pub use self::api::{ApiMetrics, Latency};
use crate::groups::Cause;

/// What the Kafka listeners have done since the start. All counters only grow, but for the number of open connections and what there is of groups.
#[derive(Debug)]
pub struct Metrics {
    apis: [ApiMetrics; SERVED.len()],
    connections_open: AtomicU64,
    connections_accepted: AtomicU64,
    /// Those that ended for a reason which was logged as a warning.
    connections_failed: AtomicU64,
    accept_errors: AtomicU64,
    received_bytes: AtomicU64,
    sent_bytes: AtomicU64,
    fetch_looks: AtomicU64,
    groups: AtomicU64,
    group_bytes: AtomicU64,
    rebalances: [AtomicU64; Cause::ALL.len()],
    offsets_committed: AtomicU64,
    offsets_expired: AtomicU64,
}

fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

fn add_many(counter: &AtomicU64, n: usize) {
    if n > 0 {
        add(counter, u64::try_from(n).unwrap_or(u64::MAX));
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics {
            apis: std::array::from_fn(|_| ApiMetrics::default()),
            connections_open: AtomicU64::new(0),
            connections_accepted: AtomicU64::new(0),
            connections_failed: AtomicU64::new(0),
            accept_errors: AtomicU64::new(0),
            received_bytes: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
            fetch_looks: AtomicU64::new(0),
            groups: AtomicU64::new(0),
            group_bytes: AtomicU64::new(0),
            rebalances: std::array::from_fn(|_| AtomicU64::new(0)),
            offsets_committed: AtomicU64::new(0),
            offsets_expired: AtomicU64::new(0),
        }
    }
}

impl Metrics {
    /// Each API that is served, with its counters.
    pub fn apis(&self) -> impl Iterator<Item = (ApiKey, &ApiMetrics)> {
        SERVED.iter().map(|served| served.api_key).zip(&self.apis)
    }

    pub fn connections_open(&self) -> u64 {
        self.connections_open.load(Ordering::Relaxed)
    }

    pub fn connections_accepted(&self) -> u64 {
        self.connections_accepted.load(Ordering::Relaxed)
    }

    pub fn connections_failed(&self) -> u64 {
        self.connections_failed.load(Ordering::Relaxed)
    }

    pub fn accept_errors(&self) -> u64 {
        self.accept_errors.load(Ordering::Relaxed)
    }

    pub fn received_bytes(&self) -> u64 {
        self.received_bytes.load(Ordering::Relaxed)
    }

    pub fn sent_bytes(&self) -> u64 {
        self.sent_bytes.load(Ordering::Relaxed)
    }

    /// How often Fetch looked at a partition: it grows with what happens, not with what is asked for.
    pub fn fetch_looks(&self) -> u64 {
        self.fetch_looks.load(Ordering::Relaxed)
    }

    /// Groups that exist.
    pub fn groups(&self) -> u64 {
        self.groups.load(Ordering::Relaxed)
    }

    /// Memory that members and offsets of groups take.
    pub fn group_bytes(&self) -> u64 {
        self.group_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn set_groups(&self, groups: usize) {
        self.groups
            .store(u64::try_from(groups).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn set_group_bytes(&self, bytes: usize) {
        self.group_bytes
            .store(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How often groups began to rebalance, by cause.
    pub fn rebalances(&self) -> impl Iterator<Item = (Cause, u64)> {
        let counts = self.rebalances.iter().map(|count| count.load(Ordering::Relaxed));
        Cause::ALL.iter().copied().zip(counts)
    }

    /// Offsets that were committed, each partition of a request for itself.
    pub fn offsets_committed(&self) -> u64 {
        self.offsets_committed.load(Ordering::Relaxed)
    }

    /// Offsets that were deleted because nobody needed them for their time of retention, or their topic was gone.
    pub fn offsets_expired(&self) -> u64 {
        self.offsets_expired.load(Ordering::Relaxed)
    }

    pub(crate) fn rebalanced(&self, cause: Cause) {
        let mut counts = Cause::ALL.iter().zip(&self.rebalances);
        if let Some((_, count)) = counts.find(|(known, _)| **known == cause) {
            add(count, 1);
        }
    }

    pub(crate) fn committed(&self, offsets: usize) {
        add_many(&self.offsets_committed, offsets);
    }

    pub(crate) fn expired(&self, offsets: usize) {
        add_many(&self.offsets_expired, offsets);
    }

    pub(crate) fn looked(&self, looks: u64) {
        add(&self.fetch_looks, looks);
    }

    pub(crate) fn api(&self, api_key: ApiKey) -> &ApiMetrics {
        let [first, ..] = &self.apis;
        self.apis()
            .find_map(|(key, metrics)| (key == api_key).then_some(metrics))
            .unwrap_or(first)
    }

    pub(crate) fn received(&self, bytes: usize) {
        add_many(&self.received_bytes, bytes);
    }

    pub(crate) fn sent(&self, bytes: usize) {
        add_many(&self.sent_bytes, bytes);
    }

    pub(crate) fn accepted(&self) {
        add(&self.connections_accepted, 1);
        add(&self.connections_open, 1);
    }

    pub(crate) fn closed(&self, failed: bool) {
        self.connections_open.fetch_sub(1, Ordering::Relaxed);
        add(&self.connections_failed, u64::from(failed));
    }

    pub(crate) fn accept_failed(&self) {
        add(&self.accept_errors, 1);
    }
}

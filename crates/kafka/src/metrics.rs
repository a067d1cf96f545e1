use std::sync::atomic::{AtomicU64, Ordering};

use firth_kafka_codec::{ApiKey, SERVED};

/// What the Kafka listeners have done since the start. All counters only grow, but for the number of open connections.
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
}

/// Counters of one API. On a cache line of its own, because Produce is counted on every core.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct ApiMetrics {
    requests: AtomicU64,
    errors: AtomicU64,
    request_bytes: AtomicU64,
}

fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

fn add_bytes(counter: &AtomicU64, bytes: usize) {
    if bytes > 0 {
        add(counter, u64::try_from(bytes).unwrap_or(u64::MAX));
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
        add_bytes(&self.received_bytes, bytes);
    }

    pub(crate) fn sent(&self, bytes: usize) {
        add_bytes(&self.sent_bytes, bytes);
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

impl ApiMetrics {
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Responses that name at least one error.
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    pub fn request_bytes(&self) -> u64 {
        self.request_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn request(&self, bytes: usize) {
        add(&self.requests, 1);
        add_bytes(&self.request_bytes, bytes);
    }

    pub(crate) fn error(&self) {
        add(&self.errors, 1);
    }
}

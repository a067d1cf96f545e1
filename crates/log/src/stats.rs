//! What the engine counts.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counters since the start, and gauges, as of now.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Stats { $($(#[$doc])* pub $name: u64,)* }

        #[derive(Default)]
        pub(crate) struct Counters { $(pub(crate) $name: AtomicU64,)* }

        impl Counters {
            pub(crate) fn stats(&self) -> Stats {
                Stats { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Batches that were appended.
    batches,
    /// Bytes of batches that were appended.
    batch_bytes,
    /// Commit blocks written to the WAL.
    commits,
    /// Of these, blocks that were full: producers brought more than the disk took.
    full_blocks,
    /// Bytes of commit blocks, padding included.
    wal_written_bytes,
    /// Segments written.
    segments_written,
    /// Bytes of segments written.
    segment_written_bytes,
    /// Segments written that are made of others.
    rewrites,
    /// Bytes of these.
    rewritten_bytes,
    /// Gauge: segments.
    segments,
    /// Gauge: bytes of segments.
    segment_bytes,
    /// Gauge: bytes of batches that no segment holds yet.
    unsealed_bytes,
    /// Gauge: bytes of committed blocks in memory.
    cached_bytes,
    /// Gauge: bytes of WAL files.
    wal_bytes,
    /// Reads of which all came from blocks in memory.
    tail_reads,
    /// Reads of segments of which all came from the page cache.
    cached_reads,
    /// Reads of segments or of the WAL for which the disk had, or might have had, to be waited for.
    disk_reads,
    /// Gauge: logs.
    logs,
    /// Stretches of logs that were acknowledged, found damaged and quarantined.
    quarantined,
    /// Bytes of segments that the scrub read.
    scrub_bytes,
    /// Segments that it verified, and how often it was through with all of them.
    scrub_segments,
    scrub_passes,
    /// What it found damaged and nobody knew before.
    scrub_damages,
    /// Gauge: when it was through with all segments last, in seconds since 1970; 0 before.
    scrub_completed_s,
    /// Gauge: 1 while appending is refused because the disk is full.
    disk_full,
    /// Gauge: 1 after a flush failed.
    failed,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, value: u64) {
        counter.fetch_add(value, Ordering::Relaxed);
    }

    pub(crate) fn set(gauge: &AtomicU64, value: u64) {
        gauge.store(value, Ordering::Relaxed);
    }
}

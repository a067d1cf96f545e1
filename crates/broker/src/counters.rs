use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// What the broker has done since it started. All of them only grow.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[doc = $doc])* pub $name: u64,)*
        }

        impl Counters {
            /// Each counter with its name and what it counts.
            pub fn all(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                [$((stringify!($name), concat!($($doc),*).trim_ascii(), self.$name),)*].into_iter()
            }
        }

        #[derive(Debug, Default)]
        pub(crate) struct Counting {
            $(pub(crate) $name: AtomicU64,)*
        }

        impl Counting {
            pub(crate) fn now(&self) -> Counters {
                Counters { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Batches appended to topics.
    produced_batches,
    /// Records appended to topics.
    produced_records,
    /// Bytes of batches appended to topics, compressed as they came.
    produced_bytes,
    /// Batches that were not appended again because their producer had sent them before.
    duplicate_batches,
    /// Batches refused: too large, out of sequence, with an impossible time, or for a full disk.
    refused_batches,
    /// Bytes of batches read from topics.
    read_bytes,
    /// Topics created.
    topics_created,
    /// Topics deleted.
    topics_deleted,
    /// Times that retention moved the start of a partition.
    retention_trims,
    /// Times that a partition was compacted.
    compactions,
    /// Bytes of batches that compaction left out.
    compacted_bytes,
}

pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

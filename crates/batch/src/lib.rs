//! Kafka's RecordBatch v2: the form that every message has in memory, on disk and on the Kafka wire.
//!
//! A batch is stored as its producer sent it, compressed as received unless its topic wants otherwise. This crate reads its header, checks it,
//! patches the fields that the broker owns, and opens or builds one where that cannot be avoided. For key compaction it
//! leaves records out of a batch ([`retain()`]) and remembers the latest offset of each key ([`LatestOffsets`]), and for topics that
//! have a compression of their own it compresses a batch anew ([`recompress()`]).
//!
//! Invariants:
//! - No input makes a function here panic, read out of bounds, or allocate more than it names. Lengths are checked
//!   against the bytes that are present before anything is allocated; decompression is bounded by the caller's limit.
//! - A [`Batch`] is exactly one whole batch whose decoded [`Header`] agrees with its bytes.
//! - Base offset and leader epoch lie outside the checksum: [`assign`] changes them and nothing else ever needs to.
//! - Nothing here reads a clock, does I/O, or spawns.
//!
//! Absent on purpose: the message formats before v2 (the edge refuses them with [`Error::UnsupportedMagic`]), the
//! building of control batches, and every rule that needs state: sequences, epochs, limits of a topic.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

mod batch;
mod batches;
mod builder;
mod compression;
mod crc;
mod error;
mod header;
mod latest;
mod recompress;
mod records;
mod retain;
mod varint;

pub use batch::Batch;
pub use batches::Batches;
pub use builder::Builder;
pub use compression::{Compression, compress, decompress};
pub use crc::{Crc32c, crc32c};
pub use error::Error;
pub use header::{
    Attributes, HEADER_LEN, Header, LOG_OVERHEAD, NO_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE,
    NO_TIMESTAMP, TimestampType, assign,
};
pub use latest::{Full, LatestOffsets};
pub use recompress::recompress;
pub use records::{Headers, Position, Record, RecordHeader, Records, RecordsIter};
pub use retain::{Retained, retain};

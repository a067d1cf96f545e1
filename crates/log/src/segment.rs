//! Segments: immutable files that hold sealed batches sorted by log.
//!
//! A segment is the sealed form of one span of the write-ahead log, or of older segments that were merged. It is
//! written once by [`Writer`] and read by [`Segment`]; nothing in it changes afterwards.
//!
//! ```text
//!       0  header block, 4 KiB (header.rs)
//!    4096  extents: for each log, in ascending order of log ids, its record batches as the producers sent them, in
//!          ascending order of offsets, without a byte between them
//!     ...  footer: the bodies of the sections which the header names (sections.rs)
//!     ...  zeros up to a multiple of 4 KiB
//! ```
//!
//! All integers are little-endian, except inside the batches, which stay as they came.
//!
//! The header is written and flushed last, after the extents and the footer were flushed: a segment exists if and
//! only if its header is valid. Before a file of that name is written again, its header is zeroed durably.
//!
//! An extent is divided into *chunks* of whole batches, each with a CRC32C of all its bytes. A chunk is the unit of
//! reading and of verification, because the CRC of a batch does not cover its base offset and its leader epoch: no
//! byte of a segment is served whose chunk was not verified by the same read.
//!
//! Absent from here: which segments are live, which logs are trimmed, when to merge. All calls block.

mod cache;
mod header;
mod reader;
mod run;
mod sections;
mod staging;
mod uncached;
mod writer;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod tests;

pub use cache::FooterCache;
pub(crate) use reader::Piece;
pub use reader::Segment;
pub(crate) use uncached::Uncached;
pub use writer::Writer;

use std::fmt;
use std::io;

use crate::file::Storage;
use crate::lock::lock;
use crate::sync::Mutex;

/// The directory of all segments.
pub const DIRECTORY: &str = "segments";

/// The names in [`DIRECTORY`], which several threads create and remove.
///
/// Where a flush of the directory fails, all names that were new then may never be durable, whoever created them, and no
/// later flush tells. So none is believed any more, even if it is a full disk that says so.
#[derive(Default)]
pub struct Names {
    /// A flush failed.
    failed: Mutex<bool>,
}

impl Names {
    /// Makes them durable. One flush at a time, so that one which succeeds began before any failed.
    pub(crate) fn sync(&self, storage: &dyn Storage) -> io::Result<()> {
        let mut failed = lock(&self.failed);
        if *failed {
            let what = format!("an earlier flush of the directory {DIRECTORY} failed");
            return Err(io::Error::other(what));
        }
        let synced = storage.sync_dir(DIRECTORY);
        *failed = synced.is_err();
        synced.map_err(|error| io::Error::other(format!("flushing the directory {DIRECTORY}: {error}")))
    }
}

/// The format version that this code writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 2;
/// The oldest that it reads.
const FORMAT_VERSION_MIN: u32 = 1;

/// A chunk is closed when it holds this many bytes, and before a batch that is as large by itself. So a chunk is
/// shorter than twice this or a single batch, and the index has at most two entries for this many bytes.
pub const CHUNK_BYTES_MIN: u64 = 64 * 1024;

/// Names one segment; ids are never used again, for a segment with other contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub u64);

impl SegmentId {
    /// The path of the file, relative to the data directory.
    pub fn path(self) -> String {
        format!("{DIRECTORY}/{self}")
    }

    /// Reads a name in [`DIRECTORY`]; `None` if it is not the name of a segment.
    pub fn parse(name: &str) -> Option<SegmentId> {
        let id = SegmentId(u64::from_str_radix(name, 16).ok()?);
        (id.to_string() == name).then_some(id)
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What a finished segment is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footer {
    pub summary: Summary,
    /// One for each log, in ascending order of log ids.
    pub extents: Vec<Extent>,
}

/// What is kept in memory of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    pub id: SegmentId,
    /// Length of the file in bytes.
    pub length: u64,
    pub source: Source,
    /// How often these batches were rewritten since they were sealed.
    pub generation: u32,
    pub extent_count: usize,
    /// Bytes of all its batches.
    pub data_bytes: u64,
    pub losses: Losses,
}

/// The span of the write-ahead log, both ends included, from which a segment was sealed. One that is made of others has
/// the span that encloses all of theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    pub first_lsn: u64,
    pub last_lsn: u64,
}

/// The batches of one log in one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub log: u64,
    /// The first of the offsets that it answers for, at most the base offset of the first batch: what was there and is
    /// not kept has no batch.
    pub first_offset: i64,
    /// One more than the last of these, at least one more than the last offset of the last batch.
    pub next_offset: i64,
    /// Where the extent begins in the file, in bytes.
    pub position: u64,
    /// Bytes of all its batches.
    pub length: u64,
    /// The largest of the batches' maximum timestamps, in milliseconds since the epoch.
    pub max_timestamp: i64,
    pub batch_count: u32,
    /// Of each key that was below this offset, in this extent or an older one, only the latest record was kept.
    pub compacted_to: i64,
    /// Where its chunks are in the section of all chunks.
    index: ChunkRange,
}

/// What was acknowledged and is lost, and what no earlier segment names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// A hole may lie before, between or behind the log's batches in the segment that names it; the log need not have any.
    pub holes: Vec<Hole>,
    /// Blocks of the write-ahead log of which nothing tells whose records they held.
    pub blocks: Vec<Source>,
}

/// Offsets of one log that were given to records which are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hole {
    pub log: u64,
    pub first_offset: i64,
    pub next_offset: i64,
}

impl Losses {
    pub fn is_empty(&self) -> bool {
        self.holes.is_empty() && self.blocks.is_empty()
    }
}

/// A run of entries in the section of chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ChunkRange {
    first: u32,
    count: u32,
    crc32c: u32,
}

/// Why a segment cannot be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file has no header. This is how an interrupted [`Writer`] leaves it; it is no segment.
    #[error("segment {segment} was never finished: it has no header")]
    Unfinished { segment: SegmentId },

    /// A newer Firth wrote this file. It was not touched.
    #[error(
        "segment {segment} has format version {version}, this Firth reads up to {FORMAT_VERSION}: use a newer one"
    )]
    UnsupportedVersion { segment: SegmentId, version: u32 },

    /// The segment is there, and what it holds cannot be told.
    #[error("segment {segment} is damaged: {what}")]
    DamagedFooter { segment: SegmentId, what: &'static str },

    /// Offsets from `first_offset` up to but not including `next_offset` of one log cannot be read.
    #[error("segment {segment} is damaged: log {log}, offsets {first_offset} to {next_offset}: {what}")]
    Damaged {
        segment: SegmentId,
        log: u64,
        first_offset: i64,
        next_offset: i64,
        what: &'static str,
    },

    #[error("segment {segment}: {source}")]
    Io { segment: SegmentId, source: io::Error },
}

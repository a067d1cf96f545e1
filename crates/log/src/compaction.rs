//! Which records of a log stay when it is rewritten on request: the latest of each key, or those of some offsets.
//!
//! Compaction goes over a log twice: the first pass notes the latest offset of each key in the stretch that was not
//! compacted yet, the second leaves out what has a later record, from the log's start on. Where there are more keys than
//! the memory for them holds, the stretch ends early, and the next compaction goes on there.

use std::io;
use std::ops::Range;

use bytes::Bytes;
use firth_batch::{Batch, Batches, Header, LatestOffsets, Record, Retained, retain};

use crate::frame::LogId;
use crate::rewrite::Selection;
use crate::segment::Writer;

/// A batch whose records take more than this is kept as it is, decompressed bytes.
const DECOMPRESSED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What of a log is kept when it is rewritten.
#[derive(Clone, Debug)]
pub enum Keep {
    /// The records of these offsets, which are in ascending order and do not overlap.
    Offsets(Vec<Range<i64>>),
    /// Of each key the latest record.
    LatestOfKey(Compaction),
}

/// How a log is compacted.
#[derive(Clone, Copy, Debug)]
pub struct Compaction {
    /// Records from here on stay, and say nothing of those before.
    pub to: i64,
    /// Records that delete a key go if their delete horizon is over at this time, in milliseconds since 1970.
    pub now_ms: i64,
    /// What those get that compaction meets for the first time.
    pub delete_horizon_ms: i64,
    /// Memory for the keys, in bytes.
    pub memory_bytes: usize,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rewritten {
    pub bytes_before: u64,
    pub bytes_after: u64,
    /// The offset up to which the log is compacted now.
    pub compacted_to: i64,
}

/// Why a log was not rewritten. It is as it was, or a part of it is rewritten.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RewriteError {
    #[error("log {} does not exist on disk", .0.0)]
    UnknownLog(LogId),
    #[error("the engine is closing, or only looks")]
    Stopped,
    #[error("the disk is full")]
    Full,
    #[error("it cannot be read: {0}")]
    Unreadable(String),
}

/// Keeps the latest record of each key below an offset.
pub(crate) struct LatestOfKey<'a> {
    pub(crate) keys: &'a LatestOffsets,
    pub(crate) compaction: Compaction,
    /// What the log is compacted to when this is written.
    pub(crate) compacted_to: i64,
}

impl Selection for LatestOfKey<'_> {
    fn select(&self, _: LogId, batches: &[u8], writer: &mut Writer<'_>) -> io::Result<()> {
        let Compaction { to, now_ms, .. } = self.compaction;
        select(
            batches,
            writer,
            |header| match header.base_offset >= to {
                true => Whole::Kept,
                false => Whole::Unknown,
            },
            Some(self.compaction.delete_horizon_ms),
            |header, record, offset| offset >= to || self.keys.keeps(header, record, now_ms),
        )
    }

    fn compacted_to(&self) -> i64 {
        self.compacted_to
    }
}

/// Keeps the records of some offsets.
pub(crate) struct Offsets<'a>(pub(crate) &'a [Range<i64>]);

impl Selection for Offsets<'_> {
    fn select(&self, _: LogId, batches: &[u8], writer: &mut Writer<'_>) -> io::Result<()> {
        let first_after = |offset: i64| self.0.get(self.0.partition_point(|range| range.end <= offset));
        select(
            batches,
            writer,
            |header| match first_after(header.base_offset) {
                // A single record stands for all offsets of its batch: that is how a log refers to records of another.
                Some(range) if header.record_count == 1 && range.start < header.next_offset() => Whole::Kept,
                Some(range) if range.start >= header.next_offset() => Whole::Gone,
                Some(range) if range.start <= header.base_offset && header.next_offset() <= range.end => {
                    Whole::Kept
                }
                Some(_) => Whole::Unknown,
                None => Whole::Gone,
            },
            None,
            |_, _, offset| first_after(offset).is_some_and(|range| range.start <= offset),
        )
    }

    fn compacted_to(&self) -> i64 {
        0
    }
}

/// What becomes of a batch, as far as its header tells.
enum Whole {
    Kept,
    Gone,
    Unknown,
}

/// Hands the batches on, those of which some records go as new ones. What cannot be opened stays as it is.
fn select(
    batches: &[u8],
    writer: &mut Writer<'_>,
    whole: impl Fn(&Header) -> Whole,
    delete_horizon_ms: Option<i64>,
    keep: impl Fn(&Header, &Record<'_>, i64) -> bool,
) -> io::Result<()> {
    for batch in Batches::new(batches) {
        let (header, bytes) = batch.map_err(io::Error::other)?;
        let retained = match whole(&header) {
            Whole::Kept => Ok(Retained::Unchanged),
            Whole::Gone => Ok(Retained::Nothing),
            Whole::Unknown => Batch::stored(Bytes::copy_from_slice(bytes)).and_then(|batch| {
                retain(&batch, DECOMPRESSED_BYTES_MAX, delete_horizon_ms, |record| {
                    keep(&header, record, record.offset)
                })
            }),
        };
        match retained {
            Ok(Retained::Nothing) => {}
            Ok(Retained::Unchanged) | Err(_) => writer.push(bytes)?,
            Ok(Retained::Rewritten(batch)) => writer.push(batch.bytes())?,
        }
    }
    Ok(())
}

/// Notes the keys of records between two offsets. Gives the offset of the first batch that there was no room for.
pub(crate) fn note(keys: &mut LatestOffsets, batches: &[u8], from: i64, to: i64) -> Result<(), i64> {
    for (header, bytes) in Batches::new(batches).map_while(Result::ok) {
        if header.attributes.is_control() {
            continue;
        }
        let batch = Batch::stored(Bytes::copy_from_slice(bytes));
        let Ok(records) = batch.and_then(|batch| batch.records(DECOMPRESSED_BYTES_MAX)) else {
            continue;
        };
        for record in records.iter().map_while(Result::ok) {
            if let Some(key) = record.key.filter(|_| (from..to).contains(&record.offset))
                && keys.insert(key, record.offset).is_err()
            {
                return Err(header.base_offset);
            }
        }
    }
    Ok(())
}

//! The sections of a segment's footer. A reader skips the types that it does not know.
//!
//! ```text
//! type 1, EXTENTS: one entry of 68 bytes for each log, in ascending order of log ids
//!     0  8  log id
//!     8  8  first offset: of those that this extent answers for, at most the base offset of the first batch
//!    16  8  next offset: one more than the last of these, and than the last offset of the last batch
//!    24  8  position in the file; the first extent is at 4096, each other where the one before ends
//!    32  8  length in bytes
//!    40  8  maximum timestamp
//!    48  4  number of batches
//!    52  4  number of chunks
//!    56  4  CRC32C of the entries of these chunks in CHUNKS
//!    60  8  compacted to: of each key that was below this offset only the latest record was kept; 0 where it never was.
//!           Format version 1 ends before this field, and has no extents without batches
//!
//! type 2, CHUNKS: for each extent in turn, one entry of 28 bytes for each of its chunks
//!     0  8  first offset: base offset of the first batch
//!     8  8  position in the file; the chunk ends where the next one of its extent begins, or with the extent
//!    16  8  maximum timestamp of all batches of the extent up to the end of this chunk
//!    24  4  CRC32C of the chunk's bytes
//!
//! type 3, PRODUCERS: the idempotent producers' windows as of the end of the extent, in ascending order of log ids
//!     0  8  log id
//!     8  4  length n
//!    12  n  the windows of all producers of this log, encoded by those who keep them
//!
//! type 4, SOURCE: the span of the write-ahead log which was sealed here, or in the segments that this one is made of
//!     0  8  first LSN
//!     8  8  last LSN, included
//!
//! type 5, HOLES: one entry of 24 bytes for each stretch of a log that was acknowledged and is lost, and that no earlier
//! segment names, in ascending order of log ids and offsets
//!     0  8  log id
//!     8  8  first offset
//!    16  8  next offset: one more than the last one
//!
//! type 6, LOST_BLOCKS: one entry of 16 bytes for each span of the write-ahead log, within what was sealed here, that was
//! acknowledged and is lost without anything that tells whose records it held
//!     0  8  first LSN
//!     8  8  last LSN, included
//!
//! type 7, GENERATION: how often these batches were rewritten since they were sealed; 0 where it is absent
//!     0  4  generation
//! ```

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

use bytes::{Buf, BufMut, Bytes};

use super::header::HEADER_LEN;
use super::{ChunkRange, Extent, FORMAT_VERSION_MIN, Hole, Source};

pub(super) const EXTENTS: u32 = 1;
pub(super) const CHUNKS: u32 = 2;
pub(super) const PRODUCERS: u32 = 3;
pub(super) const SOURCE: u32 = 4;
pub(super) const HOLES: u32 = 5;
pub(super) const LOST_BLOCKS: u32 = 6;
pub(super) const GENERATION: u32 = 7;

const EXTENT_LEN: usize = 68;
pub(super) const CHUNK_LEN: usize = 28;
const HOLE_LEN: usize = 24;
const SPAN_LEN: usize = 16;

/// One entry of the sparse index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) first_offset: i64,
    pub(super) position: u64,
    /// Running maximum over the extent.
    pub(super) max_timestamp: i64,
    pub(super) crc32c: u32,
}

pub(super) fn encode_extents(extents: &[Extent]) -> Vec<u8> {
    let mut body = Vec::with_capacity(extents.len().saturating_mul(EXTENT_LEN));
    for extent in extents {
        body.put_u64_le(extent.log);
        body.put_i64_le(extent.first_offset);
        body.put_i64_le(extent.next_offset);
        body.put_u64_le(extent.position);
        body.put_u64_le(extent.length);
        body.put_i64_le(extent.max_timestamp);
        body.put_u32_le(extent.batch_count);
        body.put_u32_le(extent.index.count);
        body.put_u32_le(extent.index.crc32c);
        body.put_i64_le(extent.compacted_to);
    }
    body
}

/// Reads all extents of a segment of this format version. They must fill the file from the end of its header up to `extents_end`, and name `chunk_count`
/// chunks together; `None` if they do not.
pub(super) fn decode_extents(
    version: u32,
    mut body: &[u8],
    extents_end: u64,
    chunk_count: u64,
) -> Option<Vec<Extent>> {
    let mut extents: Vec<Extent> = Vec::with_capacity(body.len() / EXTENT_LEN);
    let mut position = HEADER_LEN as u64;
    let mut first_chunk = 0u32;
    while body.has_remaining() {
        let extent = Extent {
            log: body.try_get_u64_le().ok()?,
            first_offset: body.try_get_i64_le().ok()?,
            next_offset: body.try_get_i64_le().ok()?,
            position: body.try_get_u64_le().ok()?,
            length: body.try_get_u64_le().ok()?,
            max_timestamp: body.try_get_i64_le().ok()?,
            batch_count: body.try_get_u32_le().ok()?,
            index: ChunkRange {
                first: first_chunk,
                count: body.try_get_u32_le().ok()?,
                crc32c: body.try_get_u32_le().ok()?,
            },
            compacted_to: match version {
                FORMAT_VERSION_MIN => 0,
                _ => body.try_get_i64_le().ok()?,
            },
        };
        let ascends = extents.last().is_none_or(|before| before.log < extent.log);
        let holds_batches = extent.length > 0 && extent.index.count > 0;
        let is_empty = extent.length == 0 && extent.index.count == 0 && extent.batch_count == 0;
        let is_sound = holds_batches || (is_empty && version > FORMAT_VERSION_MIN);
        if !ascends || !is_sound || extent.first_offset >= extent.next_offset || extent.position != position {
            return None;
        }
        position = position.checked_add(extent.length)?;
        first_chunk = first_chunk.checked_add(extent.index.count)?;
        extents.push(extent);
    }
    (position <= extents_end && u64::from(first_chunk) == chunk_count).then_some(extents)
}

pub(super) fn encode_chunks(chunks: &[Chunk]) -> Vec<u8> {
    let mut body = Vec::with_capacity(chunks.len().saturating_mul(CHUNK_LEN));
    for chunk in chunks {
        body.put_i64_le(chunk.first_offset);
        body.put_u64_le(chunk.position);
        body.put_i64_le(chunk.max_timestamp);
        body.put_u32_le(chunk.crc32c);
    }
    body
}

/// Reads the chunks of one extent. They must divide it from its first byte to its last; `None` if they do not.
pub(super) fn decode_chunks(mut body: &[u8], extent: &Extent) -> Option<Vec<Chunk>> {
    let mut chunks: Vec<Chunk> = Vec::with_capacity(body.len() / CHUNK_LEN);
    let end = extent.position.checked_add(extent.length)?;
    while body.has_remaining() {
        let chunk = Chunk {
            first_offset: body.try_get_i64_le().ok()?,
            position: body.try_get_u64_le().ok()?,
            max_timestamp: body.try_get_i64_le().ok()?,
            crc32c: body.try_get_u32_le().ok()?,
        };
        let follows = match chunks.last() {
            None => chunk.position == extent.position && chunk.first_offset >= extent.first_offset,
            Some(before) => {
                before.position < chunk.position
                    && before.first_offset < chunk.first_offset
                    && before.max_timestamp <= chunk.max_timestamp
            }
        };
        if !follows || chunk.position >= end || chunk.first_offset >= extent.next_offset {
            return None;
        }
        chunks.push(chunk);
    }
    Some(chunks)
}

pub(super) fn encode_producers(body: &mut Vec<u8>, log: u64, windows: &[u8]) {
    let length = u32::try_from(windows.len()).unwrap_or(u32::MAX);
    assert!(
        length < u32::MAX,
        "the producers' windows of one log have less than 4 GiB"
    );
    body.put_u64_le(log);
    body.put_u32_le(length);
    body.put_slice(windows);
}

/// The windows of each log, in ascending order of log ids; `None` if the lengths do not add up.
pub(super) fn decode_producers(mut body: Bytes) -> Option<Vec<(u64, Bytes)>> {
    let mut producers = Vec::new();
    while body.has_remaining() {
        let log = body.try_get_u64_le().ok()?;
        let length = usize::try_from(body.try_get_u32_le().ok()?).ok()?;
        if length > body.remaining() {
            return None;
        }
        producers.push((log, body.split_to(length)));
    }
    Some(producers)
}

pub(super) fn encode_spans(spans: &[Source]) -> Vec<u8> {
    let mut body = Vec::with_capacity(spans.len().saturating_mul(SPAN_LEN));
    for span in spans {
        body.put_u64_le(span.first_lsn);
        body.put_u64_le(span.last_lsn);
    }
    body
}

/// All spans of the write-ahead log; `None` if one of them is none.
pub(super) fn decode_spans(mut body: &[u8]) -> Option<Vec<Source>> {
    let mut spans = Vec::with_capacity(body.len() / SPAN_LEN);
    while body.has_remaining() {
        spans.push(Source {
            first_lsn: body.try_get_u64_le().ok()?,
            last_lsn: body.try_get_u64_le().ok()?,
        });
    }
    Some(spans)
}

pub(super) fn encode_holes(holes: &[Hole]) -> Vec<u8> {
    let mut body = Vec::with_capacity(holes.len().saturating_mul(HOLE_LEN));
    for hole in holes {
        body.put_u64_le(hole.log);
        body.put_i64_le(hole.first_offset);
        body.put_i64_le(hole.next_offset);
    }
    body
}

/// All holes; `None` if one of them is none.
pub(super) fn decode_holes(mut body: &[u8]) -> Option<Vec<Hole>> {
    let mut holes = Vec::with_capacity(body.len() / HOLE_LEN);
    while body.has_remaining() {
        let hole = Hole {
            log: body.try_get_u64_le().ok()?,
            first_offset: body.try_get_i64_le().ok()?,
            next_offset: body.try_get_i64_le().ok()?,
        };
        if hole.first_offset < 0 || hole.first_offset >= hole.next_offset {
            return None;
        }
        holes.push(hole);
    }
    Some(holes)
}

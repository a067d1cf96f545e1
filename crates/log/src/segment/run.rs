//! The chunks that one read fetches, and the batches in them.

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

use std::ops::Range;

use bytes::Bytes;
use firth_batch::Batches;

use super::Extent;
use super::sections::Chunk;

/// Consecutive chunks of one extent: what one read fetches.
#[derive(Clone, Copy)]
pub(super) struct ChunkRun<'a> {
    pub(super) extent: &'a Extent,
    pub(super) chunks: &'a [Chunk],
    pub(super) position: u64,
    /// Where the last chunk ends, in the file and in offsets.
    end: u64,
    next_offset: i64,
}

impl<'a> ChunkRun<'a> {
    /// From the chunk `first` on, as many as `max_bytes` allows, but at least one.
    pub(super) fn fitting(
        extent: &'a Extent,
        chunks: &'a [Chunk],
        first: usize,
        max_bytes: usize,
    ) -> ChunkRun<'a> {
        let rest = chunks.get(first..).unwrap_or_default();
        let position = rest.first().map_or(extent.position, |chunk| chunk.position);
        let extent_end = extent.position.saturating_add(extent.length);
        let limit = position.saturating_add(max_bytes as u64);
        let count = match extent_end <= limit {
            true => rest.len(),
            // A chunk fits if the one behind it begins within the limit.
            false => rest
                .partition_point(|chunk| chunk.position <= limit)
                .saturating_sub(1)
                .max(1),
        };
        Self::of(extent, rest, count)
    }

    fn of(extent: &'a Extent, rest: &'a [Chunk], count: usize) -> ChunkRun<'a> {
        let behind = rest.get(count);
        ChunkRun {
            extent,
            chunks: rest.get(..count).unwrap_or(rest),
            position: rest.first().map_or(extent.position, |chunk| chunk.position),
            end: behind.map_or(extent.position.saturating_add(extent.length), |chunk| {
                chunk.position
            }),
            next_offset: behind.map_or(extent.next_offset, |chunk| chunk.first_offset),
        }
    }

    pub(super) fn first_chunk(&self) -> ChunkRun<'a> {
        match self.chunks.len() {
            0 | 1 => *self,
            _ => Self::of(self.extent, self.chunks, 1),
        }
    }

    pub(super) fn length(&self) -> u64 {
        self.end.saturating_sub(self.position)
    }

    pub(super) fn offsets(&self) -> Range<i64> {
        let first = self
            .chunks
            .first()
            .map_or(self.extent.first_offset, |chunk| chunk.first_offset);
        first..self.next_offset
    }

    /// The part of `bytes`, which are those of the whole run, that is the chunk `index`.
    pub(super) fn bytes_of<'b>(&self, index: usize, bytes: &'b [u8]) -> &'b [u8] {
        let position_of = |chunk: &Chunk| usize::try_from(chunk.position.saturating_sub(self.position)).ok();
        let start = self.chunks.get(index).and_then(position_of);
        let end = self
            .chunks
            .get(index.saturating_add(1))
            .map_or(Some(bytes.len()), position_of);
        start
            .zip(end)
            .and_then(|(start, end)| bytes.get(start..end))
            .unwrap_or_default()
    }
}

/// The batches of `chunks` from the one that holds `from_offset` or the first after it, and the offset behind them where
/// they are not the last of the chunks; `None` if all end before it.
pub(super) fn cut(
    chunks: &Bytes,
    from_offset: i64,
    max_bytes: usize,
) -> Result<Option<(Bytes, Option<i64>)>, firth_batch::Error> {
    let mut batches = Batches::new(chunks);
    let mut rest = batches.rest();
    let (header, first) = loop {
        let Some(batch) = batches.next() else {
            return Ok(None);
        };
        let (header, batch) = batch?;
        if header.next_offset() > from_offset {
            break (header, batch);
        }
        rest = batches.rest();
    };
    if rest.len() <= max_bytes {
        return Ok(Some((chunks.slice_ref(rest), None)));
    }
    let mut length = first.len();
    let mut next_offset = header.next_offset();
    for (header, batch) in batches.map_while(Result::ok) {
        match length.checked_add(batch.len()) {
            Some(longer) if longer <= max_bytes => length = longer,
            _ => break,
        }
        next_offset = header.next_offset();
    }
    let cut = rest.get(..length);
    Ok(cut.map(|batches| (chunks.slice_ref(batches), Some(next_offset))))
}

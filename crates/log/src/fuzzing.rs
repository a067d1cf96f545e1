//! What the fuzz targets call of what is private. No part of the API.

use crate::block;
use crate::frame::LogId;
use crate::meta;
use crate::producers::Producers;

/// A log's part of a commit block.
#[derive(Debug)]
pub struct Slice<'a> {
    pub log: LogId,
    pub first_offset: i64,
    pub next_offset: i64,
    /// `None` where it is damaged.
    pub batches: Option<&'a [u8]>,
}

/// What a commit block holds, and how long it says to be. `None` where it is none, or its directory is damaged.
pub fn block(bytes: &[u8]) -> Option<(usize, Vec<Slice<'_>>)> {
    let header = block::decode_header(bytes).ok()?;
    let slice = |entry: block::Entry| Slice {
        log: entry.log,
        first_offset: entry.first_offset,
        next_offset: entry.next_offset,
        batches: block::payload(&entry, bytes),
    };
    let entries = block::decode_directory(&header, bytes)?;
    Some((
        header.total_bytes as usize,
        entries.into_iter().map(slice).collect(),
    ))
}

/// The number of records of the engine's own log in its batches. `None` where there is one that is not known.
pub fn meta_records(batches: &[u8]) -> Option<usize> {
    meta::decode(batches).map(|(records, _)| records.len())
}

/// The windows of producers, read and written again.
pub fn windows(bytes: &[u8]) -> Option<Vec<u8>> {
    Producers::decode(bytes).map(|producers| producers.encode())
}

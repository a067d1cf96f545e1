//! The one background operation: sources in, one segment out.
//!
//! Sealing gives it WAL blocks; merging and reclaiming will give it segments too. What is below a log's start, or of
//! a deleted log, is left out; offsets stay as they are.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use firth_batch::Batches;

use crate::block::{self, Entry};
use crate::core::Core;
use crate::file::Mode;
use crate::frame::LogId;
use crate::producers::Producers;
use crate::segment::{Footer, SegmentId, Source, Writer};
use crate::stored::{Loaded, StoredBlock};

/// The windows of idempotent producers as of what is sealed.
pub(crate) type SealedProducers = HashMap<LogId, Producers>;

/// One log's part of a source.
struct Piece<'a> {
    entry: &'a Entry,
    block: &'a Loaded,
}

/// Writes what is kept of `blocks` into the segment `id`. `None` where nothing is. `producers` take note of every batch,
/// kept or not: a trimmed batch may still be retried.
pub(crate) fn rewrite(
    core: &Core,
    blocks: &[Arc<StoredBlock>],
    source: Source,
    id: SegmentId,
    producers: &mut SealedProducers,
) -> io::Result<Option<Footer>> {
    let loaded = blocks.iter().map(|block| block.load()).collect::<io::Result<Vec<_>>>()?;
    let pieces = kept(core, blocks, &loaded);
    if pieces.is_empty() {
        return Ok(None);
    }
    let disk = core.disk();
    let mode = if disk.direct { Mode::Direct } else { Mode::Buffered };
    let mut writer = Writer::create(&*disk.storage, id, mode)?;
    for group in pieces.chunk_by(|a, b| a.entry.log == b.entry.log) {
        let log = group[0].entry.log;
        writer.begin_extent(log.0);
        for piece in group {
            let Some(batches) = verified(core, piece) else { continue };
            note_producers(batches, log, producers, core.now_ms());
            writer.push(batches)?;
        }
        if let Some(windows) = producers.get(&log).filter(|windows| !windows.is_empty()) {
            writer.producers(log.0, &windows.encode());
        }
    }
    writer.finish(source).map(Some)
}

/// The parts that are kept, in order of their logs and offsets.
fn kept<'a>(core: &Core, blocks: &'a [Arc<StoredBlock>], loaded: &'a [Loaded]) -> Vec<Piece<'a>> {
    let mut starts: HashMap<LogId, Option<i64>> = HashMap::new();
    let mut pieces: Vec<Piece<'a>> = Vec::new();
    for (block, loaded) in blocks.iter().zip(loaded) {
        for entry in &block.entries {
            let start = starts.entry(entry.log).or_insert_with(|| core.view(entry.log).map(|view| view.bounds().start));
            if start.is_some_and(|start| entry.next_offset > start) {
                pieces.push(Piece { entry, block: loaded });
            }
        }
    }
    // Blocks come in order, so a stable sort keeps each log's offsets in order.
    pieces.sort_by_key(|piece| piece.entry.log);
    pieces
}

/// The piece's batches. `None` where the WAL does not have them as they were written, which is then quarantined.
fn verified<'a>(core: &Core, piece: &Piece<'a>) -> Option<&'a [u8]> {
    let Entry { log, first_offset, next_offset, .. } = *piece.entry;
    let batches = match piece.block {
        Loaded::Memory(block) => return Some(block::slice(piece.entry, block)),
        Loaded::Wal(block) => block::payload(piece.entry, block),
    };
    if batches.is_none() {
        if let Some(view) = core.view(log) {
            view.quarantine(first_offset, next_offset);
        }
        tracing::error!(log = log.0, first_offset, next_offset, "acknowledged data is damaged in the WAL; quarantined");
    }
    batches
}

pub(crate) fn note_producers(batches: &[u8], log: LogId, producers: &mut SealedProducers, now_ms: i64) {
    for batch in Batches::new(batches) {
        let Ok((header, _)) = batch else { break };
        if header.has_producer_id() {
            producers
                .entry(log)
                .or_default()
                .observe(&header, header.base_offset, now_ms);
        }
    }
}

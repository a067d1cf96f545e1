//! The one background operation: sources in, one segment out.
//!
//! Sealing gives it WAL blocks; merging and reclaiming will give it segments too. What is below a log's start, or of
//! a deleted log, is left out; offsets stay as they are.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::Arc;

use firth_batch::Batches;

use crate::block::{self, Entry};
use crate::core::Core;
use crate::file::Mode;
use crate::frame::LogId;
use crate::producers::Producers;
use crate::segment::{Footer, Hole, SegmentId, Source, Writer};
use crate::stored::{Loaded, StoredBlock};

/// The windows of idempotent producers as of what is sealed, and the segment that holds them last.
#[derive(Clone, Default)]
pub(crate) struct SealedProducers(HashMap<LogId, Sealed>);

/// No segment has this id.
const NOWHERE: SegmentId = SegmentId(0);

#[derive(Clone)]
struct Sealed {
    producers: Producers,
    segment: SegmentId,
}

/// One log's part of a source.
struct Piece<'a> {
    entry: &'a Entry,
    block: &'a Arc<StoredBlock>,
    loaded: &'a Loaded,
    /// A trimmed batch may still be retried, so its producer is noted.
    is_trimmed: bool,
}

/// Writes what is kept of `blocks` into the segment `id`, and the windows of producers that segments which are `dead`
/// hold last. `None` where there is nothing to write.
pub(crate) fn rewrite(
    core: &Core,
    blocks: &[Arc<StoredBlock>],
    source: Source,
    id: SegmentId,
    producers: &mut SealedProducers,
    dead: &[SegmentId],
) -> io::Result<Option<Footer>> {
    let loaded = blocks
        .iter()
        .map(|block| block.load())
        .collect::<io::Result<Vec<_>>>()?;
    let pieces = pieces(core, blocks, &loaded);
    let mut changed = producers.held_by(dead);
    changed.extend(producers.held_by(&[NOWHERE]));
    if pieces.is_empty() && changed.is_empty() {
        return Ok(None);
    }
    let disk = core.disk();
    let mode = if disk.direct { Mode::Direct } else { Mode::Buffered };
    let mut writer = Writer::create(&*disk.storage, id, mode)?;
    let kept = pieces.iter().filter(|piece| !piece.is_trimmed);
    writer.reserve(kept.map(|piece| u64::from(piece.entry.length)).sum())?;
    for group in pieces.chunk_by(|a, b| a.entry.log == b.entry.log) {
        let log = group[0].entry.log;
        writer.begin_extent(log.0);
        for piece in group {
            let Some(batches) = verified(core, piece)? else {
                continue;
            };
            if producers.note(batches, log, core.now_ms()) {
                changed.insert(log);
            }
            if !piece.is_trimmed {
                writer.push(batches)?;
            }
            disk.gate.progress(batches.len() as u64);
        }
        name_holes(core, &mut writer, group[0].entry);
    }
    for log in &changed {
        if let Some(sealed) = producers.0.get(log) {
            writer.producers(log.0, &sealed.producers.encode());
        }
    }
    let footer = writer.finish(source)?;
    changed.iter().for_each(|log| producers.set_segment(*log, id));
    Ok(Some(footer))
}

/// Names what was found damaged of a log since its first batch here: nothing else tells it when the WAL is written over.
fn name_holes(core: &Core, writer: &mut Writer<'_>, first: &Entry) {
    let view = core.view(first.log);
    let holes = view.map(|view| view.holes_from(first.first_offset));
    for (first_offset, next_offset) in holes.unwrap_or_default() {
        writer.hole(Hole {
            log: first.log.0,
            first_offset,
            next_offset,
        });
    }
}

impl SealedProducers {
    /// Takes over what a segment holds of a log.
    pub(crate) fn insert(&mut self, log: LogId, producers: Producers, segment: SegmentId) {
        self.0.insert(log, Sealed { producers, segment });
    }

    /// Notes the producers of some batches, and says whether there were any.
    pub(crate) fn note(&mut self, batches: &[u8], log: LogId, now_ms: i64) -> bool {
        let mut noted = false;
        for batch in Batches::new(batches) {
            let Ok((header, _)) = batch else { break };
            if header.has_producer_id() {
                let sealed = self.0.entry(log).or_insert_with(|| Sealed {
                    producers: Producers::default(),
                    segment: NOWHERE,
                });
                sealed.producers.observe(&header, header.base_offset, now_ms);
                noted = true;
            }
        }
        noted
    }

    pub(crate) fn remove(&mut self, log: LogId) -> Option<Producers> {
        self.0.remove(&log).map(|sealed| sealed.producers)
    }

    /// Forgets producers that have not appended since `horizon_ms`, and logs that are gone.
    pub(crate) fn expire(&mut self, horizon_ms: i64, exists: impl Fn(LogId) -> bool) {
        self.0.retain(|log, sealed| {
            sealed.producers.expire(horizon_ms);
            !sealed.producers.is_empty() && exists(*log)
        });
    }

    /// Logs whose windows are last in one of these segments.
    pub(crate) fn held_by(&self, segments: &[SegmentId]) -> BTreeSet<LogId> {
        let held = self
            .0
            .iter()
            .filter(|(_, sealed)| segments.contains(&sealed.segment));
        held.map(|(log, _)| *log).collect()
    }

    /// These segments are removed; the next one takes over what they held last.
    pub(crate) fn lose(&mut self, segments: &[SegmentId]) {
        for log in self.held_by(segments) {
            self.set_segment(log, NOWHERE);
        }
    }

    fn set_segment(&mut self, log: LogId, segment: SegmentId) {
        if let Some(sealed) = self.0.get_mut(&log) {
            sealed.segment = segment;
        }
    }
}

/// The parts of logs that still exist, in order of their logs and offsets.
fn pieces<'a>(core: &Core, blocks: &'a [Arc<StoredBlock>], loaded: &'a [Loaded]) -> Vec<Piece<'a>> {
    let mut starts: HashMap<LogId, Option<i64>> = HashMap::new();
    let mut pieces: Vec<Piece<'a>> = Vec::new();
    for (block, loaded) in blocks.iter().zip(loaded) {
        for entry in &block.entries {
            let start = starts
                .entry(entry.log)
                .or_insert_with(|| core.view(entry.log).map(|view| view.bounds().start));
            if let Some(start) = *start {
                pieces.push(Piece {
                    entry,
                    block,
                    loaded,
                    is_trimmed: entry.next_offset <= start,
                });
            }
        }
    }
    // Blocks come in order, so a stable sort keeps each log's offsets in order.
    pieces.sort_by_key(|piece| piece.entry.log);
    pieces
}

/// The piece's batches. `None` where the WAL does not have them as they were written, which is then quarantined.
fn verified<'a>(core: &Core, piece: &Piece<'a>) -> io::Result<Option<&'a [u8]>> {
    let batches = match piece.loaded {
        Loaded::Memory(block) => return Ok(Some(block::slice(piece.entry, block))),
        Loaded::Wal(block) => block::payload(piece.entry, block),
    };
    if batches.is_none() && !piece.is_trimmed {
        // The file is written over when this is sealed.
        piece.block.keep_evidence(&*core.disk().storage)?;
        let Entry {
            log,
            first_offset,
            next_offset,
            ..
        } = *piece.entry;
        core.quarantine(log, first_offset, next_offset, "a block of the WAL");
    }
    Ok(batches)
}

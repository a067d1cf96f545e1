//! The one background operation: sources in, one segment out.
//!
//! Sealing gives it WAL blocks; merging and reclaiming will give it segments too. What is below a log's start, or of
//! a deleted log, is left out; offsets stay as they are.
//!
//! What the WAL lost has no place among the batches, and when the WAL is written over nothing else tells of it. So the
//! next segment that is written names it, and it is known before anything behind it counts as sealed. A lost batch is in
//! no producer's window, as if it had never been sent: sent again it is taken.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use firth_batch::Batches;

use crate::block::{self, Entry};
use crate::core::Core;
use crate::file::Mode;
use crate::frame::LogId;
use crate::ids::IdMap;
use crate::producers::Producers;
use crate::segment::{Footer, Hole, Losses, SegmentId, Source, Writer};
use crate::stored::{Loaded, StoredBlock};

/// What segments hold beside batches, and the next one takes over.
pub(crate) struct Carried {
    pub(crate) producers: SealedProducers,
    /// What no segment names yet.
    pub(crate) losses: Losses,
}

/// The windows of idempotent producers as of what is sealed, and the segment that holds them last.
#[derive(Clone, Default)]
pub(crate) struct SealedProducers(IdMap<LogId, Sealed>);

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

/// Writes what is kept of `blocks` into the segment `id`, with the windows of producers that segments which are `dead` hold
/// last, and with what is lost. `None` where there is nothing to write.
pub(crate) fn rewrite(
    core: &Core,
    blocks: &[Arc<StoredBlock>],
    source: Source,
    id: SegmentId,
    carried: &mut Carried,
    dead: &[SegmentId],
) -> io::Result<Option<Footer>> {
    let mut losses = carried.losses_before(source.last_lsn, |hole| is_kept(core, hole));
    let producers = &mut carried.producers;
    let loaded = blocks
        .iter()
        .map(|block| block.load())
        .collect::<io::Result<Vec<_>>>()?;
    let pieces = pieces(core, blocks, &loaded);
    let mut changed = producers.held_by(dead);
    changed.extend(producers.held_by(&[NOWHERE]));
    if pieces.is_empty() && changed.is_empty() && losses.is_empty() {
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
            let Some(batches) = verified(piece) else {
                losses.holes.extend(quarantine(core, piece)?);
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
    }
    for log in &changed {
        if let Some(sealed) = producers.0.get(log) {
            writer.producers(log.0, &sealed.producers.encode());
        }
    }
    losses.holes.sort_unstable();
    let footer = writer.finish(source, losses)?;
    changed.iter().for_each(|log| producers.set_segment(*log, id));
    carried.forget_losses_before(source.last_lsn);
    Ok(Some(footer))
}

/// Whether the log is there and not trimmed beyond the hole.
fn is_kept(core: &Core, hole: &Hole) -> bool {
    let view = core.view(LogId(hole.log));
    view.is_some_and(|view| view.bounds().start < hole.next_offset)
}

impl Carried {
    pub(crate) fn new(producers: SealedProducers, losses: Losses) -> Carried {
        Carried { producers, losses }
    }

    /// What the segment of a span up to `lsn` names: all holes, and the lost blocks of the span, so that no later segment
    /// holds anything that is older.
    fn losses_before(&self, lsn: u64, is_kept: impl Fn(&Hole) -> bool) -> Losses {
        let Losses { holes, blocks } = &self.losses;
        Losses {
            holes: holes.iter().filter(|hole| is_kept(hole)).copied().collect(),
            blocks: blocks
                .iter()
                .filter(|span| span.first_lsn <= lsn)
                .copied()
                .collect(),
        }
    }

    fn forget_losses_before(&mut self, lsn: u64) {
        self.losses.holes.clear();
        self.losses.blocks.retain(|span| span.first_lsn > lsn);
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
    let mut starts: IdMap<LogId, Option<i64>> = IdMap::default();
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

/// The piece's batches. `None` where the WAL does not have them as they were written.
fn verified<'a>(piece: &Piece<'a>) -> Option<&'a [u8]> {
    match piece.loaded {
        Loaded::Memory(block) => Some(block::slice(piece.entry, block)),
        Loaded::Wal(block) => block::payload(piece.entry, block),
    }
}

/// Quarantines a piece that is damaged. `None` where nobody misses it.
fn quarantine(core: &Core, piece: &Piece<'_>) -> io::Result<Option<Hole>> {
    if piece.is_trimmed {
        return Ok(None);
    }
    // The file is written over when this is sealed.
    piece.block.keep_evidence(&*core.disk().storage)?;
    let Entry {
        log,
        first_offset,
        next_offset,
        ..
    } = *piece.entry;
    core.quarantine(log, first_offset, next_offset, "a block of the WAL");
    Ok(Some(Hole {
        log: log.0,
        first_offset,
        next_offset,
    }))
}

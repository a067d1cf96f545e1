//! The one background operation: sources in, one segment out.
//!
//! Sealing gives it WAL blocks; merging, compaction and reclaiming give it extents of segments. What is below a log's start,
//! of a deleted log, or not selected, is left out; offsets stay as they are.

use std::collections::hash_map;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use firth_batch::Batches;

use crate::block::{self, Entry};
use crate::carried::{Carried, NOWHERE};
use crate::core::{Core, Disk};
use crate::file::Mode;
use crate::frame::LogId;
use crate::ids::IdMap;
use crate::lock::read;
use crate::segment::{self, Extent, Footer, Hole, Losses, SegmentId, Source, Uncached, Writer};
use crate::segments::{self, Sealed};
use crate::stored::{Loaded, StoredBlock};
use crate::view::SealedExtent;

/// What is read of a segment at once, in bytes. More keeps the WAL's flushes waiting for longer.
const READ_BYTES: usize = 1024 * 1024;

/// Blocks that are sealed into the segment `id`.
pub(crate) struct Unsealed<'a> {
    pub(crate) blocks: &'a [Arc<StoredBlock>],
    pub(crate) source: Source,
    pub(crate) id: SegmentId,
    /// From where each log is kept; it is gone where there is none.
    pub(crate) start_of: &'a dyn Fn(LogId) -> Option<i64>,
}

/// Extents of segments of which the segment `id` is made.
pub(crate) struct Job<'a> {
    pub(crate) id: SegmentId,
    pub(crate) generation: u32,
    pub(crate) source: Source,
    /// In ascending order of log ids.
    pub(crate) parts: Vec<Part>,
    pub(crate) selection: &'a dyn Selection,
    /// Windows of producers, and losses, of segments that are dead when the new one is shown.
    pub(crate) windows: Vec<(LogId, Vec<u8>)>,
    pub(crate) holes: Vec<Hole>,
}

/// Consecutive extents of a log, which become one.
pub(crate) struct Part {
    pub(crate) log: LogId,
    pub(crate) extents: Vec<(Arc<Sealed>, SealedExtent)>,
}

/// What of the batches is kept.
pub(crate) trait Selection {
    /// Hands what is kept of some batches of the log to the writer, in the same order.
    fn select(&self, log: LogId, batches: &[u8], writer: &mut Writer<'_>) -> io::Result<()>;

    /// Up to where the log is compacted when it was written.
    fn compacted_to(&self) -> i64;
}

/// All that is not trimmed.
pub(crate) struct Everything;

impl Selection for Everything {
    fn select(&self, _: LogId, batches: &[u8], writer: &mut Writer<'_>) -> io::Result<()> {
        writer.push(batches)
    }

    fn compacted_to(&self) -> i64 {
        0
    }
}

/// Why there is no new segment.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the engine is closing")]
    Stopped,
    #[error(transparent)]
    Write(#[from] io::Error),
    /// A source cannot be read. It stays as it is.
    #[error(transparent)]
    Source(#[from] segment::Error),
}

/// One log's part of a source.
struct Piece<'a> {
    entry: &'a Entry,
    block: &'a Arc<StoredBlock>,
    loaded: &'a Loaded,
    /// A trimmed batch may still be retried, so its producer is noted.
    is_trimmed: bool,
}

/// Writes what is kept of blocks into a segment, with the windows of producers that segments which are `dead` hold last,
/// and with what is lost. `None` where there is nothing to write.
pub(crate) fn seal(
    core: &Core,
    unsealed: &Unsealed<'_>,
    carried: &mut Carried,
    dead: &[SegmentId],
) -> io::Result<Option<Footer>> {
    let Unsealed {
        blocks, source, id, ..
    } = *unsealed;
    let mut losses = {
        let views = read(&core.views);
        carried.losses_before(source.last_lsn, |hole| segments::is_kept(&views, hole))
    };
    let producers = &mut carried.producers;
    let disk = core.disk();
    let loaded = blocks
        .iter()
        .map(|block| load(block, disk))
        .collect::<io::Result<Vec<_>>>()?;
    let pieces = pieces(unsealed, &loaded);
    let mut changed = producers.held_by(dead);
    changed.extend(producers.held_by(&[NOWHERE]));
    if pieces.is_empty() && changed.is_empty() && losses.is_empty() {
        return Ok(None);
    }
    let appended_ms = core.appended_ms();
    let mut writer = create(disk, id)?;
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
            if producers.note(batches, log, appended_ms) {
                changed.insert(log);
            }
            if !piece.is_trimmed {
                writer.push(batches)?;
            }
            disk.gate.progress(batches.len() as u64);
        }
    }
    for log in &changed {
        if let Some(windows) = producers.encoded(*log) {
            writer.producers(log.0, &windows);
        }
    }
    losses.holes.sort_unstable();
    let footer = writer.finish(source, 0, losses, &disk.names)?;
    changed.iter().for_each(|log| producers.set_segment(*log, id));
    carried.forget_losses_before(source.last_lsn);
    Ok(Some(footer))
}

/// Writes what is selected of extents into a segment. `progress` is told of every stretch that was read, in bytes, and says
/// whether to go on.
pub(crate) fn rewrite(
    core: &Core,
    job: Job<'_>,
    mut progress: impl FnMut(usize) -> bool,
) -> Result<Footer, Error> {
    let disk = core.disk();
    let mut writer = create(disk, job.id)?;
    let mut sources = Sources::new(disk);
    for part in &job.parts {
        let Some(view) = core.view(part.log) else {
            continue;
        };
        let (Some((_, first)), Some((_, last))) = (part.extents.first(), part.extents.last()) else {
            continue;
        };
        writer.begin_extent(part.log.0);
        let mut compacted_to = job.selection.compacted_to();
        for (sealed, extent) in &part.extents {
            let stored = sealed.extent(part.log.0)?.ok_or(segment::Error::DamagedFooter {
                segment: sealed.id(),
                what: "an extent that it had is missing",
            })?;
            compacted_to = compacted_to.max(stored.compacted_to);
            let mut from = extent.first_offset.max(view.bounds().start);
            loop {
                let batches = sources.read(sealed, &stored, from)?;
                let Some(Ok((header, _))) = Batches::new(&batches).last() else {
                    break;
                };
                from = header.next_offset();
                job.selection.select(part.log, &batches, &mut writer)?;
                if !progress(batches.len()) {
                    return Err(Error::Stopped);
                }
            }
        }
        writer.cover(first.first_offset..last.next_offset, compacted_to);
    }
    for (log, windows) in &job.windows {
        writer.producers(log.0, windows);
    }
    let losses = Losses {
        holes: job.holes,
        blocks: Vec::new(),
    };
    Ok(writer.finish(job.source, job.generation, losses, &disk.names)?)
}

/// The files that a rewrite reads.
pub(crate) struct Sources<'a> {
    disk: &'a Disk,
    files: IdMap<SegmentId, Uncached>,
}

impl Sources<'_> {
    pub(crate) fn new(disk: &Disk) -> Sources<'_> {
        Sources {
            disk,
            files: IdMap::default(),
        }
    }

    /// Whole batches of an extent, from the one with the offset on.
    pub(crate) fn read(&mut self, sealed: &Sealed, extent: &Extent, from: i64) -> Result<Bytes, Error> {
        if !self.disk.direct {
            return Ok(sealed.read(extent, from, READ_BYTES)?);
        }
        let file = match self.files.entry(sealed.id()) {
            hash_map::Entry::Occupied(file) => file.into_mut(),
            hash_map::Entry::Vacant(vacant) => {
                let opened = Uncached::open(&*self.disk.storage, sealed.id(), &self.disk.buffers);
                let opened = opened.map_err(|source| segment::Error::Io {
                    segment: sealed.id(),
                    source,
                });
                vacant.insert(opened?)
            }
        };
        Ok(sealed.read_uncached(file, extent, from, READ_BYTES)?)
    }
}

fn create(disk: &Disk, id: SegmentId) -> io::Result<Writer<'_>> {
    let mode = if disk.direct { Mode::Direct } else { Mode::Buffered };
    Writer::create(&*disk.storage, id, mode)
}

fn load(block: &StoredBlock, disk: &Disk) -> io::Result<Loaded> {
    let loaded = block.load()?;
    if matches!(loaded, Loaded::Wal(_)) {
        disk.gate.read_back(block.payload_bytes);
    }
    Ok(loaded)
}

/// The parts of logs that still exist, in order of their logs and offsets.
fn pieces<'a>(unsealed: &Unsealed<'a>, loaded: &'a [Loaded]) -> Vec<Piece<'a>> {
    let mut starts: IdMap<LogId, Option<i64>> = IdMap::default();
    let mut pieces: Vec<Piece<'a>> = Vec::new();
    for (block, loaded) in unsealed.blocks.iter().zip(loaded) {
        for entry in &block.entries {
            let start = starts
                .entry(entry.log)
                .or_insert_with(|| (unsealed.start_of)(entry.log));
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

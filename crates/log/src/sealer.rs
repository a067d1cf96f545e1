//! The sealing thread: turns the oldest WAL blocks into segments, checkpoints the catalog, and frees WAL files.
//!
//! The order is: the segment is durable, the catalog knows it, the WAL files are free. A crash between any two leaves
//! the data in both places, and recovery takes either.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::background::{FULL_DISK_RETRY, is_full_disk};
use crate::catalog;
use crate::checkpoint::Checkpointer;
use crate::core::{Core, Disk, FullFor};
use crate::frame::LogId;
use crate::ids::IdMap;
use crate::lock::{abort, lock, read, write};
use crate::pacing::{Decision, Pacing, Situation};
use crate::rewrite::{self, Carried};
use crate::segment::{self, Footer, Segment, SegmentId, Source};
use crate::stats::Counters;
use crate::stored::StoredBlock;
use crate::view::{SealedExtent, View};

/// More slices of logs than this are sealed together, so that the index of what is unsealed stays bounded.
pub(crate) const ENTRIES_MAX: usize = 256 * 1024;
/// How soon a deferred sealing is looked at again.
const DEFER: Duration = Duration::from_millis(50);

pub(crate) struct Sealer {
    pub(crate) checkpointer: Checkpointer,
    carried: Carried,
    pub(crate) pacing: Pacing,
    /// What is in a segment already and not in the catalog yet, since the disk was full.
    written: Option<SealedSpan>,
    /// Segments whose files are gone and which the catalog still lists.
    removed: Vec<SegmentId>,
    /// Where the last snapshot of the engine's state lies in the meta log.
    snapshot: Option<i64>,
    /// The system said how much is free when it was asked last.
    space_known: bool,
}

/// Blocks, and the segment that holds what is kept of them.
struct SealedSpan {
    blocks: Vec<Arc<StoredBlock>>,
    source: Source,
    footer: Option<Footer>,
}

/// What the thread does next.
enum Work {
    Seal,
    /// Only look for segments that nobody needs any more.
    Reclaim,
    Stop,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Catalog(#[from] catalog::Error),
    #[error(transparent)]
    Segment(#[from] segment::Error),
}

impl Error {
    /// Not having space is a condition that passes; anything else is not.
    fn is_full_disk(&self) -> bool {
        match self {
            Error::Io(error) => is_full_disk(error),
            Error::Segment(segment::Error::Io { source, .. }) => is_full_disk(source),
            Error::Catalog(catalog::Error::Io(error)) => is_full_disk(error),
            Error::Catalog(_) | Error::Segment(_) => false,
        }
    }
}

impl Sealer {
    pub(crate) fn new(checkpointer: Checkpointer, carried: Carried, pacing: Pacing) -> Sealer {
        Sealer {
            checkpointer,
            carried,
            pacing,
            written: None,
            removed: Vec::new(),
            snapshot: None,
            space_known: true,
        }
    }

    /// Runs until the engine is closed or a flush fails.
    pub(crate) fn run(mut self, core: &Core, disk: &Disk) {
        loop {
            self.check_reserve(core, disk);
            let done = match self.wait(core, disk) {
                Work::Seal => self.seal(core, disk),
                Work::Reclaim => self.reclaim(core, disk),
                Work::Stop => return,
            };
            match done {
                Ok(()) => core.set_disk_full(FullFor::Segments, false),
                Err(error) if error.is_full_disk() => {
                    core.set_disk_full(FullFor::Segments, true);
                    // What frees space has to be written first.
                    disk.gate.hold(false);
                    if disk.seal.wait_for_space(FULL_DISK_RETRY) {
                        return;
                    }
                    // What producers wait for comes before the tidiness of the catalog, but not before what tells their
                    // retries from news.
                    let dead = self.without_producers(dead_segments(core, disk));
                    if let Err(error) = self.remove(core, disk, &dead) {
                        return core.fail(&format!("removing segments: {error}"));
                    }
                    self.removed.extend(dead);
                }
                Err(error) => return core.fail(&format!("sealing: {error}")),
            }
        }
    }

    /// Waits until something is to be sealed or reclaimed.
    fn wait(&mut self, core: &Core, disk: &Disk) -> Work {
        let mut state = lock(&disk.seal.state);
        loop {
            if state.closing {
                return Work::Stop;
            }
            let situation = Situation {
                unsealed_bytes: core.counters.unsealed_bytes.load(Ordering::Relaxed),
                unsealed_entries: lock(&disk.blocks).unsealed_entries(),
                full_blocks: core.counters.full_blocks.load(Ordering::Relaxed),
                exhausted: disk.wal.is_exhausted(),
            };
            let decision = self.pacing.decide(situation);
            // After a full disk there has to be another try, as nobody else says that there is space.
            let was_full = disk.is_full_for(FullFor::Segments);
            disk.gate.hold(self.pacing.is_sustained() && !was_full);
            if decision == Decision::Seal || self.written.is_some() || was_full {
                return Work::Seal;
            }
            if std::mem::take(&mut state.reclaim) {
                return Work::Reclaim;
            }
            state = match decision {
                // Every block of the burst would end this wait; only the end does.
                Decision::Defer => disk.seal.wait_for_close(state, DEFER),
                // Others may free space on this disk.
                Decision::Seal | Decision::Wait if !lock(&disk.full_for).is_empty() => {
                    drop(state);
                    if disk.seal.wait_for_space(FULL_DISK_RETRY) {
                        return Work::Stop;
                    }
                    return Work::Reclaim;
                }
                Decision::Seal | Decision::Wait => disk.seal.changed.wait(state).unwrap_or_else(|_| abort()),
            };
        }
    }

    /// Seals one span.
    fn seal(&mut self, core: &Core, disk: &Disk) -> Result<(), Error> {
        let dead = dead_segments(core, disk);
        let span = match self.written.take() {
            Some(span) => span,
            None => match self.write(core, disk, &dead)? {
                Some(span) => span,
                None => return Ok(()),
            },
        };
        let dead = self.without_producers(dead);
        if let Err(error) = self.checkpoint(disk, span.footer.as_ref(), &dead) {
            self.written = Some(span);
            return Err(error);
        }
        if let Some(footer) = &span.footer {
            show(core, disk, footer)?;
        }
        self.remove(core, disk, &dead)?;

        let gone = {
            let mut blocks = lock(&disk.blocks);
            let gone = blocks.seal(span.source.last_lsn);
            Counters::set(&core.counters.unsealed_bytes, blocks.unsealed_bytes());
            gone
        };
        core.evict(&gone);
        drop(gone);
        disk.gate
            .sealed(span.blocks.iter().map(|block| block.payload_bytes).sum());
        let last_lsn = span.source.last_lsn;
        drop(span);
        disk.wal.recycle(last_lsn);
        disk.count(&core.counters);
        self.free_meta(core, disk);
        Ok(())
    }

    /// Writes the segment of the next span. `None` where nothing is unsealed.
    fn write(&mut self, core: &Core, disk: &Disk, dead: &[SegmentId]) -> Result<Option<SealedSpan>, Error> {
        self.expire_producers(core);
        let (blocks, source, id) = {
            let publisher = lock(&disk.publisher);
            let (blocks, next_lsn) = lock(&disk.blocks).span(core.options.segment_bytes);
            if blocks.is_empty() {
                return Ok(None);
            }
            let source = Source {
                first_lsn: publisher.meta.sealed_lsn + 1,
                // Blocks without entries are sealed with those before them, so that they do not hold their file.
                last_lsn: next_lsn.unwrap_or(publisher.next_lsn) - 1,
            };
            (blocks, source, SegmentId(publisher.meta.next_segment))
        };
        let written = rewrite::rewrite(core, &blocks, source, id, &mut self.carried, dead);
        if written.is_err() {
            // It takes space, and after a flush that failed neither its bytes nor its name would ever be durable.
            let _ = disk.storage.remove(&id.path());
            disk.gate.sealed(0);
        }
        let footer = written?;
        let mut publisher = lock(&disk.publisher);
        let meta = &mut publisher.meta;
        meta.sealed_lsn = source.last_lsn;
        meta.next_segment = id.0 + 1;
        for entry in blocks.iter().flat_map(|block| &block.entries) {
            meta.note_next_offset(entry.log, entry.next_offset);
        }
        for hole in footer.iter().flat_map(|footer| &footer.losses.holes) {
            meta.note_next_offset(LogId(hole.log), hole.next_offset);
        }
        Ok(Some(SealedSpan {
            blocks,
            source,
            footer,
        }))
    }

    /// Removes the segments that nobody needs any more.
    fn reclaim(&mut self, core: &Core, disk: &Disk) -> Result<(), Error> {
        let dead = self.without_producers(dead_segments(core, disk));
        if dead.is_empty() && self.removed.is_empty() {
            return Ok(());
        }
        self.checkpoint(disk, None, &dead)?;
        self.remove(core, disk, &dead)?;
        disk.count(&core.counters);
        Ok(())
    }

    /// Segments that hold producers' windows which no other one holds wait until the next segment takes them over.
    fn without_producers(&self, mut dead: Vec<SegmentId>) -> Vec<SegmentId> {
        dead.retain(|id| self.carried.producers.held_by(&[*id]).is_empty());
        dead
    }

    fn expire_producers(&mut self, core: &Core) {
        let horizon_ms = core.now_ms() - core.options.producer_expiry_ms;
        let views = read(&core.views);
        let producers = &mut self.carried.producers;
        producers.expire(horizon_ms, |log| views.contains_key(&log));
    }

    /// Brings the catalog to what is published now.
    fn checkpoint(&mut self, disk: &Disk, footer: Option<&Footer>, dead: &[SegmentId]) -> Result<(), Error> {
        let dead: Vec<SegmentId> = dead.iter().chain(&self.removed).copied().collect();
        let (applied_lsn, changes, changed_logs) = {
            let mut publisher = lock(&disk.publisher);
            let segments = read(&disk.segments);
            let footers = segments.values().map(|segment| segment.footer()).chain(footer);
            let changes = self.checkpointer.changes(&publisher.meta, footers, &dead);
            let changed_logs = std::mem::take(&mut publisher.meta.changed_logs);
            (publisher.next_lsn - 1, changes, changed_logs)
        };
        match self.checkpointer.commit(&*disk.storage, applied_lsn, changes) {
            Ok(()) => {
                self.removed.clear();
                Ok(())
            }
            Err(error) => {
                lock(&disk.publisher).meta.changed_logs.extend(changed_logs);
                Err(error.into())
            }
        }
    }

    /// Removes segments of which no log keeps anything. Whoever reads one still has it open. Recovery does not miss one
    /// that the catalog still lists, since it was trimmed.
    fn remove(&mut self, core: &Core, disk: &Disk, dead: &[SegmentId]) -> io::Result<()> {
        if dead.is_empty() {
            return Ok(());
        }
        self.carried.producers.lose(dead);
        for id in dead {
            write(&disk.segments).remove(id);
            disk.storage.remove(&id.path())?;
        }
        disk.storage.sync_dir(segment::DIRECTORY)?;
        disk.count(&core.counters);
        Ok(())
    }

    /// Where segments are kept for records of the meta log alone, writes a snapshot of what these say, and gives up the
    /// records before the last snapshot but one.
    fn free_meta(&mut self, core: &Core, disk: &Disk) {
        if !is_kept_for_meta(core, disk) {
            return;
        }
        match core.snapshot_meta(self.snapshot) {
            Ok(snapshot) => self.snapshot = Some(snapshot),
            Err(error) => tracing::warn!(%error, "the meta log is not trimmed"),
        }
    }

    /// Refuses producers before the disk is full, so that there is space for sealing and reclaiming.
    fn check_reserve(&mut self, core: &Core, disk: &Disk) {
        let space = disk.storage.space();
        let was_known = std::mem::replace(&mut self.space_known, space.is_ok());
        let free_bytes = match space {
            Ok(space) => space.free_bytes,
            Err(error) => {
                // A disk that is full still says so to whoever writes.
                if was_known {
                    let directory = disk.storage.place();
                    tracing::warn!(%error, directory, "free space is not known: producers are not refused before the disk is full");
                }
                return;
            }
        };
        let wanted_bytes = match disk.is_full_for(FullFor::Producers) {
            true => disk.enough_bytes(),
            false => disk.reserve_bytes,
        };
        core.set_disk_full(FullFor::Producers, free_bytes < wanted_bytes);
    }
}

/// Makes the segment readable.
fn show(core: &Core, disk: &Disk, footer: &Footer) -> Result<(), Error> {
    let segment = Segment::open(
        &*disk.storage,
        footer.id,
        disk.footers.clone(),
        disk.buffers.clone(),
    )?;
    write(&disk.segments).insert(footer.id, Arc::new(segment));
    let views = read(&core.views);
    for (log, extent) in sealed_extents(footer) {
        if let Some(view) = views.get(&log) {
            view.sealed(extent);
        }
    }
    Counters::add(&core.counters.segments_written, 1);
    Counters::add(&core.counters.segment_written_bytes, footer.length);
    Ok(())
}

pub(crate) fn sealed_extents(footer: &Footer) -> impl Iterator<Item = (LogId, SealedExtent)> + '_ {
    footer.extents.iter().map(|extent| {
        let sealed = SealedExtent {
            segment: footer.id,
            first_offset: extent.first_offset,
            next_offset: extent.next_offset,
            bytes: extent.length,
            max_timestamp: extent.max_timestamp,
        };
        (LogId(extent.log), sealed)
    })
}

/// Segments of which no log keeps anything. One that names lost blocks, which may have been of any log, stays for as long
/// as something is kept that is as old.
fn dead_segments(core: &Core, disk: &Disk) -> Vec<SegmentId> {
    let views = read(&core.views);
    let segments = read(&disk.segments);
    let mut unkept = Vec::new();
    let mut oldest_kept = None;
    for (id, segment) in &*segments {
        match kept_logs(&views, segment).next() {
            Some(_) => oldest_kept = Some(oldest_kept.unwrap_or(*id).min(*id)),
            None => unkept.push((*id, &segment.footer().losses)),
        }
    }
    let dead = unkept
        .into_iter()
        .filter(|(id, losses)| losses.blocks.is_empty() || oldest_kept.is_none_or(|oldest| *id < oldest));
    dead.map(|(id, _)| id).collect()
}

/// Whether there is a segment of which nothing but records of the meta log is kept.
fn is_kept_for_meta(core: &Core, disk: &Disk) -> bool {
    let views = read(&core.views);
    read(&disk.segments).values().any(|segment| {
        let mut kept = kept_logs(&views, segment).peekable();
        kept.peek().is_some() && kept.all(|log| log == LogId::META)
    })
}

/// The logs that keep something of a segment, or of which it names something as lost that was not trimmed.
fn kept_logs<'a>(
    views: &'a IdMap<LogId, Arc<View>>,
    segment: &'a Segment,
) -> impl Iterator<Item = LogId> + 'a {
    let Footer { extents, losses, .. } = segment.footer();
    let extents = extents.iter().map(|extent| (extent.log, extent.next_offset));
    let holes = losses.holes.iter().map(|hole| (hole.log, hole.next_offset));
    let logs = extents
        .chain(holes)
        .map(|(log, next_offset)| (LogId(log), next_offset));
    let kept = logs.filter(|(log, next_offset)| {
        views
            .get(log)
            .is_some_and(|view| view.bounds().start < *next_offset)
    });
    kept.map(|(log, _)| log)
}

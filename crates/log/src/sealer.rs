//! The sealing thread: turns the oldest WAL blocks into segments, checkpoints the catalog, and frees WAL files.
//!
//! The order is: the segment is durable, the catalog knows it, the WAL files are free. A crash between any two leaves
//! the data in both places, and recovery takes either.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::background::{is_full_disk, pause};
use crate::catalog::{self, Catalog};
use crate::checkpoint;
use crate::core::{Core, Disk};
use crate::frame::LogId;
use crate::lock::{abort, lock, read, write};
use crate::pacing::{Decision, Pacing, Situation};
use crate::rewrite::{self, SealedProducers};
use crate::segment::{self, Footer, Segment, SegmentId, Source};
use crate::stats::Counters;
use crate::view::SealedExtent;

/// More slices of logs than this are sealed together, so that the index of what is unsealed stays bounded.
pub(crate) const ENTRIES_MAX: usize = 256 * 1024;
/// How soon a deferred sealing is looked at again.
const DEFER: Duration = Duration::from_millis(50);
/// How often a full disk is looked at again.
const FULL_DISK_RETRY: Duration = Duration::from_secs(1);

pub(crate) struct Sealer {
    pub(crate) catalog: Catalog,
    pub(crate) producers: SealedProducers,
    pub(crate) pacing: Pacing,
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
    /// Runs until the engine is closed or a flush fails.
    pub(crate) fn run(mut self, core: &Core, disk: &Disk) {
        while self.wait(core, disk) {
            match self.seal(core, disk) {
                Ok(bytes) => {
                    core.set_disk_full(false);
                    let unsealed_bytes = core.counters.unsealed_bytes.load(Ordering::Relaxed);
                    disk.wal.sealed(bytes, self.pacing.throttles(unsealed_bytes));
                }
                Err(error) if error.is_full_disk() => {
                    core.set_disk_full(true);
                    if pause(disk, FULL_DISK_RETRY) {
                        return;
                    }
                }
                Err(error) => return core.fail(&format!("sealing: {error}")),
            }
        }
    }

    /// Waits until something is to be sealed. False at the end.
    fn wait(&mut self, core: &Core, disk: &Disk) -> bool {
        let mut state = lock(&disk.seal.state);
        loop {
            if state.closing {
                return false;
            }
            let situation = Situation {
                unsealed_bytes: core.counters.unsealed_bytes.load(Ordering::Relaxed),
                unsealed_entries: lock(&disk.blocks).unsealed_entries(),
                full_blocks: core.counters.full_blocks.load(Ordering::Relaxed),
                exhausted: disk.wal.is_exhausted(),
            };
            state = match self.pacing.decide(situation) {
                Decision::Seal => return true,
                Decision::Wait => disk.seal.changed.wait(state).unwrap_or_else(|_| abort()),
                // Every block of the burst would end this wait; only the end does.
                Decision::Defer => disk.seal.wait_for_close(state, DEFER),
            };
        }
    }

    /// Seals one span, and says how many bytes it had.
    fn seal(&mut self, core: &Core, disk: &Disk) -> Result<u64, Error> {
        let span = lock(&disk.blocks).span(core.options.segment_bytes);
        let Some(last) = span.last() else { return Ok(0) };
        let bytes = span.iter().map(|block| block.payload_bytes).sum();
        let (id, source) = {
            let publisher = lock(&disk.publisher);
            let source = Source {
                first_lsn: publisher.meta.sealed_lsn + 1,
                last_lsn: last.lsn,
            };
            (SegmentId(publisher.meta.next_segment), source)
        };
        self.expire_producers(core);
        let footer = rewrite::rewrite(core, &span, source, id, &mut self.producers)?;
        if let Some(footer) = &footer {
            self.show(core, disk, footer)?;
        }
        {
            let mut publisher = lock(&disk.publisher);
            let meta = &mut publisher.meta;
            meta.sealed_lsn = source.last_lsn;
            meta.next_segment = id.0 + 1;
            for entry in span.iter().flat_map(|block| &block.entries) {
                meta.note_next_offset(entry.log, entry.next_offset);
            }
        }
        let dead = dead_segments(core, disk);
        self.checkpoint(disk, footer.as_ref(), &dead)?;
        remove(disk, &dead)?;

        let gone = {
            let mut blocks = lock(&disk.blocks);
            let gone = blocks.seal(source.last_lsn);
            Counters::set(&core.counters.unsealed_bytes, blocks.unsealed_bytes());
            gone
        };
        core.evict(&gone);
        drop((span, gone));
        disk.wal.recycle(source.last_lsn);
        disk.count(&core.counters);
        Ok(bytes)
    }

    fn expire_producers(&mut self, core: &Core) {
        let horizon_ms = core.now_ms() - core.options.producer_expiry_ms;
        self.producers
            .values_mut()
            .for_each(|producers| producers.expire(horizon_ms));
        self.producers
            .retain(|log, producers| !producers.is_empty() && core.view(*log).is_some());
    }

    /// Makes the segment readable.
    fn show(&self, core: &Core, disk: &Disk, footer: &Footer) -> Result<(), Error> {
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

    /// Brings the catalog to what is published now.
    fn checkpoint(&mut self, disk: &Disk, footer: Option<&Footer>, dead: &[SegmentId]) -> Result<(), Error> {
        let mut changes = checkpoint::Changes::default();
        let (applied_lsn, changed_logs) = {
            let mut publisher = lock(&disk.publisher);
            changes.meta(&publisher.meta);
            (
                publisher.next_lsn - 1,
                std::mem::take(&mut publisher.meta.changed_logs),
            )
        };
        footer.iter().for_each(|footer| changes.segment(footer));
        dead.iter().for_each(|id| changes.remove_segment(*id));
        let Err(error) = changes.commit(&self.catalog, applied_lsn) else {
            return Ok(());
        };
        lock(&disk.publisher).meta.changed_logs.extend(changed_logs);
        let error = Error::from(error);
        if error.is_full_disk() {
            // After an error a catalog takes no further commit until it is opened again.
            self.catalog = Catalog::open(&*disk.storage)?;
        }
        Err(error)
    }
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

/// Segments of which no log keeps anything.
fn dead_segments(core: &Core, disk: &Disk) -> Vec<SegmentId> {
    let views = read(&core.views);
    let is_dead = |segment: &Segment| {
        segment.extents().iter().all(|extent| {
            views
                .get(&LogId(extent.log))
                .is_none_or(|view| view.bounds().start >= extent.next_offset)
        })
    };
    read(&disk.segments)
        .iter()
        .filter(|(_, segment)| is_dead(segment))
        .map(|(id, _)| *id)
        .collect()
}

/// Removes segments that the catalog does not know any more. Whoever reads one still has it open.
fn remove(disk: &Disk, dead: &[SegmentId]) -> io::Result<()> {
    for id in dead {
        write(&disk.segments).remove(id);
        disk.storage.remove(&id.path())?;
    }
    if dead.is_empty() {
        Ok(())
    } else {
        disk.storage.sync_dir(segment::DIRECTORY)
    }
}

//! Which segments count: what the sealing and the rewriting thread change together, one at a time.
//!
//! A segment counts once it is in the catalog, and its file is removed after the catalog gave it up.

use std::io;

use crate::carried::Carried;
use crate::catalog;
use crate::checkpoint::Checkpointer;
use crate::core::{Core, Disk};
use crate::frame::LogId;
use crate::lock::{lock, read};
use crate::segment::{self, Extent, Footer, Segment, SegmentId, Source};
use crate::stored::StoredBlock;
use std::sync::Arc;

/// Producers that are forgotten before appends have their turn.
const EXPIRED_PER_LOCK: usize = 1024;

pub(crate) struct Manifest {
    checkpointer: Checkpointer,
    pub(crate) carried: Carried,
    /// What is in a segment already and not in the catalog yet, since the disk was full.
    pub(crate) written: Option<SealedSpan>,
    /// Segments whose files are gone and which the catalog still lists.
    removed: Vec<SegmentId>,
}

/// Blocks, and the segment that holds what is kept of them.
pub(crate) struct SealedSpan {
    pub(crate) blocks: Vec<Arc<StoredBlock>>,
    pub(crate) source: Source,
    pub(crate) footer: Option<Footer>,
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
    pub(crate) fn is_full_disk(&self) -> bool {
        use crate::background::is_full_disk;
        match self {
            Error::Io(error) => is_full_disk(error),
            Error::Segment(segment::Error::Io { source, .. }) => is_full_disk(source),
            Error::Catalog(catalog::Error::Io(error)) => is_full_disk(error),
            Error::Catalog(_) | Error::Segment(_) => false,
        }
    }
}

impl Manifest {
    pub(crate) fn new(checkpointer: Checkpointer, carried: Carried) -> Manifest {
        Manifest {
            checkpointer,
            carried,
            written: None,
            removed: Vec::new(),
        }
    }

    /// Segments of which no log keeps anything and which hold no producers' windows that no other one has: those wait until
    /// another segment takes them over.
    pub(crate) fn dead(&mut self, core: &Core, disk: &Disk) -> Vec<SegmentId> {
        let views = read(&core.views);
        let dead = disk.segments.dead(&views);
        if !dead.is_empty() {
            let producers = &mut self.carried.producers;
            producers.forget_logs(|log| views.contains_key(&log));
        }
        self.without_producers(dead)
    }

    pub(crate) fn without_producers(&self, mut dead: Vec<SegmentId>) -> Vec<SegmentId> {
        dead.retain(|id| self.carried.producers.held_by(&[*id]).is_empty());
        dead
    }

    /// Forgets producers that were idle for too long, once the time is known, and those of logs that are gone.
    pub(crate) fn expire_producers(&mut self, core: &Core) {
        let producers = &mut self.carried.producers;
        {
            let views = read(&core.views);
            producers.forget_logs(|log| views.contains_key(&log));
        }
        let Some(known_ms) = core.known_ms() else {
            return;
        };
        let horizon_ms = known_ms.saturating_sub(core.options.producer_expiry_ms);
        for expired in producers.expire(horizon_ms).chunks(EXPIRED_PER_LOCK) {
            lock(&core.sequencer).forget_producers(expired);
        }
    }

    /// Removes the segments that nobody needs any more.
    pub(crate) fn reclaim(&mut self, core: &Core, disk: &Disk) -> Result<(), Error> {
        let dead = self.dead(core, disk);
        if dead.is_empty() && self.removed.is_empty() {
            return Ok(());
        }
        self.checkpoint(disk, &dead)?;
        self.remove(core, disk, &dead)?;
        Ok(())
    }

    /// Removes files although the catalog cannot be told, since the disk is full: what producers wait for comes before its
    /// tidiness, but not before what tells their retries from news.
    pub(crate) fn reclaim_first(&mut self, core: &Core, disk: &Disk) -> io::Result<()> {
        let dead = self.dead(core, disk);
        self.remove(core, disk, &dead)?;
        self.removed.extend(dead);
        Ok(())
    }

    /// Brings the catalog to what is published now.
    pub(crate) fn checkpoint(&mut self, disk: &Disk, dead: &[SegmentId]) -> Result<(), Error> {
        let dead: Vec<SegmentId> = dead.iter().chain(&self.removed).copied().collect();
        let (applied_lsn, changes, changed_logs) = {
            let mut publisher = lock(&disk.publisher);
            let segments = disk.segments.in_order();
            let written = self.written.iter().filter_map(|span| span.footer.as_ref());
            let summaries = segments.iter().map(|sealed| sealed.summary());
            let summaries = summaries.chain(written.map(|footer| &footer.summary));
            let changes = self.checkpointer.changes(&publisher.meta, summaries, &dead);
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

    /// Nothing more is checkpointed.
    pub(crate) fn close(&mut self) {
        self.checkpointer.close();
    }

    /// Removes segments of which no log keeps anything. Whoever reads one still has it open. Recovery does not miss one
    /// that the catalog still lists, since it was trimmed or a later one holds the same.
    pub(crate) fn remove(&mut self, core: &Core, disk: &Disk, dead: &[SegmentId]) -> io::Result<()> {
        if dead.is_empty() {
            return Ok(());
        }
        self.carried.producers.lose(dead);
        let removed: Vec<_> = dead.iter().filter_map(|id| disk.segments.remove(*id)).collect();
        for id in dead {
            disk.storage.remove(&id.path())?;
        }
        disk.names.sync(&*disk.storage)?;
        removed.iter().for_each(|sealed| sealed.free(&disk.freeing));
        disk.count(&core.counters);
        Ok(())
    }

    /// The encoded windows of producers that these segments hold last.
    pub(crate) fn windows_of(&self, segments: &[SegmentId]) -> Vec<(LogId, Vec<u8>)> {
        let producers = &self.carried.producers;
        let logs = producers.held_by(segments).into_iter();
        logs.filter_map(|log| Some((log, producers.encoded(log)?)))
            .collect()
    }
}

/// Makes a segment readable.
pub(crate) fn show(
    core: &Core,
    disk: &Disk,
    id: SegmentId,
    extents: &[Extent],
) -> Result<(), segment::Error> {
    let segment = Segment::open(&*disk.storage, id, disk.footers.clone(), disk.buffers.clone())?;
    disk.segments.show(segment, extents, &read(&core.views));
    Ok(())
}

//! The sealing thread: turns the oldest WAL blocks into segments, checkpoints the catalog, and frees WAL files.
//!
//! The order is: the segment is durable, the catalog knows it, the WAL files are free. A crash between any two leaves
//! the data in both places, and recovery takes either.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::background::{self, FULL_DISK_RETRY};
use crate::core::{Core, Disk, FullFor};
use crate::cut::Cut;
use crate::frame::LogId;
use crate::lock::{abort, lock, read};
use crate::manifest::{self, Error, Manifest, SealedSpan};
use crate::pacing::{Decision, Pacing, Situation};
use crate::rewrite::{self, Unsealed};
use crate::segment::{SegmentId, Source};
use crate::stats::Counters;

/// More slices of logs than this are sealed together, so that the index of what is unsealed stays bounded.
pub(crate) const ENTRIES_MAX: usize = 256 * 1024;
/// How soon a deferred sealing is looked at again.
const DEFER: Duration = Duration::from_millis(50);
/// How often the free space is asked for while there is nothing to do: others may fill the disk too.
const SPACE_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) struct Sealer {
    pub(crate) pacing: Pacing,
    /// Where the last snapshot of the engine's state lies in the meta log.
    snapshot: Option<i64>,
    /// The system said how much is free when it was asked last.
    space_known: bool,
}

/// What the thread does next.
enum Work {
    Seal,
    /// Seal all that is durable, for those who wait for it.
    Cut,
    /// Only look for segments that nobody needs any more.
    Reclaim,
    Stop,
}

/// How much is sealed into one segment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Amount {
    Segment,
    /// All that is published, as of one LSN.
    Everything,
}

impl Sealer {
    pub(crate) fn new(pacing: Pacing) -> Sealer {
        Sealer {
            pacing,
            snapshot: None,
            space_known: true,
        }
    }

    /// Runs until the engine is closed or a flush fails.
    pub(crate) fn run(mut self, core: &Core, disk: &Disk) {
        loop {
            self.check_reserve(core, disk);
            let work = self.wait(core, disk);
            let mut manifest = lock(&disk.manifest);
            let done = match work {
                Work::Seal => self.seal(core, disk, &mut manifest, Amount::Segment),
                Work::Cut => self.cut(core, disk, &mut manifest),
                Work::Reclaim => manifest.reclaim(core, disk),
                Work::Stop => return,
            };
            match done {
                Ok(()) => {
                    drop(manifest);
                    core.set_disk_full(FullFor::Segments, false);
                    // There is more that can be merged, or less that is kept.
                    disk.rewriting.look();
                }
                Err(error) if error.is_full_disk() => {
                    drop(manifest);
                    core.set_disk_full(FullFor::Segments, true);
                    // Who waits for all to be sealed may be what would free space.
                    lock(&disk.seal.state).cuts.clear();
                    // What frees space has to be written first.
                    disk.gate.hold(false);
                    if disk.seal.wait_for_space(FULL_DISK_RETRY) {
                        return;
                    }
                    if let Err(error) = lock(&disk.manifest).reclaim_first(core, disk) {
                        return core.fail(&format!("removing segments: {error}"));
                    }
                }
                Err(error) => return core.fail(&format!("sealing: {error}")),
            }
        }
    }

    /// Waits until something is to be sealed or reclaimed.
    fn wait(&mut self, core: &Core, disk: &Disk) -> Work {
        loop {
            let mut state = lock(&disk.seal.state);
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
            if decision == Decision::Seal || was_full {
                return Work::Seal;
            }
            state.cuts.retain(|reply| !reply.is_closed());
            if !state.cuts.is_empty() {
                return Work::Cut;
            }
            if std::mem::take(&mut state.reclaim) {
                return Work::Reclaim;
            }
            match decision {
                // Every block of the burst would end this wait; only the end does.
                Decision::Defer => drop(disk.seal.wait_for_close(state, DEFER)),
                // Others may free space on this disk.
                Decision::Seal | Decision::Wait if !lock(&disk.full_for).is_empty() => {
                    drop(state);
                    if disk.seal.wait_for_space(FULL_DISK_RETRY) {
                        return Work::Stop;
                    }
                    return Work::Reclaim;
                }
                Decision::Seal | Decision::Wait => {
                    let waited = disk.seal.changed.wait_timeout(state, SPACE_INTERVAL);
                    drop(waited.unwrap_or_else(|_| abort()));
                }
            }
            self.check_reserve(core, disk);
        }
    }

    /// Seals one span.
    fn seal(
        &mut self,
        core: &Core,
        disk: &Disk,
        manifest: &mut Manifest,
        amount: Amount,
    ) -> Result<(), Error> {
        let dead = disk.segments.dead(&read(&core.views));
        if manifest.written.is_none() {
            manifest.written = write(core, disk, manifest, &dead, amount)?;
        }
        if manifest.written.is_none() {
            return Ok(());
        }
        let dead = manifest.without_producers(dead);
        manifest.checkpoint(disk, &dead)?;
        let Some(span) = manifest.written.take() else {
            return Ok(());
        };
        if let Some(footer) = &span.footer {
            manifest::show(core, disk, footer.summary.id, &footer.extents)?;
            Counters::add(&core.counters.segments_written, 1);
            Counters::add(&core.counters.segment_written_bytes, footer.summary.length);
        }
        manifest.remove(core, disk, &dead)?;

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

    /// Seals all that is durable, and gives the segments that hold it to those who wait for it. Nothing that is kept as of
    /// that moment is removed before they have it.
    fn cut(&mut self, core: &Core, disk: &Disk, manifest: &mut Manifest) -> Result<(), Error> {
        if manifest.written.is_some() {
            self.seal(core, disk, manifest, Amount::Segment)?;
        }
        let mut segments = disk.segments.in_order();
        let newest = segments.iter().map(|sealed| sealed.id()).max();
        self.seal(core, disk, manifest, Amount::Everything)?;
        let newer = disk.segments.in_order().into_iter();
        segments.extend(newer.filter(|sealed| newest.is_none_or(|newest| sealed.id() > newest)));
        for reply in std::mem::take(&mut lock(&disk.seal.state).cuts) {
            // Who asked may be gone.
            let _ = reply.send(Cut::new(segments.clone()));
        }
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

/// Writes the segment of the next span. `None` where nothing is unsealed.
fn write(
    core: &Core,
    disk: &Disk,
    manifest: &mut Manifest,
    dead: &[SegmentId],
    amount: Amount,
) -> Result<Option<SealedSpan>, Error> {
    manifest.expire_producers(core);
    let (blocks, source, id, logs) = {
        let mut publisher = lock(&disk.publisher);
        let bytes_max = match amount {
            Amount::Segment => core.options.segment_bytes,
            Amount::Everything => u64::MAX,
        };
        let (blocks, next_lsn) = lock(&disk.blocks).span(bytes_max);
        if blocks.is_empty() {
            return Ok(None);
        }
        let source = Source {
            first_lsn: publisher.meta.sealed_lsn + 1,
            // Blocks without entries are sealed with those before them, so that they do not hold their file.
            last_lsn: next_lsn.unwrap_or(publisher.next_lsn) - 1,
        };
        // Where the segments are taken away as they are, a trim must not be older than the record that says so.
        let logs = (amount == Amount::Everything).then(|| publisher.meta.logs.clone());
        (blocks, source, publisher.meta.take_segment(), logs)
    };
    let start_of = |log| match &logs {
        Some(logs) => logs.get(&log).map(|meta| meta.start),
        None => core.view(log).map(|view| view.bounds().start),
    };
    let unsealed = Unsealed {
        blocks: &blocks,
        source,
        id,
        start_of: &start_of,
    };
    let written = rewrite::seal(core, &unsealed, &mut manifest.carried, dead);
    if written.is_err() {
        // It takes space, and after a flush that failed neither its bytes nor its name would ever be durable.
        disk.gate.sealed(0);
        background::remove_attempt(&*disk.storage, &id.path())?;
    }
    let footer = written?;
    let mut publisher = lock(&disk.publisher);
    let meta = &mut publisher.meta;
    meta.sealed_lsn = source.last_lsn;
    for entry in blocks.iter().flat_map(|block| &block.entries) {
        meta.note_next_offset(entry.log, entry.next_offset);
    }
    for hole in footer.iter().flat_map(|footer| &footer.summary.losses.holes) {
        meta.note_next_offset(LogId(hole.log), hole.next_offset);
    }
    Ok(Some(SealedSpan {
        blocks,
        source,
        footer,
    }))
}

/// Whether there is a segment of which nothing but records of the meta log is kept.
fn is_kept_for_meta(core: &Core, disk: &Disk) -> bool {
    core.view(LogId::META)
        .is_some_and(|view| disk.segments.one_is_kept_for(&view))
}

//! What the engine's threads and its callers share.
//!
//! Locks: the manifest, for as long as a segment is made to count; the turn, then the sequencer or the ring of WAL files (a
//! lane that looks for work); the publisher, then the map of views, then one view (publication in LSN order). The sequencer
//! takes a view's lock for memory logs alone. All but the manifest and the turn are held shortly.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::block::{Entry, Incarnation};
use crate::cache::Blocks;
use crate::commit::Fate;
use crate::cut::Cut;
use crate::environment::{Environment, Options};
use crate::file::Storage;
use crate::file::aligned::BufferPool;
use crate::frame::{AppendError, Change, Frame, LogId, Repetition};
use crate::freeing::Freeing;
use crate::gate::Gate;
use crate::ids::IdMap;
use crate::lock::{abort, lock, read, write};
use crate::manifest::Manifest;
use crate::meta::{self, Meta, Record};
use crate::rewriter::Rewriting;
use crate::segment::{FooterCache, Names};
use crate::segments::Segments;
use crate::sequencer::{Accepting, Sequencer};
use crate::stats::Counters;
use crate::stored::StoredBlock;
use crate::sync::{AtomicU64, Condvar, Mutex, MutexGuard, RwLock};
use crate::view::{Freed, Raised, TailExtent, View};
use crate::wal::Wal;

pub(crate) struct Core {
    pub(crate) options: Options,
    pub(crate) environment: Environment,
    pub(crate) counters: Counters,
    pub(crate) next_log: AtomicU64,
    /// What the time is believed to be, in milliseconds since 1970; 0 before anyone has said so.
    pub(crate) known_ms: AtomicU64,
    pub(crate) sequencer: Mutex<Sequencer>,
    /// Something gathered, a lane became free, or the end was asked for; goes with the sequencer.
    pub(crate) work: Condvar,
    pub(crate) views: RwLock<IdMap<LogId, Arc<View>>>,
    /// Limits the reads that go to the disk at once.
    pub(crate) disk_reads: Arc<tokio::sync::Semaphore>,
    /// Absent where everything is in memory.
    pub(crate) disk: Option<Disk>,
}

/// The durable half.
pub(crate) struct Disk {
    pub(crate) storage: Arc<dyn Storage>,
    /// Whether files are written past the page cache.
    pub(crate) direct: bool,
    pub(crate) incarnation: Incarnation,
    pub(crate) wal: Wal,
    pub(crate) gate: Gate,
    /// Held by the lane that looks for work.
    pub(crate) turn: Mutex<()>,
    pub(crate) buffers: BufferPool,
    pub(crate) blocks: Mutex<Blocks>,
    pub(crate) seal: SealSignal,
    pub(crate) footers: Arc<FooterCache>,
    pub(crate) segments: Segments,
    pub(crate) freeing: Arc<Freeing>,
    pub(crate) names: Names,
    pub(crate) manifest: Mutex<Manifest>,
    pub(crate) rewriting: Rewriting,
    pub(crate) publisher: Mutex<Publisher>,
    /// Producers are refused where less than this is free.
    pub(crate) reserve_bytes: u64,
    /// What there was no space for when it was tried last.
    pub(crate) full_for: Mutex<Vec<FullFor>>,
    /// Blocks up to here are durable.
    pub(crate) published_lsn: AtomicU64,
    /// The last block that carries batches and is durable.
    pub(crate) data_lsn: AtomicU64,
    /// The durable LSN that the newest block on disk tells recovery.
    pub(crate) recorded_lsn: AtomicU64,
}

/// What needs space on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FullFor {
    Wal,
    Segments,
    /// Sealing and reclaiming go on in what is left.
    Producers,
}

/// Makes blocks visible in the order of their LSN.
pub(crate) struct Publisher {
    /// A flush failed: nothing is published any more, not even what another lane made durable.
    pub(crate) failed: bool,
    pub(crate) next_lsn: u64,
    pub(crate) written: BTreeMap<u64, Written>,
    pub(crate) meta: Meta,
}

/// A block that is durable by itself, and visible when all before it are.
pub(crate) struct Written {
    pub(crate) block: Arc<StoredBlock>,
    pub(crate) records: Vec<Record>,
    pub(crate) fate: Arc<Fate>,
}

/// Tells the sealing thread that there may be something to do.
#[derive(Default)]
pub(crate) struct SealSignal {
    pub(crate) state: Mutex<SealState>,
    pub(crate) changed: Condvar,
}

pub(crate) struct SealState {
    pub(crate) reclaim: bool,
    /// Who waits for all that is durable to be sealed.
    pub(crate) cuts: Vec<oneshot::Sender<Cut>>,
    pub(crate) closing: bool,
}

impl Default for SealState {
    fn default() -> SealState {
        SealState {
            // There may be segments that the last process had no time to remove.
            reclaim: true,
            cuts: Vec::new(),
            closing: false,
        }
    }
}

impl SealSignal {
    pub(crate) fn want(&self) {
        // The thread decides with the lock held: it sees what is wanted, or waits already.
        drop(lock(&self.state));
        self.changed.notify_all();
    }

    /// Something was trimmed or deleted: there may be segments that nobody needs any more.
    pub(crate) fn want_reclaim(&self) {
        lock(&self.state).reclaim = true;
        self.changed.notify_all();
    }

    pub(crate) fn want_cut(&self, reply: oneshot::Sender<Cut>) {
        let mut state = lock(&self.state);
        if !state.closing {
            state.cuts.push(reply);
        }
        self.changed.notify_all();
    }

    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        state.closing = true;
        state.cuts.clear();
        self.changed.notify_all();
    }

    /// Waits for the end, or for something that may free space.
    pub(crate) fn wait_for_space(&self, duration: Duration) -> bool {
        let state = lock(&self.state);
        let waited = self
            .changed
            .wait_timeout_while(state, duration, |state| !state.closing && !state.reclaim);
        let mut state = waited.unwrap_or_else(|_| abort()).0;
        state.reclaim = false;
        state.closing
    }

    pub(crate) fn wait_for_close<'a>(
        &'a self,
        state: MutexGuard<'a, SealState>,
        duration: Duration,
    ) -> MutexGuard<'a, SealState> {
        self.changed
            .wait_timeout_while(state, duration, |state| !state.closing)
            .unwrap_or_else(|_| abort())
            .0
    }
}

impl Core {
    /// For what only happens where there is a disk.
    pub(crate) fn disk(&self) -> &Disk {
        self.disk
            .as_ref()
            .expect("only an engine with a disk has sealed extents and threads")
    }

    /// Sets the gauges to what recovery found.
    pub(crate) fn count_recovered(&self, quarantined: u64) {
        let disk = self.disk();
        Counters::set(&self.counters.quarantined, quarantined);
        Counters::set(&self.counters.unsealed_bytes, lock(&disk.blocks).unsealed_bytes());
        disk.count(&self.counters);
    }

    /// Gives the sequencer back after an append, and wakes the lane that waits for what gathered.
    pub(crate) fn leave(&self, mut sequencer: MutexGuard<'_, Sequencer>) {
        let wakes_lane = sequencer.wakes_lane();
        drop(sequencer);
        if wakes_lane {
            self.work.notify_one();
        }
    }

    pub(crate) fn view(&self, log: LogId) -> Option<Arc<View>> {
        read(&self.views).get(&log).cloned()
    }

    pub(crate) fn now_ms(&self) -> i64 {
        (self.environment.wall_ms)()
    }

    /// What the time is believed to be. `None` before anyone has said so.
    pub(crate) fn known_ms(&self) -> Option<i64> {
        let known_ms = self.known_ms.load(Ordering::Relaxed);
        i64::try_from(known_ms).ok().filter(|known_ms| *known_ms > 0)
    }

    /// When a batch that is sealed now was appended, for the expiry of its producer: a clock that is behind would have it
    /// forgotten too early.
    pub(crate) fn appended_ms(&self) -> i64 {
        self.now_ms().max(self.known_ms().unwrap_or(0))
    }

    /// Publishes a block as soon as all before it are, and wakes who waits for them.
    pub(crate) fn publish(&self, disk: &Disk, written: Written) {
        let mut raised = Raised::default();
        let mut fates = Vec::new();
        let mut freed = Freed::default();
        let mut frees_space = false;
        {
            let mut publisher = lock(&disk.publisher);
            if publisher.failed {
                return written.fate.resolve(false);
            }
            publisher.written.insert(written.block.lsn, written);
            while let Some(written) = publisher.take_next() {
                self.show(&written.block, &mut raised);
                for record in &written.records {
                    frees_space |= matches!(record, Record::Trimmed { .. } | Record::Deleted { .. });
                    self.apply(record, &mut raised, &mut freed);
                    publisher.meta.apply(record);
                }
                if !written.block.entries.is_empty() {
                    disk.data_lsn.store(written.block.lsn, Ordering::Release);
                    self.keep(disk, &written);
                }
                disk.published_lsn.store(written.block.lsn, Ordering::Release);
                fates.push(written.fate);
            }
        }
        fates.iter().for_each(|fate| fate.resolve(true));
        raised.raise();
        if frees_space {
            disk.segments.give_up(&freed);
            disk.seal.want_reclaim();
        }
    }

    fn show(&self, block: &Arc<StoredBlock>, raised: &mut Raised) {
        let views = read(&self.views);
        for entry in &block.entries {
            // A log may have been deleted while its last batches were being written.
            if let Some(view) = views.get(&entry.log) {
                view.publish(tail_extent(block, entry), raised);
            }
        }
    }

    fn apply(&self, record: &Record, raised: &mut Raised, freed: &mut Freed) {
        match record {
            Record::Trimmed { log, to } => {
                if let Some(view) = self.view(*log) {
                    view.trim(*to, raised, freed);
                }
            }
            Record::Deleted { log } => {
                if let Some(view) = write(&self.views).remove(log) {
                    view.delete(raised, freed);
                }
            }
            Record::Accepted {
                log,
                first_offset,
                next_offset,
            } => {
                if let Some(view) = self.view(*log) {
                    view.accept(*first_offset, *next_offset, raised);
                }
            }
            // A created log has its view already; what is sealed is shown by the thread that sealed it.
            _ => {}
        }
    }

    /// Keeps the block for sealing and for readers of the tail.
    fn keep(&self, disk: &Disk, written: &Written) {
        let gone = {
            let mut blocks = lock(&disk.blocks);
            let gone = blocks.push(written.block.clone(), self.options.cache_bytes);
            Counters::set(&self.counters.unsealed_bytes, blocks.unsealed_bytes());
            Counters::set(&self.counters.cached_bytes, blocks.buffered_bytes() as u64);
            gone
        };
        self.evict(&gone);
    }

    /// Acknowledged data cannot be read any more: it is named from now on, and never served. Says whether that is news.
    pub(crate) fn quarantine(&self, log: LogId, first_offset: i64, next_offset: i64, place: &str) -> bool {
        let is_new = self
            .view(log)
            .is_some_and(|view| view.quarantine(first_offset, next_offset));
        if is_new {
            Counters::add(&self.counters.quarantined, 1);
            tracing::error!(
                log = log.0,
                first_offset,
                next_offset,
                place,
                "acknowledged data is damaged; quarantined"
            );
        }
        is_new
    }

    /// Forgets blocks that are in segments and not in memory.
    pub(crate) fn evict(&self, gone: &[Arc<StoredBlock>]) {
        let views = read(&self.views);
        for block in gone {
            for entry in &block.entries {
                if let Some(view) = views.get(&entry.log) {
                    view.evict(block.lsn);
                }
            }
        }
    }

    /// A flush failed, which is final: nothing more is published, everything that waits fails.
    pub(crate) fn fail(&self, reason: &str) {
        let fates = lock(&self.sequencer).fail();
        let was_failed = self.counters.failed.swap(1, Ordering::AcqRel) == 1;
        fates.iter().for_each(|fate| fate.resolve(false));
        if let Some(disk) = &self.disk {
            let written = {
                let mut publisher = lock(&disk.publisher);
                publisher.failed = true;
                std::mem::take(&mut publisher.written)
            };
            written.values().for_each(|written| written.fate.resolve(false));
            disk.release_lanes();
            disk.seal.close();
            disk.rewriting.close();
        }
        self.work.notify_all();
        if !was_failed {
            tracing::error!(reason, "a flush failed; nothing more is acknowledged");
            (self.environment.on_failure)(reason);
        }
    }

    /// Refuses producers while the disk is full, and takes them again when it is not.
    pub(crate) fn set_disk_full(&self, full_for: FullFor, full: bool) {
        let mut causes = lock(&self.disk().full_for);
        let was_full = !causes.is_empty();
        causes.retain(|cause| *cause != full_for);
        if full {
            causes.push(full_for);
        }
        let is_full = !causes.is_empty();
        if is_full == was_full {
            return;
        }
        Counters::set(&self.counters.disk_full, u64::from(is_full));
        let is_closed = {
            let mut sequencer = lock(&self.sequencer);
            sequencer.accept(match is_full {
                true => Accepting::OnlyWhatFreesSpace,
                false => Accepting::Yes,
            });
            sequencer.is_closed()
        };
        if is_full && is_closed {
            // The end does not wait for space.
            self.disk().release_lanes();
        }
        drop(causes);
        if is_full {
            let disk = self.disk();
            tracing::error!(
                directory = disk.storage.place(),
                free_bytes = disk.storage.space().ok().map(|space| space.free_bytes),
                needed_bytes = disk.enough_bytes(),
                "the disk is full: producers are refused until space is freed"
            );
        } else {
            tracing::info!("the disk has space again: producers are accepted");
        }
    }

    /// Writes a snapshot of the engine's own state into the meta log, and trims that log to `trim_to`. Returns the
    /// snapshot's offset.
    pub(crate) fn snapshot_meta(&self, trim_to: Option<i64>) -> Result<i64, AppendError> {
        let log = LogId::META;
        let now_ms = self.now_ms();
        // What is accepted and not published yet has a record that the next snapshot keeps.
        let accepted = lock(&self.disk().publisher).meta.accepted_records();
        // Encoded within the critical section: no log may come or go between the snapshot and its place in the log.
        let mut sequencer = lock(&self.sequencer);
        let snapshot = Record::Snapshot {
            next_log: self.next_log.load(Ordering::Relaxed),
            logs: sequencer.durable_logs(),
        };
        let trim = trim_to.map(|to| Record::Trimmed { log, to });
        let records: Vec<Record> = [snapshot]
            .into_iter()
            .chain(accepted)
            .chain(trim.clone())
            .collect();
        let mut frame = Frame::batch(log, meta::encode(&records, now_ms));
        frame.check_size()?;
        frame.changes.extend(trim_to.map(|to| Change::Trim { log, to }));
        let (appended, raised) =
            sequencer.append(frame, Repetition::None, &[], trim.into_iter().collect(), now_ms)?;
        self.leave(sequencer);
        raised.raise();
        Ok(appended.placed.first().map_or(0, |placed| placed.base_offset))
    }
}

impl Disk {
    pub(crate) fn is_full_for(&self, full_for: FullFor) -> bool {
        lock(&self.full_for).contains(&full_for)
    }

    /// As much has to be free before producers that were refused are taken again.
    pub(crate) fn enough_bytes(&self) -> u64 {
        self.reserve_bytes / 4 * 5
    }

    /// Lanes wait for nothing any more: no file, no sealing.
    pub(crate) fn release_lanes(&self) {
        self.wal.close();
        self.gate.close();
    }

    /// Sets the gauges of what is on disk.
    pub(crate) fn count(&self, counters: &Counters) {
        let (count, bytes) = self.segments.count();
        Counters::set(&counters.segments, count);
        Counters::set(&counters.segment_bytes, bytes);
    }
}

impl Publisher {
    fn take_next(&mut self) -> Option<Written> {
        let written = self.written.remove(&self.next_lsn)?;
        self.next_lsn += 1;
        Some(written)
    }
}

pub(crate) fn tail_extent(block: &Arc<StoredBlock>, entry: &Entry) -> TailExtent {
    TailExtent {
        block: block.clone(),
        position: entry.position,
        length: entry.length,
        crc: entry.crc,
        first_offset: entry.first_offset,
        next_offset: entry.next_offset,
        max_timestamp: entry.max_timestamp,
    }
}

//! The engine as its callers see it.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::sync::{Semaphore, oneshot};

use crate::commit::{Commit, Failed};
use crate::compaction::{Keep, RewriteError, Rewritten};
use crate::core::{Core, Disk, Publisher, SealSignal};
use crate::cut::Cut;
use crate::environment::{Direct, Durability, Environment, Options};
use crate::file::aligned::BufferPool;
use crate::file::{ALIGNMENT, DiskUsage, Storage};
use crate::frame::{
    Append, AppendError, Appended, Bounds, Change, ExtentUsage, Frame, Kind, LogId, Newest, Read, ReadError,
    Repetition, Seek,
};
use crate::gate::Gate;
use crate::ids::IdMap;
use crate::lock::{abort, lock, read, write};
use crate::manifest::Manifest;
use crate::meta::{self, Record};
use crate::pacing::Pacing;
use crate::producers::{ActiveProducer, Producers};
use crate::reading;
use crate::recovery::{self, Means, OpenError, Recovered, RecoveredHead};
use crate::rewriter::{Request, Rewriter, Rewriting};
use crate::sealer::{ENTRIES_MAX, Sealer};
use crate::segment::{FooterCache, Names};
use crate::segments::Views;
use crate::sequencer::{Head, Sequencer};
use crate::signal::Signal;
use crate::stats::{Counters, Stats};
use crate::sync::{self, AtomicU64, Condvar, JoinHandle, Mutex, RwLock};
use crate::view::View;
use crate::wal::{self, LANES, Limits, Wal, WalMode};
use crate::{background, lane, scrub};

/// Idle buffers of commit blocks that are kept mapped: this part of what is kept of blocks for readers.
const IDLE_BUFFERS_DIVISOR: usize = 3;
/// Indexes of segments that are kept in memory.
const FOOTER_CACHE_BYTES: usize = 8 * 1024 * 1024;
const WAL_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// The WAL takes at most this part of the file system.
const WAL_SPACE_DIVISOR: u64 = 8;
/// The WAL has at least this many files: one that is written, one ahead, and others that are being sealed.
const WAL_FILES_MIN: u64 = 4;

/// The log engine. Clones are handles of the same engine.
#[derive(Clone)]
pub struct Engine {
    core: Arc<Core>,
    threads: Arc<Mutex<Threads>>,
}

#[derive(Default)]
struct Threads {
    /// They end before the others, which make room for them.
    lanes: Vec<JoinHandle<()>>,
    others: Vec<JoinHandle<()>>,
    scrub: Arc<scrub::Stop>,
}

impl Engine {
    /// An engine that keeps everything in memory and nothing after its end.
    pub fn memory(environment: Environment, options: Options) -> Engine {
        let mut sequencer = Sequencer::new(1, 0);
        let mut views = IdMap::default();
        for log in [LogId::META, LogId::DEFINITIONS] {
            let view = Arc::new(View::new(log, 0, 0));
            sequencer.insert(
                log,
                Head::new(view.clone(), Kind::Memory, 0, 0, Producers::default()),
            );
            views.insert(log, view);
        }
        let core = new_core(
            environment,
            options,
            sequencer,
            views,
            LogId::FIRST_ALLOCATED.0,
            None,
        );
        Engine {
            core: Arc::new(core),
            threads: Arc::default(),
        }
    }

    /// Opens the data directory behind `storage`, recovers what it holds, and starts the engine's threads. The caller
    /// holds the directory's lock.
    pub fn open(
        storage: Arc<dyn Storage>,
        environment: Environment,
        options: Options,
    ) -> Result<Engine, OpenError> {
        let direct = match options.direct {
            Direct::Auto => storage.supports_direct(),
            Direct::Always => true,
            Direct::Never => false,
        };
        let wal_mode = match (options.durability, direct) {
            (Durability::Disk, true) => WalMode::DirectSync,
            (Durability::Disk, false) => WalMode::Flushed,
            (Durability::Os, _) => WalMode::Unflushed,
        };
        let buffers = BufferPool::new(options.cache_bytes / IDLE_BUFFERS_DIVISOR);
        let footers = FooterCache::new(FOOTER_CACHE_BYTES);
        let means = Means {
            storage: &*storage,
            wal_mode,
            buffers: buffers.clone(),
            footers: footers.clone(),
            incarnation_id: (environment.random)(),
            now_ms: (environment.wall_ms)(),
        };
        let recovered = recovery::recover(&means)?;
        // Recovery reads in larger pieces than anything that follows.
        buffers.shrink();
        let limits = wal_limits(&*storage, &options);
        let opened = Opened {
            storage,
            direct,
            wal_mode,
            limits,
            buffers,
            footers,
        };
        Ok(start(opened, environment, options, recovered))
    }

    /// The first of `count` consecutive ids that no log has or had.
    pub fn allocate(&self, count: u64) -> LogId {
        LogId(self.core.next_log.fetch_add(count, Ordering::Relaxed))
    }

    /// Takes a frame whole, or refuses it whole. Does no I/O and does not wait; offsets are final.
    pub fn append(&self, mut frame: Frame) -> Result<Appended, AppendError> {
        frame.check_size()?;
        if self.core.disk.is_none() {
            frame.changes.iter_mut().for_each(Change::keep_in_memory);
        }
        let now_ms = self.core.now_ms();
        let records: Vec<Record> = frame.changes.iter().filter_map(Record::of).collect();
        let own_batch = self.core.disk.is_some() && !records.is_empty();
        if own_batch {
            frame.appends.push(Append {
                log: LogId::META,
                batch: meta::encode(&records, now_ms),
            });
        }
        if let Some(log) = frame.deleted_before() {
            return Err(AppendError::UnknownLog(log));
        }
        let created = self.add_views(&frame);
        let deleted = deleted_logs(&frame);
        let repetition = frame.repetition();
        let mut sequencer = lock(&self.core.sequencer);
        let appended = sequencer.append(frame, repetition, &created, records, now_ms);
        self.core.leave(sequencer);
        match appended {
            Ok((mut appended, raised)) => {
                if own_batch {
                    appended.placed.pop();
                }
                raised.raise();
                self.remove_deleted_memory_logs(&deleted);
                Ok(appended)
            }
            Err(error) => {
                let mut views = write(&self.core.views);
                created.iter().for_each(|view| drop(views.remove(&view.log())));
                Err(error)
            }
        }
    }

    /// Views of logs that the frame creates. They are there before the frame can be published.
    fn add_views(&self, frame: &Frame) -> Vec<Arc<View>> {
        let created = frame.changes.iter().filter_map(|change| match change {
            Change::Create { log, .. } => Some(Arc::new(View::new(*log, 0, 0))),
            _ => None,
        });
        let created: Vec<_> = created.collect();
        if !created.is_empty() {
            let mut views = write(&self.core.views);
            views.extend(created.iter().map(|view| (view.log(), view.clone())));
        }
        created
    }

    /// A memory log is gone at once, a durable one when its deletion is durable.
    fn remove_deleted_memory_logs(&self, deleted: &[LogId]) {
        for log in deleted {
            if self.core.view(*log).is_some_and(|view| view.is_deleted()) {
                write(&self.core.views).remove(log);
            }
        }
    }

    /// Whole batches from the one that contains `from`, or the first after it: at least one, and more while they stay
    /// within `max_bytes`. Empty where nothing is durable at or after `from` yet.
    pub async fn read(&self, log: LogId, from: i64, max_bytes: usize) -> Result<Read, ReadError> {
        reading::read_log(&self.core, log, from, max_bytes).await
    }

    /// The bytes of the first batch that matches.
    pub async fn find(&self, log: LogId, seek: Seek) -> Result<Option<Bytes>, ReadError> {
        reading::find(&self.core, log, seek).await
    }

    /// All logs that exist, in ascending order.
    pub fn logs(&self) -> Vec<LogId> {
        let mut logs: Vec<_> = read(&self.core.views).keys().copied().collect();
        logs.sort_unstable();
        logs
    }

    pub fn bounds(&self, log: LogId) -> Option<Bounds> {
        self.core.view(log).map(|view| view.bounds())
    }

    /// Raises `token` on the signal whenever the log's bounds change or it is deleted, until the signal is dropped.
    pub fn watch(&self, log: LogId, signal: &Arc<Signal>, token: u64) -> Option<Bounds> {
        self.core.view(log).and_then(|view| view.watch(signal, token))
    }

    /// The stretches of a log that can be trimmed as one, oldest first.
    pub fn extents(&self, log: LogId) -> Vec<ExtentUsage> {
        self.core.view(log).map(|view| view.usage()).unwrap_or_default()
    }

    /// The idempotent producers that a log remembers; none where there is no such log.
    pub fn producers(&self, log: LogId) -> Vec<ActiveProducer> {
        let sequencer = lock(&self.core.sequencer);
        sequencer
            .producers(log)
            .map(Producers::active)
            .unwrap_or_default()
    }

    /// Bytes of batches that were published of a log since the engine was opened.
    pub fn published_bytes(&self, log: LogId) -> Option<u64> {
        self.core.view(log).map(|view| view.published_bytes())
    }

    /// The newest records of a log that take at least `bytes`: as few as can be told without opening what is sealed, which is
    /// less than two chunks or a batch more than that.
    pub async fn newest(&self, log: LogId, bytes: u64) -> Result<Newest, ReadError> {
        reading::newest(&self.core, log, bytes).await
    }

    /// The offset below which only the latest record of each key is kept; 0 where the log was never compacted.
    pub fn compacted_to(&self, log: LogId) -> i64 {
        self.core.view(log).map_or(0, |view| view.compacted_to())
    }

    /// Gives up what is lost of a log in between: it is no hole any more, and reads pass it. For good, also where the records
    /// are found again. Offsets that can be read are not to be among them, as nobody would read them any more.
    pub fn accept(&self, log: LogId, first_offset: i64, next_offset: i64) -> Result<Commit, AppendError> {
        let record = Record::Accepted {
            log,
            first_offset,
            next_offset,
        };
        let now_ms = self.core.now_ms();
        let frame = Frame::batch(LogId::META, meta::encode(std::slice::from_ref(&record), now_ms));
        let mut sequencer = lock(&self.core.sequencer);
        let (appended, raised) = sequencer.append(frame, Repetition::None, &[], vec![record], now_ms)?;
        self.core.leave(sequencer);
        raised.raise();
        Ok(appended.commit)
    }

    /// Says what the time is believed to be, in milliseconds since 1970, whatever the wall clock says. By this time producers
    /// expire, and before it was said none does.
    pub fn tell_time(&self, known_ms: i64) {
        let known_ms = u64::try_from(known_ms).unwrap_or(0);
        self.core.known_ms.store(known_ms, Ordering::Relaxed);
    }

    /// Rewrites what segments hold of a log, so that only what is to be kept stays; offsets stay as they are. What the WAL
    /// holds of it is sealed first where it is to be compacted. Requests are done one after the other.
    pub async fn rewrite(&self, log: LogId, keep: Keep) -> Result<Rewritten, RewriteError> {
        let disk = self.core.disk.as_ref().ok_or(RewriteError::UnknownLog(log))?;
        if self.core.options.merge_segments == 0 {
            return Err(RewriteError::Stopped);
        }
        let (reply, rewritten) = oneshot::channel();
        disk.rewriting.request(Request { log, keep, reply });
        rewritten.await.map_err(|_| RewriteError::Stopped)?
    }

    /// All that is durable now, as segments whose files can be copied while the engine goes on.
    pub async fn cut(&self) -> Result<Cut, Failed> {
        let disk = self.core.disk.as_ref().ok_or(Failed)?;
        let (reply, cut) = oneshot::channel();
        disk.seal.want_cut(reply);
        cut.await.map_err(|_| Failed)
    }

    pub fn stats(&self) -> Stats {
        let logs = read(&self.core.views).len() as u64;
        Counters::set(&self.core.counters.logs, logs);
        if let Some(disk) = &self.core.disk {
            Counters::set(&self.core.counters.wal_bytes, disk.wal.bytes_total());
        }
        self.core.counters.stats()
    }

    /// Whether only what frees space is taken, as the disk is full.
    pub fn is_full(&self) -> bool {
        self.core.counters.disk_full.load(Ordering::Relaxed) != 0
    }

    /// The disk as it is now. `None` where everything is in memory, and where the system does not say.
    pub fn disk_usage(&self) -> Option<DiskUsage> {
        let disk = self.core.disk.as_ref()?;
        let space = disk.storage.space().ok()?;
        let is_full = !lock(&disk.full_for).is_empty();
        Some(DiskUsage {
            directory: disk.storage.place(),
            total_bytes: space.total_bytes,
            free_bytes: space.free_bytes,
            needed_bytes: if is_full {
                disk.enough_bytes()
            } else {
                disk.reserve_bytes
            },
        })
    }

    /// Refuses further frames, makes what was taken durable, and ends the engine's threads. What a full disk has no space
    /// for is given up: nobody was told that it is durable.
    pub fn close(&self) {
        lock(&self.core.sequencer).close();
        if let Some(disk) = &self.core.disk
            && !lock(&disk.full_for).is_empty()
        {
            disk.release_lanes();
        }
        self.core.work.notify_all();
        let Threads { lanes, others, scrub } = std::mem::take(&mut *lock(&self.threads));
        scrub.stop();
        lanes
            .into_iter()
            .for_each(|thread| thread.join().unwrap_or_else(|_| abort()));
        let given_up = lock(&self.core.sequencer).give_up();
        given_up.iter().for_each(|fate| fate.resolve(false));
        if let Some(disk) = &self.core.disk {
            disk.wal.close();
            disk.seal.close();
            disk.rewriting.close();
            disk.freeing.close();
        }
        others
            .into_iter()
            .for_each(|thread| thread.join().unwrap_or_else(|_| abort()));
        // After a failed flush nothing more is written.
        if let Some(disk) = &self.core.disk
            && self.stats().failed == 0
        {
            lock(&disk.manifest).close();
        }
    }
}

fn deleted_logs(frame: &Frame) -> Vec<LogId> {
    let deleted = frame.changes.iter().filter_map(|change| match change {
        Change::Delete { log } => Some(*log),
        _ => None,
    });
    deleted.collect()
}

fn new_core(
    environment: Environment,
    options: Options,
    sequencer: Sequencer,
    views: IdMap<LogId, Arc<View>>,
    next_log: u64,
    disk: Option<Disk>,
) -> Core {
    Core {
        options,
        environment,
        counters: Counters::default(),
        next_log: AtomicU64::new(next_log),
        known_ms: AtomicU64::new(0),
        sequencer: Mutex::new(sequencer),
        work: Condvar::new(),
        views: RwLock::new(views),
        disk_reads: Arc::new(Semaphore::new(reading::DISK_READS_MAX)),
        disk,
    }
}

/// What the WAL may take: the configured limit, else the smaller of 1 GiB and an eighth of the file system.
fn wal_limits(storage: &dyn Storage, options: &Options) -> Limits {
    // A system that does not say how large the file system is may still be written to.
    let share = || {
        let space = storage.space().ok()?;
        Some(space.total_bytes / WAL_SPACE_DIVISOR)
    };
    let bytes_max = options
        .wal_bytes_max
        .unwrap_or_else(|| share().map_or(WAL_BYTES_MAX, |share| share.min(WAL_BYTES_MAX)));
    let file_bytes = options
        .wal_file_bytes
        .min(bytes_max / WAL_FILES_MIN)
        .max(wal::FILE_BYTES_MIN);
    let file_bytes = file_bytes / ALIGNMENT as u64 * ALIGNMENT as u64;
    Limits {
        bytes_max: bytes_max.max(file_bytes * WAL_FILES_MIN),
        file_bytes,
    }
}

/// What producers leave free: a segment and a WAL file, each while the one before it is still there.
fn reserve_bytes(options: &Options, limits: &Limits) -> u64 {
    let default = 2 * (options.segment_bytes.min(limits.bytes_max) + limits.file_bytes);
    options.reserve_bytes.unwrap_or(default)
}

/// What the engine opens its files with.
struct Opened {
    storage: Arc<dyn Storage>,
    direct: bool,
    wal_mode: WalMode,
    limits: Limits,
    buffers: BufferPool,
    footers: Arc<FooterCache>,
}

fn start(opened: Opened, environment: Environment, options: Options, recovered: Recovered) -> Engine {
    let Opened {
        storage,
        direct,
        wal_mode,
        limits,
        buffers,
        footers,
    } = opened;
    let first_lsn = recovered.incarnation.first_lsn;
    let mut sequencer = Sequencer::new(first_lsn, limits.file_bytes);
    insert_heads(&mut sequencer, recovered.heads, &recovered.views);
    let next_log = recovered.meta.next_log.max(LogId::FIRST_ALLOCATED.0);
    let pacing = Pacing::new(options.segment_bytes, limits.bytes_max, ENTRIES_MAX);
    let disk = Disk {
        wal: Wal::new(
            storage.clone(),
            wal_mode,
            limits,
            buffers.clone(),
            recovered.full,
            recovered.free,
        ),
        gate: Gate::new(&options, recovered.blocks.unsealed_bytes()),
        turn: Mutex::default(),
        storage,
        direct,
        incarnation: recovered.incarnation,
        buffers,
        blocks: Mutex::new(recovered.blocks),
        seal: SealSignal::default(),
        footers,
        segments: recovered.segments,
        freeing: Arc::default(),
        names: Names::default(),
        manifest: Mutex::new(Manifest::new(recovered.checkpointer, recovered.carried)),
        rewriting: Rewriting::default(),
        publisher: Mutex::new(Publisher {
            failed: false,
            next_lsn: first_lsn,
            written: BTreeMap::new(),
            meta: recovered.meta,
        }),
        reserve_bytes: reserve_bytes(&options, &limits),
        full_for: Mutex::default(),
        published_lsn: AtomicU64::new(first_lsn - 1),
        data_lsn: AtomicU64::new(recovered.data_lsn),
        recorded_lsn: AtomicU64::new(recovered.recorded_lsn),
    };
    let core = Arc::new(new_core(
        environment,
        options,
        sequencer,
        recovered.views,
        next_log,
        Some(disk),
    ));
    core.count_recovered(recovered.quarantined);
    Engine {
        threads: Arc::new(Mutex::new(spawn_threads(&core, Sealer::new(pacing), wal_mode))),
        core,
    }
}

fn insert_heads(sequencer: &mut Sequencer, heads: Vec<RecoveredHead>, views: &Views) {
    for RecoveredHead {
        log,
        start,
        next_offset,
        producers,
    } in heads
    {
        let view = views[&log].clone();
        sequencer.insert(log, Head::new(view, Kind::Durable, start, next_offset, producers));
    }
}

fn spawn_threads(core: &Arc<Core>, sealer: Sealer, wal_mode: WalMode) -> Threads {
    let lane = |lane| {
        spawn(core, format!("wal-lane-{lane}"), move |core| {
            lane::run(core, core.disk(), lane)
        })
    };
    let lanes = (0..LANES).map(lane).collect();
    let mut others = vec![
        spawn(core, "wal-prepare".into(), |core| {
            background::prepare(core, core.disk())
        }),
        spawn(core, "sealer".into(), move |core| sealer.run(core, core.disk())),
        spawn(core, "freeing".into(), |core| core.disk().freeing.run()),
    ];
    if core.options.merge_segments > 0 {
        others.push(spawn(core, "rewriter".into(), |core| {
            Rewriter::default().run(core, core.disk())
        }));
    }
    if wal_mode == WalMode::Unflushed {
        others.push(spawn(core, "wal-flush".into(), |core| {
            background::flush(core, core.disk())
        }));
    }
    let scrub = Arc::new(scrub::Stop::default());
    if let Some(interval) = core.options.scrub_interval {
        let bytes_per_s = core.options.scrub_bytes_per_s;
        let (pace, stop) = (
            scrub::Pace {
                interval,
                bytes_per_s,
            },
            scrub.clone(),
        );
        others.push(spawn(core, "scrub".into(), move |core| {
            scrub::run(core, core.disk(), pace, &stop)
        }));
    }
    Threads { lanes, others, scrub }
}

/// A thread of the engine. If it panics, shared state may be half changed, so the process ends.
fn spawn(core: &Arc<Core>, name: String, run: impl FnOnce(&Core) + Send + 'static) -> JoinHandle<()> {
    let core = core.clone();
    let run = move || {
        let result = std::panic::catch_unwind(AssertUnwindSafe(|| run(&core)));
        if result.is_err() {
            abort();
        }
    };
    sync::spawn(name, run)
}

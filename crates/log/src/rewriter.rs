//! The rewriting thread: merges segments, and takes what is left of those of which little is kept.
//!
//! The order is: the new segment is durable, readers see it, the catalog knows it and gives up those that it replaces, and
//! their files are removed. A crash before the catalog knows it leaves the sources; after that, the new one.

mod plan;
mod request;

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::background::{self, FULL_DISK_RETRY, is_full_disk};
use crate::core::{Core, Disk};
use crate::frame::LogId;
use crate::ids::IdSet;
use crate::lock::{abort, lock};
use crate::manifest;
use crate::rewrite::{self, Error, Selection};
use crate::segment::{self, Footer, SegmentId};
use crate::stats::Counters;
use crate::sync::{Condvar, Mutex};

use self::plan::{Plan, Reason};
pub(crate) use self::request::Request;

/// How much is rewritten between two looks at what producers do, in bytes.
const PACE_BYTES: u64 = 1024 * 1024;
/// How long it rests then while they write, so that it takes a small part of the disk and of a core.
const REST: Duration = Duration::from_millis(15);
/// And while they write whole blocks, so that disk and cores are what limits them. What waits is done when they pause.
const REST_BUSY: Duration = Duration::from_millis(45);

/// Tells the thread what there is to do.
#[derive(Default)]
pub(crate) struct Rewriting {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    requests: VecDeque<Request>,
    look: bool,
    closing: bool,
}

impl Default for State {
    fn default() -> State {
        State {
            requests: VecDeque::new(),
            // What the last process had no time for.
            look: true,
            closing: false,
        }
    }
}

impl Rewriting {
    /// Segments came, or less of them is kept.
    pub(crate) fn look(&self) {
        lock(&self.state).look = true;
        self.changed.notify_all();
    }

    /// Asks for a log to be rewritten.
    pub(crate) fn request(&self, request: Request) {
        let mut state = lock(&self.state);
        if !state.closing {
            state.requests.push_back(request);
        }
        self.changed.notify_all();
    }

    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        state.closing = true;
        // Who waits learns that nothing comes of it.
        state.requests.clear();
        self.changed.notify_all();
    }

    fn next_request(&self) -> Option<Request> {
        lock(&self.state).requests.pop_front()
    }

    fn is_closing(&self) -> bool {
        lock(&self.state).closing
    }

    /// Waits for something to do; false at the end.
    fn wait(&self) -> bool {
        let state = lock(&self.state);
        let waited = self.changed.wait_while(state, |state| {
            !state.closing && !state.look && state.requests.is_empty()
        });
        let mut state = waited.unwrap_or_else(|_| abort());
        state.look = false;
        !state.closing
    }

    /// Waits, and says whether to go on.
    fn rest(&self, duration: Duration) -> bool {
        let state = lock(&self.state);
        let waited = self
            .changed
            .wait_timeout_while(state, duration, |state| !state.closing);
        !waited.unwrap_or_else(|_| abort()).0.closing
    }
}

#[derive(Default)]
pub(crate) struct Rewriter {
    /// Segments that stay as they are: they cannot be read where it matters, or something of them cannot move because
    /// offsets in it or beside it are missing.
    stuck: IdSet<SegmentId>,
    /// Segments that are merged with none: of a log, something in another one lies between them and their neighbours.
    apart: IdSet<SegmentId>,
}

impl Rewriter {
    /// Runs until the engine is closed or a flush fails.
    pub(crate) fn run(mut self, core: &Core, disk: &Disk) {
        while disk.rewriting.wait() {
            loop {
                while let Some(request) = disk.rewriting.next_request() {
                    if let Err(error) = request.carry_out(core, disk) {
                        return core.fail(&format!("rewriting a log: {error}"));
                    }
                }
                let Some(plan) = plan::choose(core, disk, &self.stuck, &self.apart) else {
                    break;
                };
                match self.carry_out(core, disk, &plan) {
                    Ok(()) => {}
                    Err(Error::Stopped) => return,
                    Err(Error::Source(error)) => tracing::error!(%error, "a segment is not rewritten"),
                    Err(Error::Write(error)) if is_full_disk(&error) => {
                        // The sealing thread says so where it is more than this that has no space.
                        if !disk.rewriting.rest(FULL_DISK_RETRY) {
                            return;
                        }
                        break;
                    }
                    Err(Error::Write(error)) => return core.fail(&format!("rewriting segments: {error}")),
                }
            }
        }
    }

    fn carry_out(&mut self, core: &Core, disk: &Disk, plan: &Plan) -> Result<(), Error> {
        let sources: Vec<SegmentId> = plan.sources.iter().map(|sealed| sealed.id()).collect();
        let done = rewrite_segments(core, disk, plan, &rewrite::Everything).map(drop);
        match &done {
            Ok(()) => {
                let left = plan.sources.iter().filter(|sealed| sealed.kept_extents() > 0);
                let left: Vec<SegmentId> = left.map(|sealed| sealed.id()).collect();
                match plan.reason {
                    // What of a log did not move because it does not follow the rest moves the next time.
                    Reason::Sparse if left.len() < sources.len() => {}
                    Reason::Sparse | Reason::Requested => self.stuck.extend(left),
                    Reason::Neighbours => self.apart.extend(left),
                }
            }
            Err(Error::Source(segment::Error::Damaged {
                segment,
                log,
                first_offset,
                next_offset,
                ..
            })) => {
                core.quarantine(LogId(*log), *first_offset, *next_offset, "a segment");
                self.stuck.insert(*segment);
            }
            Err(Error::Source(_)) => self.stuck.extend(sources),
            Err(_) => {}
        }
        done
    }
}

/// Gives how many bytes are kept.
fn rewrite_segments(core: &Core, disk: &Disk, plan: &Plan, selection: &dyn Selection) -> Result<u64, Error> {
    let job = plan.job(core, disk, selection)?;
    let id = job.id;
    let windows: Vec<LogId> = job.windows.iter().map(|(log, _)| *log).collect();
    let mut pace = Pace::new(core);
    let written = rewrite::rewrite(core, job, |bytes| pace.go_on(core, disk, bytes as u64));
    if written.is_err() {
        // Its sources are still there.
        background::remove_attempt(&*disk.storage, &id.path()).map_err(Error::Write)?;
    }
    let footer = written?;
    install(core, disk, &footer, plan, &windows)?;
    Ok(footer.summary.data_bytes)
}

/// Makes the segment count, and gives up those that it replaces.
fn install(core: &Core, disk: &Disk, footer: &Footer, plan: &Plan, windows: &[LogId]) -> Result<(), Error> {
    let mut manifest = lock(&disk.manifest);
    let id = footer.summary.id;
    manifest::show(core, disk, id, &footer.extents)?;
    let producers = &mut manifest.carried.producers;
    let sources: Vec<SegmentId> = plan.sources.iter().map(|sealed| sealed.id()).collect();
    // A segment that was sealed meanwhile may have newer windows.
    let held = producers.held_by(&sources);
    for log in windows.iter().filter(|log| held.contains(log)) {
        producers.set_segment(*log, id);
    }
    Counters::add(&core.counters.rewrites, 1);
    Counters::add(&core.counters.rewritten_bytes, footer.summary.length);
    let dead = manifest.dead(core, disk);
    match manifest.checkpoint(disk, &dead) {
        Ok(()) => Ok(manifest.remove(core, disk, &dead)?),
        // The catalog follows when there is space again.
        Err(error) if error.is_full_disk() => {
            disk.seal.want_reclaim();
            Ok(())
        }
        Err(error) => Err(Error::Write(std::io::Error::other(error.to_string()))),
    }
}

/// Rests now and then while producers write.
struct Pace {
    bytes: u64,
    seen: Seen,
}

/// What producers did until the last look.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    wal_bytes: u64,
    full_blocks: u64,
}

impl Seen {
    fn now(core: &Core) -> Seen {
        Seen {
            wal_bytes: core.counters.wal_written_bytes.load(Ordering::Relaxed),
            full_blocks: core.counters.full_blocks.load(Ordering::Relaxed),
        }
    }

    /// How long to rest before the next step; none if nothing was written since.
    fn rest_since(self, before: Seen) -> Option<Duration> {
        if self.full_blocks != before.full_blocks {
            return Some(REST_BUSY);
        }
        (self.wal_bytes != before.wal_bytes).then_some(REST)
    }
}

impl Pace {
    fn new(core: &Core) -> Pace {
        Pace {
            bytes: 0,
            seen: Seen::now(core),
        }
    }

    fn go_on(&mut self, core: &Core, disk: &Disk, bytes: u64) -> bool {
        self.bytes += bytes;
        while self.bytes >= PACE_BYTES {
            self.bytes -= PACE_BYTES;
            let now = Seen::now(core);
            let before = std::mem::replace(&mut self.seen, now);
            if let Some(rest) = now.rest_since(before)
                && !disk.rewriting.rest(rest)
            {
                return false;
            }
        }
        !disk.rewriting.is_closing()
    }
}

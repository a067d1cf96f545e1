//! The sequencer: the one place where offsets are assigned.
//!
//! [`Sequencer::append`] is a short critical section: epochs and producer sequences are checked, offsets assigned, and
//! the batches put into the block that gathers. Nothing is encoded, checksummed or written in it. The lanes of the
//! commit loop take what has gathered.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::BytesMut;
use firth_batch::{Header, assign};
use smallvec::SmallVec;

use crate::block::{self, Item};
use crate::carried::Expired;
use crate::commit::{Commit, Fate};
use crate::frame::{Append, AppendError, Appended, Bounds, Change, Frame, Kind, LogId, Placed, Repetition};
use crate::ids::IdMap;
use crate::meta::Record;
use crate::producers::{Check, Producers, Sequenced};
use crate::stored::StoredBlock;
use crate::view::{Freed, Raised, TailExtent, View};

/// A block that has gathered this much is complete: longer ones would not be written faster, only later. Where a WAL file
/// is small, less is complete, since a block lies within one file.
pub(crate) const BLOCK_BYTES_TARGET: usize = 1024 * 1024;
/// A second flush beside a running one pays when it has this much to carry; less waits for the running one.
const SECOND_LANE_BYTES_MIN: usize = 256 * 1024;
/// A block of so many batches shows a load under which gathering pays; under a lighter one waiting is only late.
const SECOND_LANE_ITEMS_BUSY: usize = 16;

pub(crate) struct Sequencer {
    heads: IdMap<LogId, Head>,
    gathering: VecDeque<Gathering>,
    /// The fates of blocks that are not known to be durable, by LSN.
    fates: VecDeque<(u64, Arc<Fate>)>,
    /// At most [`BLOCK_BYTES_TARGET`].
    block_bytes: usize,
    next_lsn: u64,
    lanes_busy: usize,
    /// Batches in the block that a lane took last.
    taken_items: usize,
    /// Waking a lane costs a system call, so it is done when there is something for it.
    waiting: Waiting,
    accepting: Accepting,
    failed: bool,
}

/// Whether frames are taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accepting {
    Yes,
    /// The disk is full: only the engine's own records, trims and deletions.
    OnlyWhatFreesSpace,
    /// A flush failed, or the engine is closed.
    No,
}

/// Whether a lane waits on the engine's condition.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    No,
    ForWork,
    /// Not for long: there is something that recovery should be told.
    ForWorkOrIdleness,
}

/// The writing end of a log.
pub(crate) struct Head {
    pub(crate) view: Arc<View>,
    pub(crate) kind: Kind,
    pub(crate) leader_epoch: i32,
    pub(crate) start: i64,
    pub(crate) next_offset: i64,
    pub(crate) producers: Producers,
    /// The latest block with a batch of this log, if it was written since the start; a duplicate waits for it.
    latest_lsn: u64,
}

impl Head {
    pub(crate) fn new(
        view: Arc<View>,
        kind: Kind,
        start: i64,
        next_offset: i64,
        producers: Producers,
    ) -> Head {
        Head {
            view,
            kind,
            leader_epoch: 0,
            start,
            next_offset,
            producers,
            latest_lsn: 0,
        }
    }
}

/// A block that takes frames, or waits for a lane.
pub(crate) struct Gathering {
    pub(crate) lsn: u64,
    pub(crate) items: Vec<Item>,
    pub(crate) bytes: usize,
    /// What becomes true of the engine's own state when the block is durable.
    pub(crate) records: Vec<Record>,
    pub(crate) fate: Arc<Fate>,
}

/// What a lane that looks for work finds.
pub(crate) enum Take {
    Block(Gathering),
    /// The next block needs this many bytes in a file, and the current file does not have them.
    NeedsFile(u64),
    Nothing,
}

impl Sequencer {
    /// For WAL files of so many bytes.
    pub(crate) fn new(next_lsn: u64, wal_file_bytes: u64) -> Sequencer {
        Sequencer {
            heads: IdMap::default(),
            gathering: VecDeque::new(),
            fates: VecDeque::new(),
            // The directory of a block of small batches takes nearly as much as these.
            block_bytes: BLOCK_BYTES_TARGET.min(wal_file_bytes as usize / 2),
            next_lsn,
            lanes_busy: 0,
            taken_items: 0,
            waiting: Waiting::No,
            accepting: Accepting::Yes,
            failed: false,
        }
    }

    pub(crate) fn insert(&mut self, log: LogId, head: Head) {
        self.heads.insert(log, head);
    }

    pub(crate) fn accept(&mut self, accepting: Accepting) {
        // A failed flush is final.
        if self.accepting != Accepting::No {
            self.accepting = accepting;
        }
    }

    /// Takes a frame whole or refuses it whole. `created` are the views of the logs that it creates, in its order;
    /// `records` say what its changes do, and are encoded in the last of its appends.
    pub(crate) fn append(
        &mut self,
        frame: Frame,
        repetition: Repetition,
        created: &[Arc<View>],
        records: Vec<Record>,
        now_ms: i64,
    ) -> Result<(Appended, Raised), AppendError> {
        self.check_accepting(&frame)?;
        frame
            .changes
            .iter()
            .try_for_each(|change| self.check_change(change))?;
        let mut checks: SmallVec<[Check; 1]> = SmallVec::with_capacity(frame.appends.len());
        for (at, append) in frame.appends.iter().enumerate() {
            let before = match repetition {
                Repetition::None => &[],
                Repetition::OfProducer => &frame.appends[..at],
            };
            checks.push(self.check(append, before, &frame.changes)?);
        }

        let mut raised = Raised::default();
        let mut views = created.iter();
        frame
            .changes
            .iter()
            .for_each(|change| self.apply(change, &mut views, &mut raised));
        self.open_block(&frame.appends, &checks);
        let mut placed = SmallVec::new();
        let mut fates = Fates::default();
        for (append, check) in frame.appends.into_iter().zip(checks) {
            placed.push(match check {
                Check::Next => self.place(append, now_ms, &mut fates, &mut raised),
                Check::Duplicate(original) => self.original(append.log, original, &mut fates),
            });
        }
        if let Some(gathering) = self.gathering.back_mut().filter(|_| !records.is_empty()) {
            gathering.records.extend(records);
        }
        Ok((
            Appended {
                placed,
                commit: fates.commit(),
            },
            raised,
        ))
    }

    fn check_accepting(&self, frame: &Frame) -> Result<(), AppendError> {
        match self.accepting {
            Accepting::Yes => Ok(()),
            Accepting::No => Err(AppendError::Failed),
            Accepting::OnlyWhatFreesSpace => {
                let frees = |change: &Change| matches!(change, Change::Trim { .. } | Change::Delete { .. });
                // What groups store is theirs and not ours: there is no end to it. What leaves queues ends with what is in them,
                // and to what is declared nothing is added then.
                let is_ours = |append: &Append| {
                    matches!(
                        append.log,
                        LogId::META | LogId::DEFINITIONS | LogId::QUEUES | LogId::TOPOLOGY
                    )
                };
                if frame.appends.iter().all(is_ours) && frame.changes.iter().all(frees) {
                    Ok(())
                } else {
                    Err(AppendError::Full)
                }
            }
        }
    }

    /// Decides about one append. `before` are those of the frame that come before it, where one may be of its producer.
    fn check(&self, append: &Append, before: &[Append], changes: &[Change]) -> Result<Check, AppendError> {
        let Some(head) = self.heads.get(&append.log) else {
            let created =
                |change: &Change| matches!(change, Change::Create { log, .. } if *log == append.log);
            return if changes.iter().any(created) {
                Ok(Check::Next)
            } else {
                Err(AppendError::UnknownLog(append.log))
            };
        };
        let header = append.batch.header();
        if head
            .next_offset
            .checked_add(i64::from(header.last_offset_delta) + 1)
            .is_none()
        {
            return Err(AppendError::OffsetsExhausted(append.log));
        }
        if !header.has_producer_id() {
            return Ok(Check::Next);
        }
        let same = |other: &&Append| {
            other.log == append.log && other.batch.header().producer_id == header.producer_id
        };
        match before.iter().rfind(same) {
            Some(other) => follow(other.batch.header(), header),
            None => head.producers.check(header),
        }
    }

    fn check_change(&self, change: &Change) -> Result<(), AppendError> {
        match *change {
            Change::Create { .. } => Ok(()),
            Change::Delete { log } => self
                .heads
                .get(&log)
                .map(|_| ())
                .ok_or(AppendError::UnknownLog(log)),
            Change::Trim { log, to } => {
                let head = self.heads.get(&log).ok_or(AppendError::UnknownLog(log))?;
                let bounds = Bounds {
                    start: head.start,
                    end: head.next_offset,
                };
                if to > bounds.end || to < 0 {
                    return Err(AppendError::TrimOutOfRange { log, to, bounds });
                }
                Ok(())
            }
        }
    }

    fn apply<'a>(
        &mut self,
        change: &Change,
        views: &mut impl Iterator<Item = &'a Arc<View>>,
        raised: &mut Raised,
    ) {
        match *change {
            Change::Create { log, kind } => {
                let view = views
                    .next()
                    .expect("a view was made for every log that the frame creates")
                    .clone();
                self.heads
                    .insert(log, Head::new(view, kind, 0, 0, Producers::default()));
            }
            Change::Trim { log, to } => {
                let head = self
                    .heads
                    .get_mut(&log)
                    .expect("the log was checked in this critical section");
                head.start = head.start.max(to);
                if head.kind == Kind::Memory {
                    head.view.trim(to, raised, &mut Freed::default());
                }
            }
            Change::Delete { log } => {
                let head = self
                    .heads
                    .remove(&log)
                    .expect("the log was checked in this critical section");
                if head.kind == Kind::Memory {
                    head.view.delete(raised, &mut Freed::default());
                }
            }
        }
    }

    /// A frame lies within one block: the one that gathers where it has room, else a new one.
    fn open_block(&mut self, appends: &[Append], checks: &[Check]) {
        let is_durable = |log: &LogId| self.heads.get(log).is_some_and(|head| head.kind == Kind::Durable);
        let placed = appends
            .iter()
            .zip(checks)
            .filter(|(append, check)| **check == Check::Next && is_durable(&append.log));
        let frame_bytes: usize = placed.map(|(append, _)| append.batch.len()).sum();
        if frame_bytes == 0 {
            return;
        }
        let room = |gathering: &Gathering| {
            gathering.items.is_empty() || gathering.bytes + frame_bytes <= self.block_bytes
        };
        if !self.gathering.back().is_some_and(room) {
            while self.fates.front().is_some_and(|(_, fate)| fate.is_durable()) {
                self.fates.pop_front();
            }
            let gathering = Gathering::new(self.next_lsn);
            self.fates.push_back((gathering.lsn, gathering.fate.clone()));
            self.gathering.push_back(gathering);
            self.next_lsn += 1;
        }
    }

    /// Assigns the batch its offsets and puts it into the block that gathers; into memory logs at once.
    fn place(&mut self, append: Append, now_ms: i64, fates: &mut Fates, raised: &mut Raised) -> Placed {
        let head = self
            .heads
            .get_mut(&append.log)
            .expect("the log was checked in this critical section");
        let header: &Header = append.batch.header();
        let base_offset = head.next_offset;
        let placed = Placed {
            base_offset,
            log_start: head.start,
            timestamp: header.max_timestamp,
            duplicate: false,
        };
        head.next_offset += i64::from(header.last_offset_delta) + 1;
        head.producers.observe(header, base_offset, now_ms);
        let item = Item {
            log: append.log,
            base_offset,
            leader_epoch: head.leader_epoch,
            batch: append.batch,
        };
        if head.kind == Kind::Memory {
            publish_in_memory(head, item, raised);
            return placed;
        }
        let gathering = self
            .gathering
            .back_mut()
            .expect("a block was opened for the frame");
        head.latest_lsn = gathering.lsn;
        fates.own = Some(gathering.fate.clone());
        gathering.bytes += item.batch.len();
        gathering.items.push(item);
        placed
    }

    /// Answers a batch that is in its producer's window already.
    fn original(&self, log: LogId, original: Sequenced, fates: &mut Fates) -> Placed {
        let head = &self.heads[&log];
        // A block that is not here is durable.
        let at = self.fates.binary_search_by_key(&head.latest_lsn, |(lsn, _)| *lsn);
        if let Some((lsn, fate)) = at.ok().and_then(|at| self.fates.get(at)) {
            fates.wait_for_original(*lsn, fate);
        }
        Placed {
            base_offset: original.base_offset,
            log_start: head.start,
            timestamp: original.timestamp,
            duplicate: true,
        }
    }

    pub(crate) fn producers(&self, log: LogId) -> Option<&Producers> {
        self.heads.get(&log).map(|head| &head.producers)
    }

    /// Forgets producers that have not gone on since.
    pub(crate) fn forget_producers(&mut self, expired: &[Expired]) {
        for producer in expired {
            if let Some(head) = self.heads.get_mut(&producer.log) {
                head.producers.forget(producer.producer_id, producer.last_offset);
            }
        }
    }

    /// The logs on disk, with the first offset that each keeps.
    pub(crate) fn durable_logs(&self) -> Vec<(LogId, i64)> {
        let durable = self.heads.iter().filter(|(_, head)| head.kind == Kind::Durable);
        let mut logs: Vec<_> = durable.map(|(log, head)| (*log, head.start)).collect();
        logs.sort_unstable();
        logs
    }

    /// Gives a lane the next block, if one is worth a flush now and fits into `room` bytes of the current file.
    pub(crate) fn take(&mut self, room: u64) -> Take {
        let Some(next) = self.gathering.front().filter(|_| self.is_worth_a_flush()) else {
            return Take::Nothing;
        };
        let bytes = next.file_bytes();
        if bytes > room {
            return Take::NeedsFile(bytes);
        }
        self.taken_items = next.items.len();
        self.lanes_busy += 1;
        self.gathering.pop_front().map_or(Take::Nothing, Take::Block)
    }

    fn is_worth_a_flush(&self) -> bool {
        let Some(next) = self.gathering.front() else {
            return false;
        };
        let light_load = self.taken_items < SECOND_LANE_ITEMS_BUSY;
        self.lanes_busy == 0 || light_load || self.gathering.len() > 1 || next.bytes >= SECOND_LANE_BYTES_MIN
    }

    /// Says, once, that the lane that waits is to be woken.
    pub(crate) fn wakes_lane(&mut self) -> bool {
        let wakes = self.waiting != Waiting::No && self.is_worth_a_flush();
        if wakes {
            self.waiting = Waiting::No;
        }
        wakes
    }

    /// The lane that looks for work found none.
    pub(crate) fn lane_waits(&mut self, waiting: Waiting) {
        self.waiting = waiting;
    }

    /// A block without entries, which tells recovery what is durable. `None` where the current file has no room.
    pub(crate) fn take_empty(&mut self, room: u64) -> Option<Gathering> {
        let gathering = Gathering::new(self.next_lsn);
        if gathering.file_bytes() > room {
            return None;
        }
        self.lanes_busy += 1;
        self.next_lsn += 1;
        Some(gathering)
    }

    /// A block was written. Says whether the lane that waits is to be woken: there is something for it, or, in an engine
    /// that is idle now, it has to begin to count the time, or to end.
    #[must_use]
    pub(crate) fn lane_is_free(&mut self) -> bool {
        self.lanes_busy -= 1;
        let ends_wait = self.waiting == Waiting::ForWork || self.is_closed();
        self.wakes_lane() || (self.is_idle() && ends_wait)
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.lanes_busy == 0 && self.gathering.is_empty()
    }

    /// Refuses everything from now on; what has gathered is still written.
    pub(crate) fn close(&mut self) {
        self.accepting = Accepting::No;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.accepting == Accepting::No
    }

    pub(crate) fn is_failed(&self) -> bool {
        self.failed
    }

    /// Refuses everything from now on, and gives up what has gathered.
    pub(crate) fn fail(&mut self) -> Vec<Arc<Fate>> {
        self.accepting = Accepting::No;
        self.failed = true;
        self.give_up()
    }

    /// Gives up what has gathered.
    pub(crate) fn give_up(&mut self) -> Vec<Arc<Fate>> {
        self.gathering.drain(..).map(|gathering| gathering.fate).collect()
    }
}

impl Gathering {
    fn new(lsn: u64) -> Gathering {
        Gathering {
            lsn,
            items: Vec::new(),
            bytes: 0,
            records: Vec::new(),
            fate: Arc::default(),
        }
    }

    /// What the block takes of a file; a little is left unused where a log has several batches in it.
    pub(crate) fn file_bytes(&self) -> u64 {
        block::padded(block::bytes_bound(self.items.len(), self.bytes)) as u64
    }
}

/// What a frame waits for. Blocks become durable in order, so the latest is enough, and its own is the latest.
#[derive(Default)]
struct Fates {
    own: Option<Arc<Fate>>,
    original: Option<(u64, Arc<Fate>)>,
}

impl Fates {
    fn wait_for_original(&mut self, lsn: u64, fate: &Arc<Fate>) {
        if self.original.as_ref().is_none_or(|(latest, _)| *latest < lsn) {
            self.original = Some((lsn, fate.clone()));
        }
    }

    fn commit(self) -> Commit {
        self.own
            .or(self.original.map(|(_, fate)| fate))
            .map_or_else(Commit::done, Commit::waiting)
    }
}

/// Whether a batch follows another one of its producer in the same frame. The frame has only one place for each.
fn follow(before: &Header, header: &Header) -> Result<Check, AppendError> {
    // Sequences wrap from 2^31-1 to 0.
    let expected = before.last_sequence().checked_add(1).unwrap_or(0);
    if header.producer_epoch == before.producer_epoch && header.base_sequence == expected {
        Ok(Check::Next)
    } else {
        Err(AppendError::OutOfOrderSequence {
            producer_id: header.producer_id,
            expected,
            found: header.base_sequence,
        })
    }
}

fn publish_in_memory(head: &Head, item: Item, raised: &mut Raised) {
    let mut bytes = BytesMut::from(&item.batch.bytes()[..]);
    assign(&mut bytes, item.base_offset, item.leader_epoch);
    let length = bytes.len() as u32;
    let extent = TailExtent {
        block: Arc::new(StoredBlock::in_memory(bytes.freeze())),
        position: 0,
        length,
        crc: 0,
        first_offset: item.base_offset,
        next_offset: head.next_offset,
        max_timestamp: item.batch.header().max_timestamp,
    };
    head.view.publish(extent, raised);
}

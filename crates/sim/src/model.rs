//! What was submitted, in which frame.

use std::collections::{BTreeMap, HashSet};

use bytes::{Bytes, BytesMut};
use firth_batch::{Batch, assign};
use firth_log::file::recorder::{Journal, Mark};
use firth_log::{Change, LogId, Placed};

/// Names a frame in marks: an acknowledged frame's number is in the journal from that moment on.
pub type FrameId = u64;

/// The frame of all that was there before.
pub(crate) const BEFORE: FrameId = 0;

/// A frame that is never acknowledged.
pub(crate) const NEVER: FrameId = FrameId::MAX;

/// Everything that was submitted, acknowledged or not.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub(crate) logs: BTreeMap<LogId, LogModel>,
    last_frame: FrameId,
}

#[derive(Clone, Debug)]
pub(crate) struct LogModel {
    pub(crate) created: FrameId,
    pub(crate) deleted: Option<FrameId>,
    /// By base offset.
    pub(crate) batches: BTreeMap<i64, BatchModel>,
    pub(crate) trims: Vec<(i64, FrameId)>,
    /// It is compacted: of each key the latest record is kept.
    pub(crate) is_keyed: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct BatchModel {
    pub(crate) frame: FrameId,
    /// As it is read.
    pub(crate) bytes: Bytes,
    pub(crate) next_offset: i64,
    /// As it was sent, with its producer, where a retry is to be recognised.
    pub(crate) sent: Option<(i64, Batch)>,
}

impl Model {
    /// Notes a frame that the engine took.
    pub fn submit(&mut self, changes: &[Change], batches: &[(LogId, Batch)], placed: &[Placed]) -> FrameId {
        self.last_frame += 1;
        let frame = self.last_frame;
        for change in changes {
            match *change {
                Change::Create { log, .. } => drop(self.logs.insert(log, LogModel::new(frame))),
                Change::Trim { log, to } => self.log(log).trims.push((to, frame)),
                Change::Delete { log } => self.log(log).deleted = Some(frame),
            }
        }
        for ((log, batch), placed) in batches.iter().zip(placed).filter(|(_, placed)| !placed.duplicate) {
            let model = BatchModel::new(frame, batch, placed.base_offset);
            let before = self.log(*log).batches.insert(placed.base_offset, model);
            assert!(
                before.is_none(),
                "offset {} of log {} was given out twice",
                placed.base_offset,
                log.0
            );
        }
        frame
    }

    /// The log is going to be compacted.
    pub(crate) fn set_keyed(&mut self, log: LogId) {
        self.log(log).is_keyed = true;
    }

    pub(crate) fn is_keyed(&self, log: LogId) -> bool {
        self.logs.get(&log).is_some_and(|log| log.is_keyed)
    }

    fn log(&mut self, log: LogId) -> &mut LogModel {
        self.logs
            .get_mut(&log)
            .expect("the workload uses logs that it created")
    }

    /// The log that is `nth` among all.
    pub(crate) fn any_log(&self, nth: u64) -> Option<LogId> {
        let nth = nth.checked_rem(self.logs.len() as u64)?;
        self.logs.keys().nth(nth as usize).copied()
    }

    /// The batch that was submitted for an offset.
    pub(crate) fn batch(&self, log: LogId, base_offset: i64) -> Option<&BatchModel> {
        self.logs.get(&log)?.batches.get(&base_offset)
    }

    /// The frame of a batch, which a duplicate's acknowledgement is for.
    pub fn frame_of(&self, log: LogId, base_offset: i64) -> Option<FrameId> {
        Some(self.logs.get(&log)?.batches.get(&base_offset)?.frame)
    }
}

impl LogModel {
    pub(crate) fn new(created: FrameId) -> LogModel {
        LogModel {
            created,
            deleted: None,
            batches: BTreeMap::new(),
            trims: Vec::new(),
            is_keyed: false,
        }
    }

    pub(crate) fn end(&self) -> i64 {
        self.batches
            .values()
            .map(|batch| batch.next_offset)
            .max()
            .unwrap_or(0)
    }
}

impl BatchModel {
    pub(crate) fn new(frame: FrameId, batch: &Batch, base_offset: i64) -> BatchModel {
        let mut bytes = BytesMut::from(&batch.bytes()[..]);
        assign(&mut bytes, base_offset, 0);
        let header = batch.header();
        BatchModel {
            frame,
            bytes: bytes.freeze(),
            next_offset: base_offset + i64::from(header.last_offset_delta) + 1,
            sent: header
                .has_producer_id()
                .then(|| (header.producer_id, batch.clone())),
        }
    }
}

/// The frames that were acknowledged before a position of the journal.
pub(crate) struct Acknowledged(HashSet<FrameId>);

impl Acknowledged {
    pub(crate) fn before(journal: &Journal, position: usize) -> Acknowledged {
        let frames = journal.marks_before(position).filter_map(|(_, mark)| match mark {
            Mark::Number(frame) => Some(*frame),
            Mark::Label(_) => None,
        });
        Acknowledged(frames.chain([BEFORE]).collect())
    }

    pub(crate) fn contains(&self, frame: FrameId) -> bool {
        self.0.contains(&frame)
    }
}

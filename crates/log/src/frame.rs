//! What is appended: frames in, placements and a [`Commit`] to wait for out.

use bytes::Bytes;
use firth_batch::Batch;
use smallvec::{SmallVec, smallvec};

use crate::commit::Commit;
use crate::ids::IdSet;

/// The largest frame, in bytes of its batches. A frame is all or nothing, so it lies within one commit block.
pub const FRAME_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Batches in a frame, so that the directory of its commit block stays within bounds.
pub(crate) const APPENDS_MAX: usize = 128 * 1024;

/// Identifies a log for ever: an id is never given to another log, not even after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogId(pub u64);

impl LogId {
    /// The engine's own records: logs created, trimmed and deleted, segments sealed.
    pub const META: LogId = LogId(0);
    /// The records of what stands above: topics and their configuration. It always exists.
    pub const DEFINITIONS: LogId = LogId(1);
    /// The records of consumer groups. What stands above creates it with the first of them.
    pub const GROUPS: LogId = LogId(2);
    /// The records of virtual hosts, and what is declared in them. What stands above creates it with the first of them.
    pub const TOPOLOGY: LogId = LogId(3);
    /// The records of users and of what they may do. What stands above creates it with the first of them.
    pub const USERS: LogId = LogId(4);
    /// What left queues. What stands above creates it with the first record.
    pub const QUEUES: LogId = LogId(5);
    /// The first id that [`Engine::allocate`](crate::Engine::allocate) gives out.
    pub const FIRST_ALLOCATED: LogId = LogId(16);
}

/// Where a log's records live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// On disk; a record is readable when it is durable.
    Durable,
    /// In memory only; a record is readable at once and gone after a restart.
    Memory,
}

/// What of a log a reader may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The first offset that is kept.
    pub start: i64,
    /// The next offset to become readable (the high watermark).
    pub end: i64,
}

/// Batches for logs and changes to logs, made durable together or not at all.
#[derive(Debug, Default)]
pub struct Frame {
    pub appends: SmallVec<[Append; 1]>,
    pub changes: Vec<Change>,
}

#[derive(Debug)]
pub struct Append {
    pub log: LogId,
    pub batch: Batch,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Create {
        log: LogId,
        kind: Kind,
    },
    /// Offsets below `to` are no longer kept. `to` may not exceed the log's end.
    Trim {
        log: LogId,
        to: i64,
    },
    Delete {
        log: LogId,
    },
}

impl Change {
    /// Where there is no disk, every log is a memory log.
    pub(crate) fn keep_in_memory(&mut self) {
        if let Change::Create { kind, .. } = self {
            *kind = Kind::Memory;
        }
    }
}

impl Frame {
    pub fn batch(log: LogId, batch: Batch) -> Frame {
        Frame {
            appends: smallvec![Append { log, batch }],
            changes: Vec::new(),
        }
    }

    pub fn changes(changes: Vec<Change>) -> Frame {
        Frame {
            appends: SmallVec::new(),
            changes,
        }
    }

    /// Bytes that the frame takes in a commit block.
    pub(crate) fn bytes(&self) -> usize {
        let batches: usize = self.appends.iter().map(|append| append.batch.len()).sum();
        // The directory has its own room, which very many small batches would exceed.
        batches.max(self.appends.len() * FRAME_BYTES_MAX / APPENDS_MAX)
    }

    pub(crate) fn check_size(&self) -> Result<(), AppendError> {
        let (bytes, max) = (self.bytes(), FRAME_BYTES_MAX);
        if bytes > max {
            return Err(AppendError::FrameTooLarge { bytes, max });
        }
        Ok(())
    }

    /// The log that a change or an append of the frame comes too late for, since the frame deletes it.
    pub(crate) fn deleted_before(&self) -> Option<LogId> {
        if !self
            .changes
            .iter()
            .any(|change| matches!(change, Change::Delete { .. }))
        {
            return None;
        }
        let mut deleted = IdSet::default();
        for change in &self.changes {
            let (Change::Create { log, .. } | Change::Trim { log, .. } | Change::Delete { log }) = change;
            if deleted.contains(log) {
                return Some(*log);
            }
            if let Change::Delete { log } = change {
                deleted.insert(*log);
            }
        }
        let mut logs = self.appends.iter().map(|append| append.log);
        logs.find(|log| deleted.contains(log))
    }

    pub(crate) fn repetition(&self) -> Repetition {
        if self.appends.len() < 2 {
            return Repetition::None;
        }
        let of_producers = self
            .appends
            .iter()
            .filter(|append| append.batch.header().has_producer_id());
        let mut producers: Vec<_> = of_producers
            .map(|append| (append.log, append.batch.header().producer_id))
            .collect();
        producers.sort_unstable();
        match producers.windows(2).any(|pair| pair[0] == pair[1]) {
            true => Repetition::OfProducer,
            false => Repetition::None,
        }
    }
}

/// Whether two batches of a frame are of the same producer and for the same log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repetition {
    None,
    OfProducer,
}

/// The answer to a frame: offsets are final, durability is to be awaited.
#[derive(Debug)]
pub struct Appended {
    /// One for each append of the frame, in its order.
    pub placed: SmallVec<[Placed; 1]>,
    pub commit: Commit,
}

/// Where a batch was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    pub base_offset: i64,
    pub log_start: i64,
    /// The batch's maximum timestamp; the original's for a duplicate.
    pub timestamp: i64,
    /// The batch is in its producer's window already, and was not appended again.
    pub duplicate: bool,
}

/// Why a frame was refused. Nothing of it was appended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    #[error("log {} does not exist", .0.0)]
    UnknownLog(LogId),
    #[error("the frame has {bytes} bytes, and at most {max} can be made durable together")]
    FrameTooLarge { bytes: usize, max: usize },
    #[error("the trim to {to} is outside {bounds:?} of log {}", .log.0)]
    TrimOutOfRange { log: LogId, to: i64, bounds: Bounds },
    #[error("the offsets of log {} are used up", .0.0)]
    OffsetsExhausted(LogId),
    #[error("the disk is full; appending goes on when space was freed")]
    Full,
    #[error("a flush failed, so nothing more can be made durable by this process")]
    Failed,
    #[error("producer {producer_id}: sequence {found} where {expected} was expected")]
    OutOfOrderSequence {
        producer_id: i64,
        expected: i32,
        found: i32,
    },
    #[error("producer {producer_id}: epoch {found} is older than {current}")]
    StaleProducerEpoch {
        producer_id: i64,
        current: i16,
        found: i16,
    },
}

/// What a read gives: whole batches, in order.
#[derive(Clone, Debug)]
pub struct Read {
    pub slices: SmallVec<[Bytes; 4]>,
    pub bytes: usize,
    pub bounds: Bounds,
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("log {} does not exist", .0.0)]
    UnknownLog(LogId),
    #[error("the offset is outside {0:?}")]
    OutOfRange(Bounds),
    #[error("offsets {first_offset} to {next_offset} of log {} are damaged and quarantined", .log.0)]
    Damaged {
        log: LogId,
        first_offset: i64,
        next_offset: i64,
    },
    #[error("reading failed: {0}")]
    Io(#[from] std::io::Error),
}

/// What [`Engine::find`](crate::Engine::find) looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seek {
    /// The first batch that holds a record at or after this time, in milliseconds since 1970.
    Timestamp(i64),
    /// The first batch that holds the largest timestamp.
    MaxTimestamp,
}

/// The newest records of a log that take a number of bytes, or all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Newest {
    /// Where they begin.
    pub first_offset: i64,
    /// What they take. Where the log is trimmed within a chunk, and all of it is meant, some more.
    pub bytes: u64,
    /// What [`Engine::published_bytes`](crate::Engine::published_bytes) was then.
    pub published_bytes: u64,
}

/// A stretch of a log that can be trimmed as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtentUsage {
    pub first_offset: i64,
    pub next_offset: i64,
    pub bytes: u64,
    pub max_timestamp: i64,
    /// A segment holds it, and not the WAL alone.
    pub is_sealed: bool,
}

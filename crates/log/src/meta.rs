//! The engine's own state machine: which logs exist, and from where each is kept.
//!
//! Its records are the meta log (`LogId::META`), written like any other log; the catalog is a checkpoint of the state
//! that replaying them gives. Replaying a record again changes nothing. Which segments exist is told by the segments
//! themselves: each names the WAL span that it holds.
//!
//! A record is the value of a Kafka record without a key, all integers little-endian:
//!
//! ```text
//! type u8, version u8 = 1, then
//!   1 Created   log u64
//!   2 Trimmed   log u64, to i64
//!   3 Deleted   log u64
//!   4 Snapshot  next_log u64, then for every log that exists: log u64, start i64
//!   5 Accepted  log u64, first offset i64, next offset i64
//! ```
//!
//! A snapshot says what all records before it say together, but for what was accepted as lost, which is written again with
//! it. The two latest are kept with what follows them; the meta log
//! is trimmed to the older one, so that it pins no segment for ever.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

#[cfg(test)]
mod tests;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use firth_batch::{Batch, Batches, Builder, Compression};

use crate::frame::{Change, FRAME_BYTES_MAX, Kind, LogId};
use crate::ids::{IdMap, IdSet};
use crate::producers::Reader;
use crate::segment::SegmentId;

const VERSION: u8 = 1;
/// Our own records are not compressed, so a batch of them is no larger than its frame.
const RECORDS_BYTES_MAX: usize = FRAME_BYTES_MAX;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    Created {
        log: LogId,
    },
    Trimmed {
        log: LogId,
        to: i64,
    },
    Deleted {
        log: LogId,
    },
    Snapshot {
        next_log: u64,
        logs: Vec<(LogId, i64)>,
    },
    /// The operator gave these offsets up: they are lost, and no hole any more.
    Accepted {
        log: LogId,
        first_offset: i64,
        next_offset: i64,
    },
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) logs: IdMap<LogId, LogMeta>,
    pub(crate) next_log: u64,
    pub(crate) next_segment: u64,
    /// Blocks up to here are in segments.
    pub(crate) sealed_lsn: u64,
    /// Offsets that the operator gave up, of logs that have some: `(first_offset, next_offset)`.
    pub(crate) accepted: BTreeMap<LogId, BTreeSet<(i64, i64)>>,
    /// There were some, so that the catalog may have them.
    pub(crate) has_accepted: bool,
    /// What the catalog does not have yet.
    pub(crate) changed_logs: BTreeSet<LogId>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogMeta {
    pub(crate) start: i64,
    /// One past the last offset that segments hold or held.
    pub(crate) next_offset: i64,
}

impl Record {
    /// The record of a change, where the change outlives the process.
    pub(crate) fn of(change: &Change) -> Option<Record> {
        match *change {
            Change::Create {
                kind: Kind::Memory, ..
            } => None,
            Change::Create {
                log,
                kind: Kind::Durable,
            } => Some(Record::Created { log }),
            Change::Trim { log, to } => Some(Record::Trimmed { log, to }),
            Change::Delete { log } => Some(Record::Deleted { log }),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let (kind, number) = match self {
            Record::Created { log } => (1, log.0),
            Record::Trimmed { log, .. } => (2, log.0),
            Record::Deleted { log } => (3, log.0),
            Record::Snapshot { next_log, .. } => (4, *next_log),
            Record::Accepted { log, .. } => (5, log.0),
        };
        let mut out = vec![kind, VERSION];
        out.extend_from_slice(&number.to_le_bytes());
        match self {
            Record::Created { .. } | Record::Deleted { .. } => {}
            Record::Trimmed { to, .. } => out.extend_from_slice(&to.to_le_bytes()),
            Record::Snapshot { logs, .. } => {
                for (log, start) in logs {
                    out.extend_from_slice(&log.0.to_le_bytes());
                    out.extend_from_slice(&start.to_le_bytes());
                }
            }
            Record::Accepted {
                first_offset,
                next_offset,
                ..
            } => {
                out.extend_from_slice(&first_offset.to_le_bytes());
                out.extend_from_slice(&next_offset.to_le_bytes());
            }
        }
        out
    }

    /// `None` where the bytes are no record that this version knows.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Record> {
        let mut reader = Reader { bytes };
        let [kind, version] = reader.take()?;
        let number = u64::from_le_bytes(reader.take()?);
        let log = LogId(number);
        let record = match (kind, version) {
            (1, VERSION) => Record::Created { log },
            (2, VERSION) => Record::Trimmed {
                log,
                to: i64::from_le_bytes(reader.take()?),
            },
            (3, VERSION) => Record::Deleted { log },
            (4, VERSION) => {
                let mut logs = Vec::with_capacity(reader.bytes.len() / 16);
                while !reader.bytes.is_empty() {
                    let log = LogId(u64::from_le_bytes(reader.take()?));
                    logs.push((log, i64::from_le_bytes(reader.take()?)));
                }
                let next_log = number;
                Record::Snapshot { next_log, logs }
            }
            (5, VERSION) => Record::Accepted {
                log,
                first_offset: i64::from_le_bytes(reader.take()?),
                next_offset: i64::from_le_bytes(reader.take()?),
            },
            _ => return None,
        };
        reader.bytes.is_empty().then_some(record)
    }
}

/// The records as one batch for the meta log.
pub(crate) fn encode(records: &[Record], now_ms: i64) -> Batch {
    let mut builder = Builder::new(Compression::None);
    for record in records {
        builder.push(now_ms, None, Some(&record.encode()), &[]);
    }
    builder.build()
}

impl Meta {
    pub(crate) fn new() -> Meta {
        let mut meta = Meta {
            next_log: LogId::FIRST_ALLOCATED.0,
            next_segment: 1,
            ..Meta::default()
        };
        for log in [LogId::META, LogId::DEFINITIONS] {
            meta.apply(&Record::Created { log });
        }
        meta
    }

    pub(crate) fn apply(&mut self, record: &Record) {
        match record {
            Record::Created { log } => self.create(*log),
            Record::Trimmed { log, to } => self.trim(*log, *to),
            Record::Deleted { log } => {
                self.logs.remove(log);
                self.accepted.remove(log);
                self.note_log(*log);
                self.changed_logs.insert(*log);
            }
            Record::Snapshot { next_log, logs } => {
                let named: IdSet<LogId> = logs.iter().map(|(log, _)| *log).collect();
                let gone = self.logs.keys().filter(|log| !named.contains(log));
                self.changed_logs.extend(gone);
                self.logs.retain(|log, _| named.contains(log));
                self.accepted.retain(|log, _| named.contains(log));
                for (log, start) in logs {
                    self.create(*log);
                    self.trim(*log, *start);
                }
                self.next_log = self.next_log.max(*next_log);
            }
            Record::Accepted {
                log,
                first_offset,
                next_offset,
            } => {
                if self.logs.get(log).is_some_and(|meta| meta.start < *next_offset) {
                    let stretches = self.accepted.entry(*log).or_default();
                    stretches.insert((*first_offset, *next_offset));
                    self.has_accepted = true;
                    self.changed_logs.insert(*log);
                }
            }
        }
    }

    /// Whether the operator gave up all of these offsets.
    pub(crate) fn is_accepted(&self, log: LogId, first_offset: i64, next_offset: i64) -> bool {
        let stretches = self.accepted.get(&log).into_iter().flatten();
        let mut at = first_offset;
        for (first_offset, next_offset) in stretches {
            if *first_offset <= at {
                at = at.max(*next_offset);
            }
        }
        at >= next_offset
    }

    /// The records that say what was accepted.
    pub(crate) fn accepted_records(&self) -> Vec<Record> {
        let stretches = self.accepted.iter();
        let stretches =
            stretches.flat_map(|(log, stretches)| stretches.iter().map(|stretch| (*log, *stretch)));
        stretches
            .map(|(log, (first_offset, next_offset))| Record::Accepted {
                log,
                first_offset,
                next_offset,
            })
            .collect()
    }

    /// A log exists: a record says so, or batches that were found.
    pub(crate) fn create(&mut self, log: LogId) {
        self.note_log(log);
        if let Entry::Vacant(vacant) = self.logs.entry(log) {
            vacant.insert(LogMeta::default());
            self.changed_logs.insert(log);
        }
    }

    fn trim(&mut self, log: LogId, to: i64) {
        if let Some(meta) = self.logs.get_mut(&log).filter(|meta| meta.start < to) {
            meta.start = to;
            meta.next_offset = meta.next_offset.max(to);
            if let Some(stretches) = self.accepted.get_mut(&log) {
                stretches.retain(|(_, next_offset)| *next_offset > to);
                if stretches.is_empty() {
                    self.accepted.remove(&log);
                }
            }
            self.changed_logs.insert(log);
        }
    }

    /// An id is never given to another log, whatever became of the one that had it.
    pub(crate) fn note_log(&mut self, log: LogId) {
        self.next_log = self.next_log.max(log.0.saturating_add(1));
    }

    /// The id of the next segment.
    pub(crate) fn take_segment(&mut self) -> SegmentId {
        let id = SegmentId(self.next_segment);
        self.next_segment += 1;
        id
    }

    /// Offsets of a log never go back, whatever became of its records.
    pub(crate) fn note_next_offset(&mut self, log: LogId, next_offset: i64) {
        if let Some(meta) = self.logs.get_mut(&log)
            && meta.next_offset < next_offset
        {
            meta.next_offset = next_offset;
            self.changed_logs.insert(log);
        }
    }
}

/// Reads the records of meta-log batches, and the offset behind them. `None` where a record is none that this version
/// knows.
pub(crate) fn decode(batches: &[u8]) -> Option<(Vec<Record>, i64)> {
    let mut records = Vec::new();
    let mut next_offset = 0;
    for batch in Batches::new(batches) {
        let (header, batch) = batch.ok()?;
        next_offset = header.next_offset();
        let batch = Batch::trusted(Bytes::copy_from_slice(batch)).ok()?;
        for record in &batch.records(RECORDS_BYTES_MAX).ok()? {
            records.push(Record::decode(record.ok()?.value?)?);
        }
    }
    Some((records, next_offset))
}

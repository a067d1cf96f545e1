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
//! ```

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use firth_batch::{Batch, Batches, Builder, Compression};

use crate::frame::{Change, FRAME_BYTES_MAX, Kind, LogId};
use crate::producers::Reader;

const VERSION: u8 = 1;
/// Our own records are not compressed, so a batch of them is no larger than its frame.
const RECORDS_BYTES_MAX: usize = FRAME_BYTES_MAX;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    Created { log: LogId },
    Trimmed { log: LogId, to: i64 },
    Deleted { log: LogId },
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) logs: HashMap<LogId, LogMeta>,
    pub(crate) next_log: u64,
    pub(crate) next_segment: u64,
    /// Blocks up to here are in segments.
    pub(crate) sealed_lsn: u64,
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
        let (kind, log) = match self {
            Record::Created { log } => (1, log),
            Record::Trimmed { log, .. } => (2, log),
            Record::Deleted { log } => (3, log),
        };
        let mut out = vec![kind, VERSION];
        out.extend_from_slice(&log.0.to_le_bytes());
        if let Record::Trimmed { to, .. } = self {
            out.extend_from_slice(&to.to_le_bytes());
        }
        out
    }

    /// `None` where the bytes are no record that this version knows.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Record> {
        let mut reader = Reader { bytes };
        let [kind, version] = reader.take()?;
        let log = LogId(u64::from_le_bytes(reader.take()?));
        let record = match (kind, version) {
            (1, VERSION) => Record::Created { log },
            (2, VERSION) => Record::Trimmed {
                log,
                to: i64::from_le_bytes(reader.take()?),
            },
            (3, VERSION) => Record::Deleted { log },
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
            Record::Created { log } => {
                self.logs.entry(*log).or_default();
                self.next_log = self.next_log.max(log.0 + 1);
                self.changed_logs.insert(*log);
            }
            Record::Trimmed { log, to } => {
                if let Some(meta) = self.logs.get_mut(log) {
                    meta.start = meta.start.max(*to);
                    meta.next_offset = meta.next_offset.max(*to);
                    self.changed_logs.insert(*log);
                }
            }
            Record::Deleted { log } => {
                self.logs.remove(log);
                self.next_log = self.next_log.max(log.0 + 1);
                self.changed_logs.insert(*log);
            }
        }
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

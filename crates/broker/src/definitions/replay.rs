//! Reading the definitions log, and what may be trimmed off it.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

use firth_batch::{Batch, Batches};
use firth_log::{Engine, LogId, ReadError};

use super::{DecodeError, Definitions, Entry};
use crate::Error;

/// Bytes that are read at a time.
const READ_BYTES: usize = 4 * 1024 * 1024;
/// A batch of definitions is never compressed, so this limit is never met.
const RECORDS_BYTES_MAX: usize = firth_log::FRAME_BYTES_MAX;

/// What reading the log from its start has given so far.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    pub(crate) definitions: Definitions,
    pub(crate) position: Position,
    /// A snapshot whose end has not come yet.
    partial: Option<Partial>,
    /// Damage that nothing later has made up for.
    damage: Option<Damage>,
    /// Records were given up, and no snapshot has followed that says what they did.
    pub(crate) has_gap: bool,
}

#[derive(Debug)]
struct Damage {
    first_offset: i64,
    next_offset: i64,
    /// It begins within a snapshot.
    in_snapshot: bool,
}

/// Where the log's snapshots lie, and how much came after the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// Where the last whole snapshot begins. The log before it is needed only if it is damaged.
    pub(crate) snapshot: Option<i64>,
    pub(crate) snapshot_bytes: usize,
    pub(crate) bytes_since_snapshot: usize,
}

#[derive(Debug)]
struct Partial {
    begun_at: i64,
    definitions: Definitions,
    records: u32,
    bytes: usize,
}

/// Reads the whole log.
pub(crate) async fn read(engine: &Engine) -> Result<Replay, Error> {
    let mut replay = Replay::default();
    let Some(bounds) = engine.bounds(LogId::DEFINITIONS) else {
        return Ok(replay);
    };
    let mut next = bounds.start;
    while next < bounds.end {
        match engine.read(LogId::DEFINITIONS, next, READ_BYTES).await {
            // What lies there to the end was given up.
            Ok(read) if read.slices.is_empty() => {
                replay.gap();
                break;
            }
            Ok(read) => {
                for slice in &read.slices {
                    next = replay.apply_slice(slice, next)?;
                }
            }
            Err(ReadError::Damaged {
                log: _,
                first_offset,
                next_offset,
            }) if next_offset > next => {
                replay.damaged(first_offset.max(next), next_offset);
                next = next_offset;
            }
            Err(error) => return Err(error.into()),
        }
    }
    if engine.stats().quarantined > 0 {
        // Where blocks are lost of which nothing tells whose they were, ours may be among them.
        replay.definitions.skip_producer_ids();
    }
    replay.finish()
}

impl Replay {
    fn apply_slice(&mut self, slice: &bytes::Bytes, from: i64) -> Result<i64, Error> {
        let mut next = from;
        for batch in Batches::new(slice) {
            let undecodable = |error: firth_batch::Error, offset| Error::Undecodable {
                offset,
                reason: error.to_string(),
            };
            let (_, bytes) = batch.map_err(|error| undecodable(error, next))?;
            let batch = Batch::trusted(slice.slice_ref(bytes)).map_err(|error| undecodable(error, next))?;
            if batch.header().base_offset > next {
                self.gap();
            }
            let records = batch
                .records(RECORDS_BYTES_MAX)
                .map_err(|error| undecodable(error, next))?;
            for record in &records {
                let record = record.map_err(|error| undecodable(error, next))?;
                if record.offset >= from {
                    self.apply(record.offset, record.value.unwrap_or_default())?;
                }
            }
            next = batch.header().next_offset();
        }
        Ok(next)
    }

    /// Applies the value of one record.
    pub(crate) fn apply(&mut self, offset: i64, value: &[u8]) -> Result<(), Error> {
        let entry = Entry::decode(value).map_err(|error| match error {
            DecodeError::NewerVersion(version) => Error::NewerVersion { offset, version },
            DecodeError::Malformed(what) => Error::Undecodable {
                offset,
                reason: format!("its {what} is wrong"),
            },
        })?;
        let of_snapshot = matches!(entry, Entry::OfSnapshot(_) | Entry::SnapshotEnded { .. });
        if of_snapshot && self.damage.as_ref().is_some_and(|damage| damage.in_snapshot) {
            // It ends within that snapshot too, which only repeats what was read before.
            self.damage = None;
        } else if let Some(damage) = &mut self.damage {
            damage.in_snapshot = false;
        }
        match entry {
            Entry::Record(record) => {
                // The writer of a snapshot did not live to finish it.
                self.partial = None;
                self.definitions.replay(&record);
                self.position.bytes_since_snapshot += value.len();
            }
            Entry::SnapshotBegun => {
                let (definitions, records, bytes) = (Definitions::default(), 0, 0);
                self.partial = Some(Partial {
                    begun_at: offset,
                    definitions,
                    records,
                    bytes,
                });
            }
            Entry::OfSnapshot(record) => {
                if let Some(partial) = &mut self.partial {
                    partial.definitions.replay(&record);
                    partial.records += 1;
                    partial.bytes += value.len();
                }
            }
            Entry::SnapshotEnded { records } => {
                let whole = self.partial.take().filter(|partial| partial.records == records);
                if let Some(partial) = whole {
                    self.definitions = partial.definitions;
                    self.damage = None;
                    self.has_gap = false;
                    self.position = Position {
                        snapshot: Some(partial.begun_at),
                        snapshot_bytes: partial.bytes,
                        bytes_since_snapshot: 0,
                    };
                }
            }
        }
        Ok(())
    }

    /// Records that were here were given up by the operator, or offsets were skipped where some may have been.
    pub(crate) fn gap(&mut self) {
        self.partial = None;
        self.has_gap = true;
        self.definitions.skip_producer_ids();
    }

    /// Fails if something is missing from what was read.
    pub(crate) fn finish(self) -> Result<Replay, Error> {
        match self.damage {
            Some(Damage {
                first_offset,
                next_offset,
                ..
            }) => Err(Error::Damaged {
                first_offset,
                last_offset: next_offset.saturating_sub(1),
            }),
            None => Ok(self),
        }
    }

    /// Notes that the records in this range cannot be read.
    pub(crate) fn damaged(&mut self, first_offset: i64, next_offset: i64) {
        tracing::error!(first_offset, next_offset, "the definitions log is damaged");
        let in_snapshot = self.partial.take().is_some() && self.damage.is_none();
        let first_offset = self
            .damage
            .as_ref()
            .map_or(first_offset, |damage| damage.first_offset);
        self.damage = Some(Damage {
            first_offset,
            next_offset,
            in_snapshot,
        });
    }
}

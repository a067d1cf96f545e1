//! A log in which a state machine of a protocol stores what it is to know after a restart.
//!
//! ```text
//! handle(request, now) -> (records, response)      append: all of the records or none, in one frame
//! start: the latest record of each key -> replay   the response waits for the commit
//! ```
//!
//! A record has a key, and a value that begins with the version of its format; without a value it removes the key. The log
//! is kept small by the engine's compaction, as a compacted topic is. No protocol can name it as a log: only logs of
//! topics can be named.
//!
//! What is damaged of it stops the start of the broker until the operator has given it up (`firth doctor --accept`). Then
//! each key has the latest value that is left, and what was removed in the hole is there again.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use firth_batch::{Batch, Batches, Builder, Compression};
use firth_log::{
    Append, AppendError, Change, Commit, Engine, FRAME_BYTES_MAX, Frame, Kind, LogId, ReadError,
};

use crate::fields::Malformed;
use crate::{Error, StateError, TopicConfig};

/// Bytes that are read at a time.
const READ_BYTES: usize = 4 * 1024 * 1024;
/// A batch of a state log is never compressed, so this limit is never met.
const RECORDS_BYTES_MAX: usize = FRAME_BYTES_MAX;

/// What groups store.
pub(crate) static GROUPS: StateLogKind = StateLogKind {
    log: LogId::GROUPS,
    name: "groups",
    version: 1,
};

/// Users, and what they may do.
pub(crate) static USERS: StateLogKind = StateLogKind {
    log: LogId::USERS,
    name: "users",
    version: 1,
};

/// What is declared in virtual hosts.
pub(crate) static TOPOLOGY: StateLogKind = StateLogKind {
    log: LogId::TOPOLOGY,
    name: "topology",
    version: 1,
};

/// What queues store.
pub(crate) static QUEUES: StateLogKind = StateLogKind {
    log: LogId::QUEUES,
    name: "queues",
    version: 1,
};

/// What is fixed about a state log.
#[derive(Debug)]
pub(crate) struct StateLogKind {
    log: LogId,
    /// As `firth doctor` names it.
    name: &'static str,
    /// The highest version of values that can be read.
    version: u8,
}

/// What a key has from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateRecord {
    pub key: Bytes,
    /// None removes the key. Else the first byte is the version of the format.
    pub value: Option<Bytes>,
}

/// The latest record of a key, as a start found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    pub record: StateRecord,
    /// Of all records that were appended with it.
    pub offsets: Range<i64>,
}

/// A record that says nothing which can be understood, although it is as it was written. What was stored with it is given
/// up with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} at offsets {first} to {last} of the log of {name}: restore a backup, or give up what was stored there with \
     `firth doctor --accept {name}:{first}-{last}`",
    first = offsets.start, last = offsets.end.saturating_sub(1)
)]
pub struct Unreadable {
    pub log: LogId,
    /// As `firth doctor` names the log.
    pub name: &'static str,
    pub offsets: Range<i64>,
    pub what: Malformed,
}

/// A handle to the log; clones share it.
#[derive(Clone, Debug)]
pub struct StateLog {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Engine,
    kind: &'static StateLogKind,
    config: TopicConfig,
    creating: Mutex<()>,
    /// What the log said at the start, until somebody takes it.
    replayed: Mutex<Vec<Replayed>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateLog")
            .field("kind", self.kind)
            .finish_non_exhaustive()
    }
}

impl StateLog {
    /// Reads what the log says, and changes nothing.
    pub(crate) async fn read(engine: &Engine, kind: &'static StateLogKind) -> Result<StateLog, Error> {
        let latest = read_latest(engine, kind).await?;
        let mut replayed: Vec<_> = latest
            .into_iter()
            .map(|(key, Latest { value, offsets })| Replayed {
                record: StateRecord {
                    key,
                    value: Some(value),
                },
                offsets,
            })
            .collect();
        // A map has its keys in another order in each process, and nothing is to depend on that.
        replayed.sort_unstable_by(|a, b| a.record.key.cmp(&b.record.key));
        let shared = Shared {
            engine: engine.clone(),
            kind,
            config: compaction(),
            creating: Mutex::default(),
            replayed: Mutex::new(replayed),
        };
        Ok(StateLog {
            shared: Arc::new(shared),
        })
    }

    /// What the log said at the start: the latest value of each key, sorted by keys. Empty when it was taken before.
    pub fn take_replayed(&self) -> Vec<Replayed> {
        let mut replayed = self
            .shared
            .replayed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut replayed)
    }

    /// Appends the records whole, or refuses them whole. Does no I/O and does not wait. `now_ms` is in milliseconds since
    /// 1970.
    pub fn append(&self, records: &[StateRecord], now_ms: i64) -> Result<Commit, StateError> {
        if records.is_empty() {
            return Ok(Commit::done());
        }
        let mut frame = Frame::default();
        frame.appends.push(self.batch(records, now_ms)?);
        let appended = self.shared.engine.append(frame);
        appended
            .map(|appended| appended.commit)
            .map_err(|error| self.refused(error))
    }

    /// The records as one batch, for a frame that holds more than them. There is at least one.
    pub(crate) fn batch(&self, records: &[StateRecord], now_ms: i64) -> Result<Append, StateError> {
        let bytes: usize = records.iter().map(StateRecord::len).sum();
        if bytes > FRAME_BYTES_MAX {
            return Err(StateError::TooLarge {
                bytes,
                max: FRAME_BYTES_MAX,
            });
        }
        let mut builder = Builder::with_capacity(Compression::None, bytes);
        for StateRecord { key, value } in records {
            builder.push(now_ms.max(0), Some(key), value.as_deref(), &[]);
        }
        self.create_if_missing().map_err(|error| self.refused(error))?;
        Ok(Append {
            log: self.id(),
            batch: builder.build(),
        })
    }

    /// Whether the disk is full, so that nothing is to be added.
    pub(crate) fn is_full(&self) -> bool {
        self.shared.engine.is_full()
    }

    /// The log is there from its first record on, so that a start changes nothing. The records behind its creation are
    /// not durable before it.
    fn create_if_missing(&self) -> Result<(), AppendError> {
        if self.shared.engine.bounds(self.id()).is_some() {
            return Ok(());
        }
        let _creating = self
            .shared
            .creating
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if self.shared.engine.bounds(self.id()).is_none() {
            let create = Change::Create {
                log: self.id(),
                kind: Kind::Durable,
            };
            self.shared.engine.append(Frame::changes(vec![create]))?;
        }
        Ok(())
    }

    /// Says that what was replayed cannot be understood.
    pub fn unreadable(&self, replayed: &Replayed, what: Malformed) -> Unreadable {
        Unreadable {
            log: self.id(),
            name: self.name(),
            offsets: replayed.offsets.clone(),
            what,
        }
    }

    /// Whether nothing was ever stored.
    pub(crate) fn is_new(&self) -> bool {
        self.shared.engine.bounds(self.id()).is_none()
    }

    pub(crate) fn refused(&self, error: AppendError) -> StateError {
        match error {
            AppendError::Full => StateError::Full,
            AppendError::FrameTooLarge { bytes, max } => StateError::TooLarge { bytes, max },
            error => {
                tracing::error!(%error, state = self.name(), "state could not be appended");
                StateError::Failed
            }
        }
    }

    /// As `firth doctor` names it.
    pub fn name(&self) -> &'static str {
        self.shared.kind.name
    }

    pub(crate) fn id(&self) -> LogId {
        self.shared.kind.log
    }

    /// How it is compacted.
    pub(crate) fn config(&self) -> &TopicConfig {
        &self.shared.config
    }
}

impl StateRecord {
    pub(crate) fn len(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Bytes::len)
    }
}

/// Half of it may be dead. It is sealed for compaction once there are 16 MiB of it. What removes a key goes with the next
/// compaction after the one that meets it first: nobody reads the log but a start, which reads all of it.
fn compaction() -> TopicConfig {
    let entries = [
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0.5"),
        ("segment.bytes", "16777216"),
        ("delete.retention.ms", "0"),
    ];
    let entries = entries.map(|(name, value)| (name, Some(value)));
    TopicConfig::parse(entries)
        .expect("the settings are among those of topics")
        .0
}

struct Latest {
    value: Bytes,
    offsets: Range<i64>,
}

async fn read_latest(engine: &Engine, kind: &StateLogKind) -> Result<HashMap<Bytes, Latest>, Error> {
    let mut latest = HashMap::new();
    let Some(bounds) = engine.bounds(kind.log) else {
        return Ok(latest);
    };
    let mut next = bounds.start;
    while next < bounds.end {
        match engine.read(kind.log, next, READ_BYTES).await {
            // What lies there to the end was given up.
            Ok(read) if read.slices.is_empty() => break,
            Ok(read) => {
                for slice in &read.slices {
                    next = apply_slice(&mut latest, kind, slice, next)?;
                }
            }
            Err(ReadError::Damaged {
                log: _,
                first_offset,
                next_offset,
            }) => {
                return Err(Error::StateDamaged {
                    name: kind.name,
                    first_offset: first_offset.max(next),
                    last_offset: next_offset.saturating_sub(1),
                });
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(latest)
}

fn apply_slice(
    latest: &mut HashMap<Bytes, Latest>,
    kind: &StateLogKind,
    slice: &Bytes,
    from: i64,
) -> Result<i64, Error> {
    let undecodable = |offset: i64, reason: String| Error::StateUndecodable {
        name: kind.name,
        offset,
        reason,
    };
    let mut next = from;
    for batch in Batches::new(slice) {
        let unreadable = |error: firth_batch::Error| undecodable(next, error.to_string());
        let (_, bytes) = batch.map_err(unreadable)?;
        let batch = Batch::trusted(slice.slice_ref(bytes)).map_err(unreadable)?;
        let offsets = batch.header().base_offset..batch.header().next_offset();
        let records = batch.records(RECORDS_BYTES_MAX).map_err(unreadable)?;
        for record in &records {
            let record = record.map_err(unreadable)?;
            if record.offset < from {
                continue;
            }
            let offset = record.offset;
            let key = record
                .key
                .ok_or_else(|| undecodable(offset, "it has no key".to_owned()))?;
            match record.value {
                None => _ = latest.remove(key),
                Some(value) => {
                    check_version(kind, offset, value)?;
                    // Copies: a slice would keep all that was read with it.
                    let value = Bytes::copy_from_slice(value);
                    let offsets = offsets.clone();
                    latest.insert(Bytes::copy_from_slice(key), Latest { value, offsets });
                }
            }
        }
        next = offsets.end;
    }
    Ok(next)
}

fn check_version(kind: &StateLogKind, offset: i64, value: &[u8]) -> Result<(), Error> {
    match value.first() {
        Some(version) if *version > kind.version => Err(Error::StateNewer {
            name: kind.name,
            offset,
            version: *version,
            known: kind.version,
        }),
        Some(1..) => Ok(()),
        Some(0) | None => Err(Error::StateUndecodable {
            name: kind.name,
            offset,
            reason: "it has no version".to_owned(),
        }),
    }
}

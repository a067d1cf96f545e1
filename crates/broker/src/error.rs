//! Few errors, named after what the caller is to do about them.

use firth_log::{AppendError, Bounds};

use crate::{ConfigError, InvalidName, PARTITIONS_MAX, PARTITIONS_TOTAL_MAX, QUOTA_ENTITIES_MAX, Unreadable};

/// Why the broker cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the definitions of topics cannot be read: {0}")]
    Read(#[from] firth_log::ReadError),
    #[error(
        "the definitions of topics are damaged at offsets {first_offset} to {last_offset}, and no later snapshot of them \
         is whole: restore a backup, or give up what they said with \
         `firth doctor --accept definitions:{first_offset}-{last_offset}`, which may cost topics"
    )]
    Damaged { first_offset: i64, last_offset: i64 },
    #[error(
        "the log of {name} is damaged at offsets {first_offset} to {last_offset}: restore a backup, or give up what the \
         records there said with `firth doctor --accept {name}:{first_offset}-{last_offset}`"
    )]
    StateDamaged {
        name: &'static str,
        first_offset: i64,
        last_offset: i64,
    },
    #[error("the record at offset {offset} of the log of {name} cannot be read: {reason}")]
    StateUndecodable {
        name: &'static str,
        offset: i64,
        reason: String,
    },
    #[error(transparent)]
    StateUnreadable(#[from] Unreadable),
    #[error(
        "the record at offset {offset} of the log of {name} has version {version}, and this firth reads up to {known}: \
         use a newer one"
    )]
    StateNewer {
        name: &'static str,
        offset: i64,
        version: u8,
        known: u8,
    },
    #[error("what was lost of the definitions cannot be made up for: {0}")]
    Reconcile(#[source] DefineError),
    #[error("what was lost of the topology cannot be made up for: {0}")]
    ReconcileTopology(#[source] StateError),
    #[error("what is left of queues that were deleted cannot be removed: {0}")]
    ReconcileQueues(#[source] AppendError),
    #[error("the id of the cluster, which is drawn at the first start, cannot be stored: {0}")]
    ClusterId(#[source] DefineError),
    #[error("the definition at offset {offset} cannot be read: {reason}")]
    Undecodable { offset: i64, reason: String },
    #[error(
        "the definition at offset {offset} has version {version}, and this firth reads up to {}: use a newer one",
        crate::definitions::VERSION
    )]
    NewerVersion { offset: i64, version: u8 },
}

/// Why topics could not be created, changed or deleted, or an id not be allocated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DefineError {
    #[error(transparent)]
    InvalidName(#[from] InvalidName),
    #[error("topic {0} collides with topic {1}: names may not differ in '.' and '_' alone")]
    NameCollision(String, String),
    #[error("topic {0} exists already")]
    Exists(String),
    #[error("this topic does not exist")]
    UnknownTopic,
    #[error("a topic has 1 to {PARTITIONS_MAX} partitions, not {0}")]
    InvalidPartitions(i64),
    #[error("the topic has {exist} partitions, and {asked} would not be more")]
    NoMorePartitions { exist: u32, asked: i64 },
    #[error("there are {exist} partitions already, and a broker has at most {PARTITIONS_TOTAL_MAX}")]
    TooManyPartitions { exist: usize },
    #[error(transparent)]
    InvalidConfig(#[from] ConfigError),
    #[error("at most {QUOTA_ENTITIES_MAX} entities may have quotas")]
    TooManyQuotas,
    /// Retry later: space may have been freed.
    #[error("the disk is full")]
    Full,
    /// The broker is going down; whether the change was made durable is not known.
    #[error("the broker is stopping")]
    Stopped,
}

/// Why records of a state machine were refused. None of them was stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Retry later: space may have been freed.
    #[error("the disk is full")]
    Full,
    #[error("{bytes} bytes of records were to be made durable together, and {max} are possible")]
    TooLarge { bytes: usize, max: usize },
    /// A flush failed, or the broker is going down.
    #[error("the storage has failed")]
    Failed,
}

/// Why a batch was refused. Nothing of it was stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProduceError {
    #[error("this topic or partition does not exist")]
    UnknownPartition,
    #[error("the batch has {bytes} bytes, and max.message.bytes of the topic is {max}")]
    MessageTooLarge { bytes: usize, max: usize },
    /// Later or earlier than the topic's configuration allows.
    #[error("the timestamp {timestamp} is outside {min} to {max}, which the topic allows now")]
    InvalidTimestamp { timestamp: i64, min: i64, max: i64 },
    #[error("transactions are not supported")]
    Transactional,
    /// The topic is compacted. `indexes` are those of the first of them within the batch, `count` counts all.
    #[error("a compacted topic takes no record without a key, and {count} of the batch have none")]
    WithoutKey { indexes: Vec<i32>, count: usize },
    /// The topic is compacted or has a compression of its own, and so the batch was opened.
    #[error("the records of the batch cannot be read: {0}")]
    Unreadable(#[source] firth_batch::Error),
    /// The batch was opened for the same reasons. The same records would pass in smaller batches.
    #[error("the records of a batch for this topic may have {max} bytes without compression")]
    RecordsTooLarge { max: usize },
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
    /// Retry later: space may have been freed.
    #[error("the disk is full")]
    Full,
    /// A flush failed, or the log can take nothing more: do not retry on this broker.
    #[error("the storage has failed")]
    Failed,
}

impl From<AppendError> for ProduceError {
    fn from(error: AppendError) -> ProduceError {
        match error {
            AppendError::UnknownLog(_) => ProduceError::UnknownPartition,
            AppendError::FrameTooLarge { bytes, max } => ProduceError::MessageTooLarge { bytes, max },
            AppendError::Full => ProduceError::Full,
            AppendError::OutOfOrderSequence {
                producer_id,
                expected,
                found,
            } => ProduceError::OutOfOrderSequence {
                producer_id,
                expected,
                found,
            },
            AppendError::StaleProducerEpoch {
                producer_id,
                current,
                found,
            } => ProduceError::StaleProducerEpoch {
                producer_id,
                current,
                found,
            },
            AppendError::Failed | AppendError::OffsetsExhausted(_) | AppendError::TrimOutOfRange { .. } => {
                ProduceError::Failed
            }
        }
    }
}

/// Why offsets or records could not be given, or not be deleted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("this topic or partition does not exist")]
    UnknownPartition,
    #[error("the offset is outside {} to {}", .0.start, .0.end)]
    OutOfRange(Bounds),
    /// The records in this range were damaged on disk and are lost; those from `next_offset` on can be read.
    #[error(
        "the records from offset {first_offset} on are damaged and lost; those from {next_offset} on can be read"
    )]
    Damaged { first_offset: i64, next_offset: i64 },
    /// The topic is compacted and deletes nothing else. Only a deletion meets it.
    #[error("records cannot be deleted: cleanup.policy of the topic is compact alone")]
    KeepsRecords,
    /// Retry later: space may have been freed. Only a deletion meets it.
    #[error("the disk is full")]
    Full,
    #[error("the storage has failed: {0}")]
    Failed(String),
}

impl From<firth_log::ReadError> for ReadError {
    fn from(error: firth_log::ReadError) -> ReadError {
        match error {
            firth_log::ReadError::UnknownLog(_) => ReadError::UnknownPartition,
            firth_log::ReadError::OutOfRange(bounds) => ReadError::OutOfRange(bounds),
            firth_log::ReadError::Damaged {
                log: _,
                first_offset,
                next_offset,
            } => ReadError::Damaged {
                first_offset,
                next_offset,
            },
            firth_log::ReadError::Io(error) => ReadError::Failed(error.to_string()),
        }
    }
}

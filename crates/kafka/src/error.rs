//! From the errors of the broker and of batches to the codes of the protocol. No arm catches all, so that an error
//! which is added there has to be thought about here.

use firth_batch as batch;
use firth_broker::{DefineError, ProduceError, ReadError, StateError};
use firth_kafka_codec::ErrorCode;

pub(crate) fn of_define(error: &DefineError) -> ErrorCode {
    match error {
        DefineError::InvalidName(_) | DefineError::NameCollision(..) => ErrorCode::InvalidTopicException,
        DefineError::Exists(_) => ErrorCode::TopicAlreadyExists,
        DefineError::UnknownTopic => ErrorCode::UnknownTopicOrPartition,
        DefineError::InvalidPartitions(_) | DefineError::NoMorePartitions { .. } => {
            ErrorCode::InvalidPartitions
        }
        DefineError::TooManyPartitions { .. } | DefineError::TooManyQuotas => ErrorCode::PolicyViolation,
        DefineError::InvalidConfig(_) => ErrorCode::InvalidConfig,
        DefineError::Full => ErrorCode::KafkaStorageError,
        // It may have been done: that is what a timeout says.
        DefineError::Stopped => ErrorCode::RequestTimedOut,
    }
}

pub(crate) fn of_produce(error: &ProduceError) -> ErrorCode {
    match error {
        ProduceError::UnknownPartition => ErrorCode::UnknownTopicOrPartition,
        ProduceError::MessageTooLarge { .. } => ErrorCode::MessageTooLarge,
        ProduceError::InvalidTimestamp { .. } => ErrorCode::InvalidTimestamp,
        // The batch belongs to a transaction that is not open.
        ProduceError::Transactional => ErrorCode::InvalidTxnState,
        ProduceError::WithoutKey { .. } => ErrorCode::InvalidRecord,
        ProduceError::Unreadable(error) => of_batch(error),
        // Java's client then splits the batch and sends the parts.
        ProduceError::RecordsTooLarge { .. } => ErrorCode::MessageTooLarge,
        ProduceError::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
        // Not PRODUCER_FENCED: on the produce path clients expect this one (KIP-588).
        ProduceError::StaleProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
        // Java's client and librdkafka refresh their metadata, wait for their back-off and send the batch again.
        ProduceError::Full | ProduceError::Failed => ErrorCode::KafkaStorageError,
    }
}

/// Damaged records are answered as failed storage and not as CORRUPT_MESSAGE, which makes Java's consumer throw. With
/// KAFKA_STORAGE_ERROR it refreshes its metadata and asks again, and so does librdkafka: the consumer stays where it is
/// until somebody has restored the data or decided that it goes on behind the hole. Nothing is skipped silently.
///
/// `docs/kafka.md` says how a consumer gets past it.
pub(crate) fn of_read(error: &ReadError) -> ErrorCode {
    match error {
        ReadError::UnknownPartition => ErrorCode::UnknownTopicOrPartition,
        ReadError::OutOfRange(_) => ErrorCode::OffsetOutOfRange,
        ReadError::KeepsRecords => ErrorCode::PolicyViolation,
        ReadError::Damaged { .. } | ReadError::Full | ReadError::Failed(_) => ErrorCode::KafkaStorageError,
    }
}

/// Clients retry the first two, the second after they have looked for the coordinator again. `too_large` is what a client
/// is told who asks for more than can be stored or kept.
pub(crate) fn of_state(error: &StateError, too_large: ErrorCode) -> ErrorCode {
    match error {
        StateError::Full => ErrorCode::CoordinatorNotAvailable,
        StateError::Failed => ErrorCode::NotCoordinator,
        StateError::TooLarge { .. } => too_large,
    }
}

pub(crate) fn of_batch(error: &batch::Error) -> ErrorCode {
    match error {
        batch::Error::Crc { .. } => ErrorCode::CorruptMessage,
        batch::Error::UnsupportedCompression(_) => ErrorCode::UnsupportedCompressionType,
        batch::Error::Incomplete { .. }
        | batch::Error::Malformed { .. }
        | batch::Error::UnsupportedMagic(_)
        | batch::Error::Decompression { .. }
        | batch::Error::TooLarge { .. } => ErrorCode::InvalidRecord,
    }
}

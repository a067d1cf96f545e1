//! What a queue was asked to be, in the words of queues and not of a protocol.

/// How a queue keeps its messages, and what it promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum QueueKind {
    #[default]
    Classic,
    /// Counts deliveries durably, and gives a message up after so many of them.
    Quorum,
    /// A topic with one partition: reading takes nothing away.
    Stream,
}

/// What becomes of messages beyond `max_length` or `max_length_bytes`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Overflow {
    /// The oldest message goes.
    #[default]
    DropHead,
    /// The new message is refused.
    RejectPublish,
    /// As `RejectPublish`, and the new message is dead-lettered.
    RejectPublishDeadLetter,
}

/// Queues that were declared alike share one of these: there may be very many. What is None is not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct QueueOptions {
    pub kind: QueueKind,
    /// How long a message waits before it expires, in milliseconds.
    pub message_ttl_ms: Option<u64>,
    /// How long the queue is there without being used, in milliseconds.
    pub expires_ms: Option<u64>,
    /// Ready messages.
    pub max_length: Option<u64>,
    /// Bytes of the bodies of ready messages.
    pub max_length_bytes: Option<u64>,
    pub overflow: Overflow,
    /// Messages that are dropped, rejected or expired are published there.
    pub dead_letter_exchange: Option<Box<str>>,
    /// None for the key that the message came with.
    pub dead_letter_routing_key: Option<Box<str>>,
    /// There are so many priorities above 0.
    pub max_priority: Option<u8>,
    pub single_active_consumer: bool,
    /// Deliveries of a message after which it is dead-lettered or dropped.
    pub delivery_limit: Option<u32>,
    /// How long a stream keeps a message, in milliseconds.
    pub max_age_ms: Option<u64>,
    /// The size of what a stream deletes at a time, in bytes.
    pub max_segment_size_bytes: Option<u64>,
}

//! What is fixed about a queue from its declaration to its deletion.

use std::fmt;
use std::sync::Arc;

use super::QueueOptions;
use crate::TopicId;

/// Identifies a queue for ever: when its name is used again, the new queue has another id. Those of queues that are stored
/// are never given again, not even after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId(pub u64);

/// Identifies a connection for as long as the process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// A queue that is to be declared.
#[derive(Clone, Debug, Default)]
pub struct NewQueue {
    pub name: String,
    pub durable: bool,
    /// Only this connection may use the queue, which ends with it and is never stored.
    pub exclusive: Option<ConnectionId>,
    pub auto_delete: bool,
    pub options: QueueOptions,
    /// As they were declared, in the encoding of the protocol, which compares them when the queue is declared again.
    pub arguments: Vec<u8>,
}

/// There may be very many: what is the same for many queues is shared.
#[derive(Clone, PartialEq, Eq)]
pub struct QueueDefinition {
    pub id: QueueId,
    /// The name of the virtual host.
    pub virtual_host: Arc<str>,
    pub name: Arc<str>,
    /// As it was declared. Whether anything of the queue is stored says [`QueueDefinition::is_stored`].
    pub durable: bool,
    pub auto_delete: bool,
    pub exclusive: Option<ConnectionId>,
    pub options: Arc<QueueOptions>,
    /// As they were declared, in the encoding of the protocol.
    pub arguments: Arc<[u8]>,
    /// The topic that a stream is.
    pub topic: Option<TopicId>,
}

impl QueueDefinition {
    /// Whether the queue is there after a restart.
    pub fn is_stored(&self) -> bool {
        self.durable && self.exclusive.is_none()
    }
}

impl fmt::Debug for QueueDefinition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "queue {} '{}' in '{}'",
            self.id.0, self.name, self.virtual_host
        )
    }
}

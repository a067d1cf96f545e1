//! The offsets that a group has committed.

use std::collections::BTreeMap;
use std::sync::Arc;

use firth_broker::TopicId;

/// What an entry takes in memory beside its metadata.
const ENTRY_BYTES: usize = size_of::<Committed>() + size_of::<i32>() + 16;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) offset: i64,
    /// -1 if the client did not say.
    pub(crate) leader_epoch: i32,
    /// In milliseconds since 1970, as the next.
    pub(crate) committed_ms: i64,
    /// Where the client asked for a time of its own (versions 2 to 4).
    pub(crate) expires_ms: Option<i64>,
    pub(crate) metadata: Arc<str>,
}

impl Committed {
    fn bytes(&self) -> usize {
        ENTRY_BYTES.saturating_add(self.metadata.len())
    }
}

/// By topic, which keep their id while a name may come to mean another one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offsets {
    topics: BTreeMap<TopicId, BTreeMap<i32, Committed>>,
    bytes: usize,
}

impl Offsets {
    pub(crate) fn get(&self, topic: TopicId, partition: i32) -> Option<&Committed> {
        self.topics.get(&topic)?.get(&partition)
    }

    /// Those of a topic from a partition on, ascending.
    pub(crate) fn from(&self, topic: TopicId, partition: i32) -> impl Iterator<Item = (i32, &Committed)> {
        let of_topic = self.topics.get(&topic).into_iter();
        let behind = of_topic.flat_map(move |committed| committed.range(partition..));
        behind.map(|(partition, committed)| (*partition, committed))
    }

    pub(crate) fn topics(&self) -> impl Iterator<Item = (TopicId, &BTreeMap<i32, Committed>)> {
        self.topics.iter().map(|(topic, partitions)| (*topic, partitions))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (TopicId, i32, &Committed)> {
        self.topics().flat_map(|(topic, partitions)| {
            partitions
                .iter()
                .map(move |(partition, committed)| (topic, *partition, committed))
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// Memory that they take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes by which they grow if this one is put.
    pub(super) fn growth(&self, topic: TopicId, partition: i32, metadata: &str) -> usize {
        let known = self.get(topic, partition).map_or(0, Committed::bytes);
        ENTRY_BYTES.saturating_add(metadata.len()).saturating_sub(known)
    }

    pub(super) fn put(&mut self, topic: TopicId, partition: i32, committed: Committed) {
        self.bytes = self.bytes.saturating_add(committed.bytes());
        let replaced = self.topics.entry(topic).or_default().insert(partition, committed);
        self.bytes = self
            .bytes
            .saturating_sub(replaced.map_or(0, |replaced| replaced.bytes()));
    }

    pub(super) fn remove(&mut self, topic: TopicId, partition: i32) {
        let Some(partitions) = self.topics.get_mut(&topic) else {
            return;
        };
        let removed = partitions.remove(&partition);
        if partitions.is_empty() {
            self.topics.remove(&topic);
        }
        self.bytes = self
            .bytes
            .saturating_sub(removed.map_or(0, |removed| removed.bytes()));
    }
}

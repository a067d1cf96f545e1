//! What exchanges send to topics: for each partition a record with the partition key as its key, in the frame of all others.
//!
//! What a producer of the topic may not do is refused here as well: a record that is larger than the topic allows, and one
//! without a key where the topic is compacted. An empty key is none.

use std::sync::Arc;

use firth_batch::{Batch, Builder, Compression};
use firth_log::{Append, LogId};

use super::BATCH_BYTES;
use crate::counters::add;
use crate::message::Message;
use crate::router::partition_of;
use crate::topic_config::CompressionType;
use crate::{Broker, TopicConfig, TopicId};

/// What a batch with one record takes beside what [`Message::len`] counts, at most.
const OVERHEAD_BYTES: usize = 160;

/// Messages for topics that are stored together.
#[derive(Debug, Default)]
pub(super) struct ForTopics {
    partitions: Vec<ForPartition>,
}

struct ForPartition {
    broker: Broker,
    log: LogId,
    config: Arc<TopicConfig>,
    builder: Builder,
    batches: Vec<Batch>,
}

impl ForTopics {
    pub(super) fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// Adds a message, or returns false where the topic refuses it. A topic that was deleted takes nothing.
    pub(super) fn add(
        &mut self,
        broker: &Broker,
        topic: TopicId,
        partition_key: &[u8],
        message: &Message<'_>,
        now_ms: i64,
    ) -> Option<bool> {
        let topic = broker.topic_by_id(topic)?;
        let log = topic.log(partition_of(partition_key, topic.partitions.len()))?;
        let key = (!partition_key.is_empty()).then_some(partition_key);
        if key.is_none() && topic.config.cleanup_policy.compacts() {
            return Some(false);
        }
        let known = self.partitions.iter().position(|partition| partition.log == log);
        let at = known.unwrap_or_else(|| {
            self.partitions.push(ForPartition {
                broker: broker.clone(),
                log,
                builder: new_builder(&topic.config),
                config: topic.config.clone(),
                batches: Vec::new(),
            });
            self.partitions.len() - 1
        });
        let partition = self.partitions.get_mut(at)?;
        Some(partition.add(key, message, now_ms))
    }

    /// All that was added, in the order in which it came. Can be called again where it was not stored.
    pub(super) fn appends(&mut self) -> impl Iterator<Item = Append> {
        self.partitions.iter_mut().flat_map(|partition| {
            partition.close();
            let log = partition.log;
            let batches = partition.batches.iter().cloned();
            batches.map(move |batch| Append { log, batch })
        })
    }

    /// Forgets what was for a topic that is gone. Returns whether there was any.
    pub(super) fn remove(&mut self, log: LogId) -> bool {
        let before = self.partitions.len();
        self.partitions.retain(|partition| partition.log != log);
        self.partitions.len() < before
    }

    /// Counts what was stored.
    pub(super) fn stored(&self) {
        for partition in &self.partitions {
            let counting = partition.broker.counting();
            for batch in &partition.batches {
                add(&counting.produced_batches, 1);
                let records = u64::try_from(batch.header().record_count).unwrap_or(0);
                add(&counting.produced_records, records);
                add(&counting.produced_bytes, batch.len() as u64);
            }
        }
    }
}

impl ForPartition {
    fn add(&mut self, key: Option<&[u8]>, message: &Message<'_>, now_ms: i64) -> bool {
        let max = usize::try_from(self.config.max_message_bytes).unwrap_or(0);
        let more = message.len().saturating_add(key.map_or(0, <[u8]>::len));
        let at_most = more.saturating_add(OVERHEAD_BYTES);
        if at_most > max {
            return self.add_alone(key, message, now_ms, max);
        }
        if self.builder.len().saturating_add(at_most) > max.min(BATCH_BYTES) {
            self.close();
        }
        message.push_with_key(&mut self.builder, now_ms, key);
        true
    }

    /// Adds a message that may be too large.
    fn add_alone(&mut self, key: Option<&[u8]>, message: &Message<'_>, now_ms: i64, max: usize) -> bool {
        let mut builder = new_builder(&self.config);
        message.push_with_key(&mut builder, now_ms, key);
        let is_allowed = builder.len() <= max;
        if is_allowed {
            self.close();
            self.builder = builder;
            self.close();
        }
        is_allowed
    }

    fn close(&mut self) {
        if !self.builder.is_empty() {
            let builder = std::mem::replace(&mut self.builder, new_builder(&self.config));
            self.batches.push(builder.build());
        }
    }
}

fn new_builder(config: &TopicConfig) -> Builder {
    let compression = match config.compression_type {
        CompressionType::Producer => Compression::None,
        CompressionType::Always(compression) => compression,
    };
    Builder::new(compression).timestamp_type(config.message_timestamp_type)
}

impl std::fmt::Debug for ForPartition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ForPartition")
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

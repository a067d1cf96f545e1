//! Holds partitions to `retention.bytes`.
//!
//! As in Apache Kafka the oldest goes while what remains is still at least that much. Partitions with a limit are watched,
//! and those that grew are looked at together, each [`PASS_INTERVAL`] or, where there are very many, less often. So a
//! partition keeps at most a tenth more than its limit, a chunk, and what was written since the last look. One that stands
//! still costs nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use firth_log::{LogId, Signal};
use tokio::time::Instant;

use super::{PARTITIONS_PER_TURN, trim};
use crate::broker::Broker;
use crate::topics::TopicMap;

const PASS_INTERVAL: Duration = Duration::from_millis(20);
/// How much later the next pass is for each partition that was looked at, a few times what the look takes of a core.
const REST_PER_PARTITION: Duration = Duration::from_micros(4);
/// How often it is looked whether others have a limit now: a new topic may be written at once.
const TOPICS_INTERVAL: Duration = Duration::from_millis(100);
/// How much later, for each topic there is, after they have changed.
const REST_PER_TOPIC: Duration = Duration::from_micros(1);
/// What a partition may have above its limit before something is deleted, as a part of that.
const SLACK_PART: u64 = 20;
/// A partition is not counted again before it grew by as much, as the engine divides it at chunks.
const GROWTH_BYTES: u64 = 64 * 1024;

/// All partitions with a limit.
#[derive(Debug, Default)]
pub(super) struct BySize {
    partitions: Vec<Limited>,
    /// Raised with the place of a partition in the list.
    grown: Arc<Signal>,
    /// As of which version of the topics, and when that is looked at again.
    version: Option<u64>,
    next_topics: Option<Instant>,
    next_pass: Option<Instant>,
}

#[derive(Debug)]
struct Limited {
    topic: Arc<str>,
    log: LogId,
    limit_bytes: u64,
    size: Option<Size>,
}

/// What a partition kept when it was counted.
#[derive(Clone, Copy, Debug)]
struct Size {
    bytes: u64,
    /// What was published then.
    published_bytes: u64,
}

impl BySize {
    /// Waits until partitions grow, and looks at those.
    pub(super) async fn enforce_when_they_grow(&mut self, broker: &Broker) {
        if let Some(next_pass) = self.next_pass {
            tokio::time::sleep_until(next_pass).await;
        }
        tokio::select! {
            () = self.grown.raised() => {}
            () = tokio::time::sleep(TOPICS_INTERVAL) => {}
        }
        let now = Instant::now();
        let is_changed = self.next_topics.is_none_or(|next| next <= now) && self.follow_topics(broker);
        let mut grown = self.grown.take();
        if is_changed {
            grown = (0..self.partitions.len() as u64).collect();
        }
        self.enforce(broker, &grown).await;
    }

    /// Looks at all that have a limit.
    pub(super) async fn enforce_all(&mut self, broker: &Broker) {
        self.follow_topics(broker);
        let all: Vec<u64> = (0..self.partitions.len() as u64).collect();
        self.enforce(broker, &all).await;
    }

    async fn enforce(&mut self, broker: &Broker, partitions: &[u64]) {
        for places in partitions.chunks(PARTITIONS_PER_TURN) {
            for place in places {
                let place = usize::try_from(*place).unwrap_or(usize::MAX);
                if let Some(partition) = self.partitions.get_mut(place) {
                    partition.enforce(broker).await;
                }
            }
            tokio::task::yield_now().await;
        }
        let looks = u32::try_from(partitions.len()).unwrap_or(u32::MAX);
        let rest = REST_PER_PARTITION.saturating_mul(looks);
        self.next_pass = Some(Instant::now() + rest.max(PASS_INTERVAL));
    }

    /// Says whether other partitions have a limit now, or others limits.
    fn follow_topics(&mut self, broker: &Broker) -> bool {
        self.next_topics = Some(Instant::now() + TOPICS_INTERVAL);
        let Some((version, partitions)) = broker.all_topics().read_changed(self.version, limited) else {
            return false;
        };
        self.version = Some(version);
        let topics = u32::try_from(broker.topic_count()).unwrap_or(u32::MAX);
        let rest = REST_PER_TOPIC.saturating_mul(topics);
        self.next_topics = Some(Instant::now() + TOPICS_INTERVAL + rest);
        let before = std::mem::replace(&mut self.partitions, partitions).into_iter();
        let mut before: HashMap<LogId, Limited> =
            before.map(|partition| (partition.log, partition)).collect();
        // The one before watches what has no limit any more.
        self.grown = Signal::new();
        for (place, partition) in (0..).zip(&mut self.partitions) {
            if let Some(known) = before.remove(&partition.log)
                && known.limit_bytes == partition.limit_bytes
            {
                *partition = known;
            }
            // Where the topic is gone, the next version of the topics says so.
            broker.engine().watch(partition.log, &self.grown, place);
        }
        true
    }
}

fn limited(topics: &TopicMap) -> Vec<Limited> {
    let mut partitions = Vec::new();
    for topic in topics
        .iter()
        .filter(|topic| topic.config.cleanup_policy.deletes())
    {
        let Ok(limit_bytes) = u64::try_from(topic.config.retention_bytes) else {
            continue;
        };
        partitions.extend(topic.partitions.iter().map(|partition| Limited {
            topic: topic.name.clone(),
            log: partition.log,
            limit_bytes,
            size: None,
        }));
    }
    partitions
}

impl Limited {
    async fn enforce(&mut self, broker: &Broker) {
        let published_bytes = broker.engine().published_bytes(self.log);
        if published_bytes.is_some_and(|published_bytes| self.may_exceed(published_bytes)) {
            self.size = self.delete(broker).await;
        }
    }

    /// Whether it has grown to where something is to be deleted, as far as is known.
    fn may_exceed(&self, published_bytes: u64) -> bool {
        let Some(size) = self.size else {
            return true;
        };
        let slack = self.limit_bytes / SLACK_PART;
        let grown = published_bytes.saturating_sub(size.published_bytes);
        grown >= slack.clamp(1, GROWTH_BYTES)
            && size.bytes.saturating_add(grown) > self.limit_bytes.saturating_add(slack)
    }

    /// Deletes what is too much. Gives what is left, if that is known.
    async fn delete(&self, broker: &Broker) -> Option<Size> {
        match broker.engine().newest(self.log, self.limit_bytes).await {
            Ok(newest) => {
                let is_done = trim(broker, &self.topic, self.log, newest.first_offset);
                is_done.then_some(Size {
                    bytes: newest.bytes,
                    published_bytes: newest.published_bytes,
                })
            }
            Err(error) => {
                tracing::debug!(topic = %self.topic, log = self.log.0, %error, "the size of a partition is not known");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1024;

    #[test]
    fn something_is_deleted_when_a_partition_has_grown_to_a_twentieth_more() {
        for (limit_bytes, kept, grown, expected) in [
            (1000 * KIB, 1000 * KIB, 0, false),
            (1000 * KIB, 1000 * KIB, 50 * KIB, false),
            (1000 * KIB, 1000 * KIB, 50 * KIB + 1, true),
            (1000 * KIB, 500 * KIB, 300 * KIB, false),
            // As near as chunks allow, for as long as another may not have come.
            (1000 * KIB, 1100 * KIB, 50 * KIB - 1, false),
            (1000 * KIB, 1100 * KIB, 50 * KIB, true),
            (1000 * 1000 * KIB, 1000 * 1000 * KIB, 50 * 1000 * KIB, false),
            (1000 * 1000 * KIB, 1000 * 1000 * KIB, 50 * 1000 * KIB + 1, true),
            (0, 0, 0, false),
            (0, 0, 1, true),
            (i64::MAX as u64, 1 << 40, 1 << 40, false),
        ] {
            let partition = Limited {
                topic: "t".into(),
                log: LogId::FIRST_ALLOCATED,
                limit_bytes,
                size: Some(Size {
                    bytes: kept,
                    published_bytes: 7,
                }),
            };
            let told = partition.may_exceed(7 + grown);
            assert_eq!(told, expected, "{limit_bytes}: {kept} and {grown}");
        }
    }
}

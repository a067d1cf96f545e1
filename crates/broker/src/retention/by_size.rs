//! Holds partitions to `retention.bytes`.
//!
//! As in Apache Kafka the oldest goes while what remains is still at least that much. A partition that grows is looked at
//! often enough that it does not come to more than a tenth above the limit and a chunk, and no more often than each
//! [`LOOK_INTERVAL_MIN`]: what is written in this time is what may come on top. One that stands still costs a look at a
//! number each [`LOOK_INTERVAL_MAX`], after which a burst is noticed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use firth_log::LogId;
use tokio::time::Instant;

use super::{PARTITIONS_PER_TURN, trim};
use crate::broker::Broker;
use crate::topics::TopicMap;

const LOOK_INTERVAL_MAX: Duration = Duration::from_millis(250);
const LOOK_INTERVAL_MIN: Duration = Duration::from_millis(20);
/// How often it is looked for partitions with a limit, where there are none.
const TOPICS_INTERVAL: Duration = Duration::from_secs(1);
/// What a partition may have above its limit, as a part of that. When it has half of it, something is deleted.
const OVERSHOOT_PART: u64 = 10;
/// The engine tells where to delete as exactly as this.
const CHUNK_BYTES: u64 = 128 * 1024;

/// All partitions with a limit. Empty before the first look.
#[derive(Debug, Default)]
pub(super) struct BySize {
    partitions: Vec<Limited>,
    /// As of which version of the topics.
    version: Option<u64>,
}

#[derive(Debug)]
struct Limited {
    topic: Arc<str>,
    log: LogId,
    limit_bytes: u64,
    size: Option<Size>,
    /// What was published when it was looked at last, and when that was.
    seen: Option<(u64, Instant)>,
    next_look: Option<Instant>,
}

/// What a partition kept when it was counted.
#[derive(Clone, Copy, Debug)]
struct Size {
    bytes: u64,
    /// What was published then.
    published_bytes: u64,
}

impl BySize {
    /// Looks at those partitions which may have come to too much, once there are any.
    pub(super) async fn enforce_when_due(&mut self, broker: &Broker) {
        let looks = self.partitions.iter().filter_map(|partition| partition.next_look);
        let latest = Instant::now() + TOPICS_INTERVAL;
        tokio::time::sleep_until(looks.min().map_or(latest, |look| look.min(latest))).await;
        self.enforce(broker).await;
    }

    /// Looks at all that have a limit.
    pub(super) async fn enforce_all(&mut self, broker: &Broker) {
        self.partitions
            .iter_mut()
            .for_each(|partition| partition.next_look = None);
        self.enforce(broker).await;
    }

    async fn enforce(&mut self, broker: &Broker) {
        self.follow_topics(broker);
        let now = Instant::now();
        let is_due = |partition: &&mut Limited| partition.next_look.is_none_or(|next_look| next_look <= now);
        for (nth, partition) in self.partitions.iter_mut().filter(is_due).enumerate() {
            if nth % PARTITIONS_PER_TURN == PARTITIONS_PER_TURN - 1 {
                tokio::task::yield_now().await;
            }
            partition.look(broker).await;
        }
    }

    fn follow_topics(&mut self, broker: &Broker) {
        let Some((version, partitions)) = broker.all_topics().read_changed(self.version, limited) else {
            return;
        };
        self.version = Some(version);
        let mut before: HashMap<LogId, Limited> = std::mem::replace(&mut self.partitions, partitions)
            .into_iter()
            .map(|partition| (partition.log, partition))
            .collect();
        for partition in &mut self.partitions {
            if let Some(known) = before.remove(&partition.log)
                && known.limit_bytes == partition.limit_bytes
            {
                *partition = known;
            }
        }
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
            seen: None,
            next_look: None,
        }));
    }
    partitions
}

impl Limited {
    async fn look(&mut self, broker: &Broker) {
        let now = Instant::now();
        // The topic may be gone, of which the next version of the topics tells.
        let published_bytes = broker.engine().published_bytes(self.log).unwrap_or(0);
        if self.may_exceed(published_bytes) {
            self.size = self.delete(broker).await;
        }
        self.look_again(published_bytes, now);
    }

    /// Whether it has grown to where something is to be deleted, as far as is known.
    fn may_exceed(&self, published_bytes: u64) -> bool {
        let allowed = self
            .limit_bytes
            .saturating_add(self.limit_bytes / OVERSHOOT_PART / 2);
        self.size.is_none_or(|size| {
            published_bytes != size.published_bytes && size.bytes_at(published_bytes) > allowed
        })
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

    /// It is looked at again after half of the time in which it comes to more than it may have, if it grows as it did.
    fn look_again(&mut self, published_bytes: u64, now: Instant) {
        let allowed = self.limit_bytes.saturating_add(self.limit_bytes / OVERSHOOT_PART);
        let bytes = self.size.map_or(0, |size| size.bytes_at(published_bytes));
        let left = allowed.saturating_add(CHUNK_BYTES).saturating_sub(bytes);
        let interval = match self.seen.replace((published_bytes, now)) {
            // How fast it grows is not known yet.
            None => LOOK_INTERVAL_MIN,
            Some((seen_bytes, _)) if seen_bytes == published_bytes => LOOK_INTERVAL_MAX,
            Some((seen_bytes, seen)) => {
                let grown = published_bytes.saturating_sub(seen_bytes).max(1);
                let seconds = now.duration_since(seen).as_secs_f64() * left as f64 / grown as f64;
                Duration::try_from_secs_f64(seconds / 2.0).unwrap_or(LOOK_INTERVAL_MAX)
            }
        };
        self.next_look = Some(now + interval.clamp(LOOK_INTERVAL_MIN, LOOK_INTERVAL_MAX));
    }
}

impl Size {
    /// What is kept when more was published, if nothing is deleted otherwise.
    fn bytes_at(&self, published_bytes: u64) -> u64 {
        self.bytes
            .saturating_add(published_bytes.saturating_sub(self.published_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    /// A partition that grows at some rates, each for a second, and the most that it has in that time.
    fn most(limit_bytes: u64, mib_per_s: &[u64]) -> u64 {
        let mut partition = Limited {
            topic: "t".into(),
            log: LogId::FIRST_ALLOCATED,
            limit_bytes,
            size: None,
            seen: None,
            next_look: None,
        };
        let start = Instant::now();
        let mut published_bytes = 0;
        let mut most = 0;
        for ms in 0..mib_per_s.len() as u64 * 1000 {
            let now = start + Duration::from_millis(ms);
            if partition.next_look.is_none_or(|next_look| next_look <= now) {
                if partition.may_exceed(published_bytes) {
                    let kept = partition.size.map_or(0, |size| size.bytes_at(published_bytes));
                    partition.size = Some(Size {
                        bytes: kept.min(limit_bytes + CHUNK_BYTES),
                        published_bytes,
                    });
                }
                partition.look_again(published_bytes, now);
            }
            published_bytes += mib_per_s[ms as usize / 1000] * MIB / 1000;
            most = most.max(partition.size.map_or(0, |size| size.bytes_at(published_bytes)));
        }
        most
    }

    #[test]
    fn a_partition_that_grows_at_any_rate_is_held() {
        for limit_mib in [1, 10, 100, 1024, 10 * 1024] {
            for mib_per_s in [1, 10, 100, 500] {
                let limit_bytes = limit_mib * MIB;
                let most = most(limit_bytes, &vec![mib_per_s; 40]);
                let least_interval = mib_per_s * MIB / 1000 * 22;
                let allowed = limit_bytes / 10 * 11 + CHUNK_BYTES + least_interval;
                assert!(most <= allowed, "{limit_mib} MiB, {mib_per_s} MiB/s: {most}");
                assert!(most >= limit_bytes.min(39 * mib_per_s * MIB));
            }
        }
    }

    #[test]
    fn a_burst_is_noticed_soon() {
        let limit_bytes = 1024 * MIB;
        let most = most(limit_bytes, &[400, 400, 400, 0, 0, 0, 400, 0, 1, 400]);
        assert!(most <= limit_bytes / 10 * 11 + CHUNK_BYTES, "{most}");
    }
}

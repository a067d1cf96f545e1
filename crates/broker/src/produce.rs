//! The way of a batch from a protocol to the engine: the topic's rules, then the sequencer.

use firth_batch::{Batch, NO_TIMESTAMP, TimestampType};
use firth_log::{Commit, Frame};

use crate::broker::Broker;
use crate::counters::add;
use crate::{ProduceError, Topic, TopicConfig};

/// Where a batch was put. It must not be acknowledged before `commit` resolves.
#[derive(Debug)]
pub struct Appended {
    pub base_offset: i64,
    /// The first offset that the partition keeps.
    pub log_start: i64,
    /// The broker's time, in milliseconds since 1970, if the topic's records get that.
    pub log_append_time_ms: Option<i64>,
    /// The producer had sent the batch before; offset and time are those of the first one.
    pub duplicate: bool,
    pub commit: Commit,
}

impl Broker {
    /// Appends a batch that was validated ([`Batch::validate`]). Never blocks and does no I/O.
    ///
    /// With LogAppendTime the batch gets the broker's time. With CreateTime its first and its greatest timestamp
    /// are held against the topic's limits; those of the records between them are not looked at.
    pub fn append(&self, topic: &Topic, partition: i32, batch: Batch) -> Result<Appended, ProduceError> {
        let appended = self.append_unless_refused(topic, partition, batch);
        if appended.is_err() {
            add(&self.counting().refused_batches, 1);
        }
        appended
    }

    fn append_unless_refused(
        &self,
        topic: &Topic,
        partition: i32,
        batch: Batch,
    ) -> Result<Appended, ProduceError> {
        let log = topic.log(partition).ok_or(ProduceError::UnknownPartition)?;
        let now_ms = self.environment().clock.wall_ms();
        let batch = admit(&topic.config, batch, now_ms)?;
        let (bytes, records) = (batch.len() as u64, i64::from(batch.header().record_count));
        let appended = self.engine().append(Frame::batch(log, batch))?;
        let placed = appended.placed.first().expect("one batch was appended");
        let counting = self.counting();
        if placed.duplicate {
            add(&counting.duplicate_batches, 1);
        } else {
            add(&counting.produced_batches, 1);
            add(&counting.produced_records, u64::try_from(records).unwrap_or(0));
            add(&counting.produced_bytes, bytes);
        }
        let log_append_time = topic.config.message_timestamp_type == TimestampType::LogAppendTime;
        Ok(Appended {
            base_offset: placed.base_offset,
            log_start: placed.log_start,
            log_append_time_ms: log_append_time.then_some(placed.timestamp),
            duplicate: placed.duplicate,
            commit: appended.commit,
        })
    }
}

/// Applies what a topic's configuration says about single batches.
fn admit(config: &TopicConfig, batch: Batch, now_ms: i64) -> Result<Batch, ProduceError> {
    let max = usize::try_from(config.max_message_bytes).unwrap_or(0);
    if batch.len() > max {
        return Err(ProduceError::MessageTooLarge {
            bytes: batch.len(),
            max,
        });
    }
    if batch.header().attributes.is_transactional() {
        return Err(ProduceError::Transactional);
    }
    match config.message_timestamp_type {
        TimestampType::LogAppendTime => Ok(batch.with_log_append_time(now_ms)),
        TimestampType::CreateTime => {
            check_timestamps(config, &batch, now_ms)?;
            Ok(batch)
        }
    }
}

fn check_timestamps(config: &TopicConfig, batch: &Batch, now_ms: i64) -> Result<(), ProduceError> {
    let min = now_ms.saturating_sub(config.timestamp_before_max_ms);
    let max = now_ms.saturating_add(config.timestamp_after_max_ms);
    let header = batch.header();
    for timestamp in [header.base_timestamp, header.max_timestamp] {
        if timestamp != NO_TIMESTAMP && !(min..=max).contains(&timestamp) {
            return Err(ProduceError::InvalidTimestamp { timestamp, min, max });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use firth_batch::{Builder, Compression};

    use super::*;

    fn batch(timestamps: &[i64]) -> Batch {
        let mut builder = Builder::new(Compression::None);
        for timestamp in timestamps {
            builder.push(*timestamp, None, Some(b"value"), &[]);
        }
        builder.build()
    }

    fn config(entries: &[(&str, &str)]) -> TopicConfig {
        TopicConfig::parse(entries.iter().map(|(name, value)| (*name, Some(*value))))
            .unwrap()
            .0
    }

    #[test]
    fn a_batch_is_measured_as_it_is_stored() {
        let batch = batch(&[0]);
        let exact = batch.len().to_string();
        assert!(admit(&config(&[("max.message.bytes", &exact)]), batch.clone(), 0).is_ok());
        let less = (batch.len() - 1).to_string();
        assert_eq!(
            admit(&config(&[("max.message.bytes", &less)]), batch.clone(), 0),
            Err(ProduceError::MessageTooLarge {
                bytes: batch.len(),
                max: batch.len() - 1
            })
        );
    }

    #[test]
    fn times_far_from_the_brokers_are_refused() {
        let now = 10_000_000_000;
        let hour = 3_600_000;
        let defaults = TopicConfig::default();
        assert!(admit(&defaults, batch(&[0, now + hour]), now).is_ok());
        assert!(admit(&defaults, batch(&[NO_TIMESTAMP]), now).is_ok());
        let late = admit(&defaults, batch(&[0, now + hour + 1]), now);
        assert!(
            matches!(late, Err(ProduceError::InvalidTimestamp { timestamp, .. }) if timestamp == now + hour + 1)
        );
        let limited = config(&[("message.timestamp.before.max.ms", "5")]);
        assert!(admit(&limited, batch(&[now - 5]), now).is_ok());
        let early = admit(&limited, batch(&[now - 6, now]), now);
        assert_eq!(
            early,
            Err(ProduceError::InvalidTimestamp {
                timestamp: now - 6,
                min: now - 5,
                max: now + hour
            })
        );
    }

    #[test]
    fn the_brokers_time_replaces_the_producers_whatever_that_was() {
        let config = config(&[("message.timestamp.type", "LogAppendTime")]);
        let admitted = admit(&config, batch(&[i64::MAX]), 77).unwrap();
        let records = admitted.records(1000).unwrap();
        assert_eq!(records.iter().next().unwrap().unwrap().timestamp, 77);
    }

    #[test]
    fn batches_of_transactions_are_refused_as_nobody_would_end_them() {
        let mut builder = Builder::new(Compression::None).producer(1, 0, 0).transactional();
        builder.push(0, None, None, &[]);
        assert_eq!(
            admit(&TopicConfig::default(), builder.build(), 0),
            Err(ProduceError::Transactional)
        );
    }
}

//! The way of a batch from a protocol to the engine: the topic's rules, then the sequencer.

use firth_batch::{Batch, NO_TIMESTAMP, TimestampType, recompress};
use firth_log::{Commit, FRAME_BYTES_MAX, Frame};

use crate::broker::Broker;
use crate::counters::add;
use crate::topic_config::CompressionType;
use crate::{ProduceError, Topic, TopicConfig};

/// Bytes without compression of the records of a batch that is opened: as many as there can be in one that has none.
/// They are held while the batch is looked at and no longer, so once for each thread at most.
const OPENED_BYTES_MAX: usize = FRAME_BYTES_MAX;
/// Records without a key that are named; a batch can have millions.
const WITHOUT_KEY_NAMED_MAX: usize = 100;

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
    /// are held against the topic's limits; those of the records between them are not looked at. A batch for a topic
    /// that is compacted is opened, on the caller's thread, as each of its records needs a key, and so is one that the topic
    /// wants compressed in another way.
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
    check_length(config, &batch)?;
    if batch.header().attributes.is_transactional() {
        return Err(ProduceError::Transactional);
    }
    if config.message_timestamp_type == TimestampType::CreateTime {
        check_timestamps(config, &batch, now_ms)?;
    }
    if config.cleanup_policy.compacts() {
        check_keys(&batch)?;
    }
    let batch = match config.compression_type {
        CompressionType::Producer => batch,
        CompressionType::Always(codec) => recompress(batch, codec, OPENED_BYTES_MAX).map_err(unopened)?,
    };
    // As large as it was sent, and as large as it will be stored.
    check_length(config, &batch)?;
    match config.message_timestamp_type {
        TimestampType::LogAppendTime => Ok(batch.with_log_append_time(now_ms)),
        TimestampType::CreateTime => Ok(batch),
    }
}

fn check_length(config: &TopicConfig, batch: &Batch) -> Result<(), ProduceError> {
    let max = usize::try_from(config.max_message_bytes).unwrap_or(0);
    let bytes = batch.len();
    if bytes > max {
        return Err(ProduceError::MessageTooLarge { bytes, max });
    }
    Ok(())
}

fn unopened(error: firth_batch::Error) -> ProduceError {
    match error {
        firth_batch::Error::TooLarge { limit } => ProduceError::RecordsTooLarge { max: limit },
        error => ProduceError::Unreadable(error),
    }
}

/// Reads all records, so that compaction will be able to as well.
fn check_keys(batch: &Batch) -> Result<(), ProduceError> {
    let records = batch.records(OPENED_BYTES_MAX).map_err(unopened)?;
    let (mut indexes, mut count) = (Vec::new(), 0);
    for record in &records {
        let record = record.map_err(ProduceError::Unreadable)?;
        if record.key.is_none() {
            count += 1;
            if indexes.len() < WITHOUT_KEY_NAMED_MAX {
                indexes.push(record.offset_delta);
            }
        }
    }
    match count {
        0 => Ok(()),
        count => Err(ProduceError::WithoutKey { indexes, count }),
    }
}

/// The base timestamp is a record's: [`Batch::validate`] lets no producer put a delete horizon there.
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
    use crate::CleanupPolicy;

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
    fn a_topic_may_have_a_compression_of_its_own() {
        let large = |codec| {
            let mut builder = Builder::new(codec);
            builder.push(0, None, Some(&[7; 10_000]), &[]);
            builder.build()
        };
        for sent in Compression::ALL {
            assert_eq!(admit(&TopicConfig::default(), large(sent), 0), Ok(large(sent)));
            for (name, stored) in [
                ("uncompressed", Compression::None),
                ("gzip", Compression::Gzip),
                ("snappy", Compression::Snappy),
                ("lz4", Compression::Lz4),
                ("zstd", Compression::Zstd),
            ] {
                let config = config(&[("compression.type", name)]);
                assert_eq!(admit(&config, large(sent), 0), Ok(large(stored)), "{sent} {name}");
            }
        }

        let small = config(&[
            ("compression.type", "uncompressed"),
            ("max.message.bytes", "9000"),
        ]);
        let refused = admit(&small, large(Compression::Zstd), 0);
        assert!(
            matches!(refused, Err(ProduceError::MessageTooLarge { max: 9000, .. })),
            "{refused:?}"
        );
        let small = config(&[("compression.type", "zstd"), ("max.message.bytes", "9000")]);
        let refused = admit(&small, large(Compression::None), 0);
        assert!(
            matches!(refused, Err(ProduceError::MessageTooLarge { max: 9000, .. })),
            "{refused:?}"
        );
    }

    fn compacted() -> TopicConfig {
        let mut config = TopicConfig::default();
        config.cleanup_policy = CleanupPolicy::Compact;
        config
    }

    fn with_keys(compression: Compression, keys: &[Option<&[u8]>]) -> Batch {
        let mut builder = Builder::new(compression);
        for key in keys {
            builder.push(0, *key, Some(b"value"), &[]);
        }
        builder.build()
    }

    #[test]
    fn a_compacted_topic_takes_keys_alone() {
        for compression in Compression::ALL {
            let keyed = with_keys(compression, &[Some(b"a"), Some(b"")]);
            assert_eq!(admit(&compacted(), keyed.clone(), 0), Ok(keyed), "{compression}");
            let some = with_keys(compression, &[Some(b"a"), None, Some(b"b"), None]);
            let refused = ProduceError::WithoutKey {
                indexes: vec![1, 3],
                count: 2,
            };
            assert_eq!(
                admit(&compacted(), some.clone(), 0),
                Err(refused),
                "{compression}"
            );
            assert!(admit(&TopicConfig::default(), some, 0).is_ok(), "{compression}");
        }
        for policy in [CleanupPolicy::CompactDelete, CleanupPolicy::DeleteCompact] {
            let mut both = compacted();
            both.cleanup_policy = policy;
            assert!(admit(&both, with_keys(Compression::None, &[None]), 0).is_err());
        }
    }

    #[test]
    fn of_many_records_without_a_key_the_first_are_named() {
        let many = with_keys(Compression::None, &[None; 1000]);
        let refused = admit(&compacted(), many, 0);
        assert!(
            matches!(&refused, Err(ProduceError::WithoutKey { indexes, count: 1000 })
                if indexes.iter().copied().eq(0..WITHOUT_KEY_NAMED_MAX as i32)),
            "{refused:?}"
        );
    }

    #[test]
    fn what_compaction_could_not_open_is_refused() {
        let mut builder = Builder::new(Compression::Gzip);
        builder.push(0, Some(b"key"), Some(&vec![0; OPENED_BYTES_MAX]), &[]);
        assert_eq!(
            admit(&compacted(), builder.build(), 0),
            Err(ProduceError::RecordsTooLarge {
                max: OPENED_BYTES_MAX
            })
        );

        let mut bytes = with_keys(Compression::None, &[Some(b"key")])
            .into_bytes()
            .to_vec();
        // The length of the only record.
        bytes[61] += 2;
        let crc = firth_batch::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        let longer = Batch::validate(bytes.into()).unwrap();
        let refused = admit(&compacted(), longer.clone(), 0);
        assert!(matches!(refused, Err(ProduceError::Unreadable(_))), "{refused:?}");
        assert!(admit(&TopicConfig::default(), longer, 0).is_ok());
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

//! Produce. The hot path: it ends with the append; the reply waits in the connection's queue.

use bytes::{Bytes, BytesMut};
use firth_batch::{Batch, Compression};
use firth_broker::{Appended, Commit, ProduceError, Topic};
use firth_kafka_codec::{
    ApiKey, BatchIndexAndErrorMessage, ErrorCode, PartitionProduceData, PartitionProduceResponse,
    ProduceRequest, ProduceResponse, RequestHeader, SIZE_BYTES, TopicProduceData, TopicProduceResponse,
    decode_response,
};
use smallvec::SmallVec;
use tokio::time::{Duration, Instant};

use super::{BY_ID_MIN, encode, message, throttle};
use crate::closed::Closed;
use crate::connection::{Parked, Timeout};
use crate::error;
use crate::server::Client;

/// The first version whose clients know zstd (KIP-110).
const ZSTD_MIN: i16 = 7;

const ACKS_ALL: i16 = -1;
const ACKS_NONE: i16 = 0;
const ACKS_LEADER: i16 = 1;

/// Nobody is told earlier that the timeout of a request has passed, in milliseconds. Clients may name 0, as a broker that
/// answers before anything is durable lets them, and a flush takes some.
const TIMEOUT_MS_MIN: i32 = 1000;

/// Why a partition's records were refused.
#[derive(Debug)]
struct Refused {
    error_code: ErrorCode,
    reason: String,
    /// The records that are the reason, if it is single ones.
    record_errors: Vec<BatchIndexAndErrorMessage>,
}

impl Refused {
    fn new(error_code: ErrorCode, reason: impl ToString) -> Refused {
        Refused {
            error_code,
            reason: reason.to_string(),
            record_errors: Vec::new(),
        }
    }

    fn by_broker(error: &ProduceError, topic: &Topic, partition: i32) -> Refused {
        let mut refused = Refused::new(error::of_produce(error), error);
        if let ProduceError::WithoutKey { indexes, count: _ } = error {
            let name = &topic.name;
            // Kafka's own words, which people search for. All records share them.
            let reason = message(&format_args!(
                "Compacted topic cannot accept message without key in topic partition {name}-{partition}."
            ));
            let record_error = |batch_index: &i32| BatchIndexAndErrorMessage {
                batch_index: *batch_index,
                batch_index_error_message: reason.clone(),
            };
            refused.record_errors = indexes.iter().map(record_error).collect();
        }
        refused
    }
}

/// One request while it is being appended.
struct Produce<'a> {
    client: &'a Client,
    version: i16,
    acks: i16,
    commits: SmallVec<[Commit; 1]>,
    refused: Option<Refused>,
}

/// Appends all batches of a request and gives the reply, which may be sent when the commits are durable.
pub(super) fn handle(
    client: &Client,
    header: &RequestHeader,
    request: ProduceRequest,
    bytes: usize,
    buffer: &mut BytesMut,
) -> Result<Parked, Closed> {
    let (version, acks) = (header.api_version, request.acks);
    let timeout_ms = request.timeout_ms.max(TIMEOUT_MS_MIN);
    let mut produce = Produce {
        client,
        version,
        acks,
        commits: SmallVec::new(),
        refused: None,
    };
    let responses = request
        .topic_data
        .into_iter()
        .map(|topic| produce.topic(topic))
        .collect();
    let Produce { commits, refused, .. } = produce;
    let wait = throttle::of_produce(client, header, bytes, acks != ACKS_NONE);
    if acks != ACKS_NONE {
        let response = ProduceResponse {
            responses,
            throttle_time_ms: throttle::ms(wait),
            ..Default::default()
        };
        let reply = encode(buffer, version, header.correlation_id, &response)?;
        let deadline = Instant::now().checked_add(Duration::from_millis(timeout_ms.unsigned_abs().into()));
        return Ok(Parked {
            commits,
            reply,
            timeout: deadline.map(|deadline| Timeout { deadline, version }),
            wait,
        });
    }
    match refused {
        Some(Refused {
            error_code, reason, ..
        }) => {
            let reason = format!("{}: {reason}", error_code.name());
            Err(Closed::Unacknowledged { reason })
        }
        None => Ok(Parked {
            commits,
            reply: Bytes::new(),
            timeout: None,
            wait,
        }),
    }
}

/// The reply to a request of which something is not durable when its timeout has passed. It may become so later, as the
/// error says: who sends it again with its producer's sequence is told where it is.
pub(crate) fn timed_out(version: i16, reply: &Bytes, commits: &[Commit]) -> Result<Bytes, Closed> {
    let frame = reply.slice(SIZE_BYTES.min(reply.len())..);
    let decoded = decode_response::<ProduceRequest>(version, &frame);
    let (correlation_id, mut response) = decoded.map_err(|error| Closed::Unwritable {
        api_key: ApiKey::Produce,
        version,
        error,
    })?;
    let partitions = response
        .responses
        .iter_mut()
        .flat_map(|topic| &mut topic.partition_responses);
    let appended = partitions.filter(|partition| !partition.error_code.is_error());
    for (partition, commit) in appended.zip(commits) {
        if !commit.is_durable() {
            *partition = PartitionProduceResponse {
                index: partition.index,
                error_code: ErrorCode::RequestTimedOut,
                base_offset: -1,
                error_message: message(&"the records are not durable yet, and may become so"),
                ..Default::default()
            };
        }
    }
    encode(&mut BytesMut::new(), version, correlation_id, &response)
}

impl Produce<'_> {
    fn topic(&mut self, data: TopicProduceData) -> TopicProduceResponse {
        let TopicProduceData {
            name,
            topic_id,
            partition_data,
        } = data;
        let broker = &self.client.server.broker;
        let (topic, unknown) = if self.version >= BY_ID_MIN {
            (
                broker.topic_by_id(firth_broker::TopicId(topic_id.0)),
                ErrorCode::UnknownTopicId,
            )
        } else {
            (broker.topic(&name), ErrorCode::UnknownTopicOrPartition)
        };
        let topic = topic.ok_or(unknown);
        let partition_responses = partition_data
            .into_iter()
            .map(|data| self.partition(topic.as_deref().map_err(|unknown| *unknown), data))
            .collect();
        TopicProduceResponse {
            name,
            topic_id,
            partition_responses,
        }
    }

    fn partition(
        &mut self,
        topic: Result<&Topic, ErrorCode>,
        data: PartitionProduceData,
    ) -> PartitionProduceResponse {
        let index = data.index;
        match self.append(topic, data) {
            Ok(appended) => {
                self.commits.push(appended.commit);
                PartitionProduceResponse {
                    index,
                    base_offset: appended.base_offset,
                    log_append_time_ms: appended.log_append_time_ms.unwrap_or(-1),
                    log_start_offset: appended.log_start,
                    ..Default::default()
                }
            }
            Err(mut refused) => {
                self.client
                    .server
                    .metrics
                    .api(ApiKey::Produce)
                    .error(refused.error_code);
                let response = PartitionProduceResponse {
                    index,
                    error_code: refused.error_code,
                    base_offset: -1,
                    record_errors: std::mem::take(&mut refused.record_errors),
                    error_message: message(&refused.reason),
                    ..Default::default()
                };
                self.refused = Some(refused);
                response
            }
        }
    }

    fn append(
        &self,
        topic: Result<&Topic, ErrorCode>,
        data: PartitionProduceData,
    ) -> Result<Appended, Refused> {
        if !matches!(self.acks, ACKS_ALL | ACKS_NONE | ACKS_LEADER) {
            let reason = format!("acks is {}, which is none of -1, 0 and 1", self.acks);
            return Err(Refused::new(ErrorCode::InvalidRequiredAcks, reason));
        }
        let topic = topic.map_err(|unknown| Refused::new(unknown, "this topic does not exist"))?;
        let batch = self.batch(data.records.unwrap_or_default())?;
        let broker = &self.client.server.broker;
        broker
            .append(topic, data.index, batch)
            .map_err(|error| Refused::by_broker(&error, topic, data.index))
    }

    /// Exactly one batch of the current format, as of Produce 3 (KIP-98).
    fn batch(&self, records: Bytes) -> Result<Batch, Refused> {
        let batch = Batch::validate(records).map_err(|error| Refused::new(error::of_batch(&error), error))?;
        if self.version < ZSTD_MIN && batch.header().attributes.compression() == Ok(Compression::Zstd) {
            let reason = format!(
                "zstd needs Produce {ZSTD_MIN}, the request has version {}",
                self.version
            );
            return Err(Refused::new(ErrorCode::UnsupportedCompressionType, reason));
        }
        Ok(batch)
    }
}

#[cfg(test)]
mod tests {
    use firth_broker::{TopicConfig, TopicId};

    use super::*;

    #[test]
    fn each_record_without_a_key_is_named_in_kafkas_words() {
        let topic = Topic {
            name: "orders".into(),
            id: TopicId([7; 16]),
            partitions: SmallVec::new(),
            config: TopicConfig::default().into(),
        };
        let error = ProduceError::WithoutKey {
            indexes: vec![1, 4],
            count: 2,
        };
        let refused = Refused::by_broker(&error, &topic, 3);
        assert_eq!(refused.error_code, ErrorCode::InvalidRecord);
        let named: Vec<_> = refused
            .record_errors
            .iter()
            .map(|record| {
                (
                    record.batch_index,
                    record.batch_index_error_message.as_ref().unwrap().as_str(),
                )
            })
            .collect();
        let words = "Compacted topic cannot accept message without key in topic partition orders-3.";
        assert_eq!(named, [(1, words), (4, words)]);

        let refused = Refused::by_broker(&ProduceError::Full, &topic, 3);
        assert!(refused.record_errors.is_empty());
    }
}

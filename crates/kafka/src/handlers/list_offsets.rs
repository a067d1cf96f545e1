use std::collections::HashSet;

use firth_broker::{At, OffsetAndTimestamp, Topic};
use firth_kafka_codec::{
    EARLIEST_LOCAL_TIMESTAMP, EARLIEST_PENDING_UPLOAD_TIMESTAMP, EARLIEST_TIMESTAMP, ErrorCode,
    LATEST_TIERED_TIMESTAMP, LATEST_TIMESTAMP, ListOffsetsPartition, ListOffsetsPartitionResponse,
    ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopicResponse, MAX_TIMESTAMP,
};

use super::{Answer, LEADER_EPOCH, check_leader_epoch};
use crate::error;
use crate::server::Client;

/// From this version on one offset is asked for, and before boundaries of what is stored together (KIP-79).
const OFFSET_MIN: i16 = 1;

pub(super) async fn handle(client: Client, version: i16, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for asked in request.topics {
        let topic = client.server.broker.topic(&asked.name);
        let repeated = repeated(&asked.partitions);
        let mut partitions = Vec::with_capacity(asked.partitions.len());
        for partition in asked.partitions {
            let index = partition.partition_index;
            partitions.push(if version < OFFSET_MIN {
                answer_of_old(index, boundaries(&client, version, topic.as_deref(), &partition))
            } else if repeated.contains(&index) {
                answer(index, Err(ErrorCode::InvalidRequest))
            } else {
                answer(index, find(&client, version, topic.as_deref(), &partition).await)
            });
        }
        topics.push(ListOffsetsTopicResponse {
            name: asked.name,
            partitions,
        });
    }
    ListOffsetsResponse {
        topics,
        ..Default::default()
    }
}

/// Partitions that are asked for more than once, which the protocol does not allow.
fn repeated(partitions: &[ListOffsetsPartition]) -> HashSet<i32> {
    let mut seen = HashSet::new();
    let indexes = partitions.iter().map(|partition| partition.partition_index);
    indexes.filter(|index| !seen.insert(*index)).collect()
}

async fn find(
    client: &Client,
    version: i16,
    topic: Option<&Topic>,
    asked: &ListOffsetsPartition,
) -> Result<Option<OffsetAndTimestamp>, ErrorCode> {
    let at = place(version, asked.timestamp)?;
    let topic = topic.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let broker = &client.server.broker;
    if broker.bounds(topic, asked.partition_index).is_none() {
        return Err(ErrorCode::UnknownTopicOrPartition);
    }
    check_leader_epoch(asked.current_leader_epoch)?;
    match at {
        None => Ok(None),
        Some(at) => {
            let found = broker.offset(topic, asked.partition_index, at).await;
            found.map_err(|error| error::of_read(&error))
        }
    }
}

fn boundaries(
    client: &Client,
    version: i16,
    topic: Option<&Topic>,
    asked: &ListOffsetsPartition,
) -> Result<Vec<i64>, ErrorCode> {
    let topic = topic.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let at = place(version, asked.timestamp)?.ok_or(ErrorCode::UnsupportedVersion)?;
    let broker = &client.server.broker;
    let mut offsets = broker
        .boundaries(topic, asked.partition_index, at)
        .map_err(|error| error::of_read(&error))?;
    offsets.truncate(usize::try_from(asked.max_num_offsets).unwrap_or(0));
    Ok(offsets)
}

/// What a timestamp stands for in a version; `None` for a place that no partition has. Without transactions the last
/// stable offset is the high watermark, so both isolation levels are answered alike.
fn place(version: i16, timestamp: i64) -> Result<Option<At>, ErrorCode> {
    match timestamp {
        0.. => Ok(Some(At::Timestamp(timestamp))),
        LATEST_TIMESTAMP => Ok(Some(At::Latest)),
        EARLIEST_TIMESTAMP => Ok(Some(At::Earliest)),
        MAX_TIMESTAMP if version >= 7 => Ok(Some(At::MaxTimestamp)),
        EARLIEST_LOCAL_TIMESTAMP if version >= 8 => Ok(Some(At::Earliest)),
        LATEST_TIERED_TIMESTAMP if version >= 9 => Ok(None),
        EARLIEST_PENDING_UPLOAD_TIMESTAMP if version >= 11 => Ok(None),
        _ => Err(ErrorCode::UnsupportedVersion),
    }
}

fn answer(
    partition_index: i32,
    found: Result<Option<OffsetAndTimestamp>, ErrorCode>,
) -> ListOffsetsPartitionResponse {
    let mut response = ListOffsetsPartitionResponse {
        partition_index,
        ..Default::default()
    };
    match found {
        Ok(Some(OffsetAndTimestamp { offset, timestamp })) => {
            response.offset = offset;
            response.timestamp = timestamp;
            response.leader_epoch = LEADER_EPOCH;
        }
        Ok(None) => {}
        Err(error_code) => response.error_code = error_code,
    }
    response
}

fn answer_of_old(partition_index: i32, found: Result<Vec<i64>, ErrorCode>) -> ListOffsetsPartitionResponse {
    let (error_code, old_style_offsets) = match found {
        Ok(offsets) => (ErrorCode::None, offsets),
        Err(error_code) => (error_code, Vec::new()),
    };
    ListOffsetsPartitionResponse {
        partition_index,
        error_code,
        old_style_offsets,
        ..Default::default()
    }
}

impl Answer for ListOffsetsResponse {
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        let partitions = self.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.map(|partition| partition.error_code)
    }
}

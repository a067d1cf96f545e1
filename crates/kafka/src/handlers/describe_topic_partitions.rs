use std::collections::BTreeSet;
use std::sync::Arc;

use firth_broker::Topic;
use firth_kafka_codec::{
    ByteStr, Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic, ErrorCode, Uuid,
};

use super::metadata::TOPIC_OPERATIONS;
use super::{Answer, LEADER_EPOCH, find_topic};
use crate::server::Client;

/// Partitions of one answer, whatever the client asks for (`max.request.partition.size.limit`).
const PARTITIONS_MAX: i32 = 2000;

pub(super) async fn handle(
    client: Client,
    request: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let limit = request.response_partition_limit.clamp(1, PARTITIONS_MAX);
    let cursor = request.cursor.as_ref();
    if cursor.is_some_and(|cursor| !is_valid(cursor, &request)) {
        return refused(&request);
    }
    let from = cursor.map_or("", |cursor| cursor.topic_name.as_str());
    if request.topics.is_empty() {
        let topics = client.server.broker.topics();
        let begin = topics.partition_point(|topic| *topic.name < *from);
        let found = topics.iter().skip(begin).map(|topic| Ok(topic.clone()));
        return page(&client, found, cursor, limit);
    }
    let names: BTreeSet<&str> = request.topics.iter().map(|topic| topic.name.as_str()).collect();
    let asked = names.into_iter().filter(|name| *name >= from);
    let found = asked.map(|name| match find_topic(&client, name) {
        Ok(topic) => Ok(topic),
        Err((error_code, _)) => Err((ByteStr::from(name), error_code)),
    });
    page(&client, found, cursor, limit)
}

/// A topic, or the name of one that there is not, and why.
type Found = Result<Arc<Topic>, (ByteStr, ErrorCode)>;

/// As many partitions as an answer may have, from the cursor on. `topics` are sorted by name.
fn page(
    client: &Client,
    topics: impl Iterator<Item = Found>,
    cursor: Option<&Cursor>,
    limit: i32,
) -> DescribeTopicPartitionsResponse {
    let mut response = DescribeTopicPartitionsResponse::default();
    let mut left = limit;
    for found in topics {
        let first = match (&found, cursor) {
            (Ok(topic), Some(cursor)) if cursor.topic_name == *topic.name => cursor.partition_index,
            _ => 0,
        };
        if left == 0 {
            let topic_name = found.map_or_else(|(name, _)| name, |topic| ByteStr::from(&*topic.name));
            response.next_cursor = Some(Cursor {
                topic_name,
                partition_index: 0,
            });
            return response;
        }
        let topic = match found {
            Ok(topic) => topic,
            Err((name, error_code)) => {
                response.topics.push(failed(name, error_code));
                continue;
            }
        };
        let end = topic.partition_indexes().end;
        let next = first.saturating_add(left).min(end);
        response.topics.push(described(client, &topic, first..next));
        left = left.saturating_sub(next.saturating_sub(first).max(0));
        if next < end {
            response.next_cursor = Some(Cursor {
                topic_name: ByteStr::from(&*topic.name),
                partition_index: next,
            });
            return response;
        }
    }
    response
}

fn is_valid(cursor: &Cursor, request: &DescribeTopicPartitionsRequest) -> bool {
    let mut topics = request.topics.iter();
    let names_it = request.topics.is_empty() || topics.any(|topic| topic.name == cursor.topic_name);
    names_it && cursor.partition_index >= 0
}

fn refused(request: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let topics = request
        .topics
        .iter()
        .map(|topic| DescribeTopicPartitionsResponseTopic {
            error_code: ErrorCode::InvalidRequest,
            name: Some(topic.name.clone()),
            ..Default::default()
        });
    DescribeTopicPartitionsResponse {
        topics: topics.collect(),
        ..Default::default()
    }
}

fn failed(name: ByteStr, error_code: ErrorCode) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic {
        error_code,
        name: Some(name),
        topic_authorized_operations: TOPIC_OPERATIONS,
        ..Default::default()
    }
}

fn described(
    client: &Client,
    topic: &Topic,
    indexes: std::ops::Range<i32>,
) -> DescribeTopicPartitionsResponseTopic {
    let node_id = client.server.config.node_id;
    let partition = |partition_index| DescribeTopicPartitionsResponsePartition {
        partition_index,
        leader_id: node_id,
        leader_epoch: LEADER_EPOCH,
        replica_nodes: vec![node_id],
        isr_nodes: vec![node_id],
        eligible_leader_replicas: Some(Vec::new()),
        last_known_elr: Some(Vec::new()),
        ..Default::default()
    };
    DescribeTopicPartitionsResponseTopic {
        name: Some(ByteStr::from(&*topic.name)),
        topic_id: Uuid(topic.id.0),
        partitions: indexes.map(partition).collect(),
        topic_authorized_operations: TOPIC_OPERATIONS,
        ..Default::default()
    }
}

impl Answer for DescribeTopicPartitionsResponse {
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        self.topics.iter().map(|topic| topic.error_code)
    }
}

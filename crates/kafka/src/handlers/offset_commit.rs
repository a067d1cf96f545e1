use std::sync::Arc;

use firth_broker::{Topic, TopicId};
use firth_kafka_codec::{
    ErrorCode, OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use smallvec::smallvec;

use super::{Answer, Commits, Durable, OFFSETS_BY_ID_MIN, durable, owned};
use crate::groups::{CommittedPartition, OffsetsToCommit};
use crate::server::Client;

/// The first version that can be told that there is no such group.
const GROUP_ID_NOT_FOUND_MIN: i16 = 9;
/// Where a client leaves a time to the broker.
const NO_TIME: i64 = -1;

/// Offsets of partitions that do not exist are refused each for itself; what the group refuses, it refuses together.
pub(super) async fn handle(
    client: Client,
    version: i16,
    request: OffsetCommitRequest,
) -> Durable<OffsetCommitResponse> {
    let mut known = Vec::new();
    let topics = request.topics.iter();
    let topics = topics.filter_map(|asked| check(&client, version, asked, &mut known));
    let mut topics: Vec<_> = topics.collect();
    if known.is_empty() {
        return durable(respond(topics));
    }
    let count = known.len();
    let commit = OffsetsToCommit {
        member_id: owned(&request.member_id),
        instance_id: request.group_instance_id.as_ref().map(owned),
        generation: request.generation_id_or_member_epoch,
        retention_ms: Some(request.retention_time_ms).filter(|ms| *ms != NO_TIME),
        partitions: known,
    };
    let (results, commits) = take(&client, version, &request.group_id, &commit);
    let mut results = results
        .unwrap_or_else(|error_code| vec![error_code; count])
        .into_iter();
    let partitions = topics.iter_mut().flat_map(|topic| &mut topic.partitions);
    let mut stored = 0_usize;
    for partition in partitions.filter(|partition| partition.error_code == ErrorCode::None) {
        partition.error_code = results.next().unwrap_or(ErrorCode::NotCoordinator);
        stored = stored.saturating_add(usize::from(partition.error_code == ErrorCode::None));
    }
    client.server.metrics.committed(stored);
    (respond(topics), commits)
}

/// The answer as far as it does not depend on the group, and what the group is to take. Of a topic that exists, and of which nothing
/// is to be taken, Apache Kafka says nothing either.
fn check(
    client: &Client,
    version: i16,
    asked: &OffsetCommitRequestTopic,
    known: &mut Vec<CommittedPartition>,
) -> Option<OffsetCommitResponseTopic> {
    let topic = find(client, version, asked);
    if topic.is_ok() && asked.partitions.is_empty() {
        return None;
    }
    let partitions = asked.partitions.iter().map(|partition| {
        let error_code = match &topic {
            Ok(topic) if topic.log(partition.partition_index).is_some() => {
                known.push(committed(topic.id, partition));
                ErrorCode::None
            }
            Ok(_) => ErrorCode::UnknownTopicOrPartition,
            Err(error_code) => *error_code,
        };
        OffsetCommitResponsePartition {
            partition_index: partition.partition_index,
            error_code,
        }
    });
    Some(OffsetCommitResponseTopic {
        partitions: partitions.collect(),
        name: asked.name.clone(),
        topic_id: asked.topic_id,
    })
}

fn find(client: &Client, version: i16, asked: &OffsetCommitRequestTopic) -> Result<Arc<Topic>, ErrorCode> {
    let broker = &client.server.broker;
    match version {
        OFFSETS_BY_ID_MIN.. => broker
            .topic_by_id(TopicId(asked.topic_id.0))
            .ok_or(ErrorCode::UnknownTopicId),
        _ => broker
            .topic(&asked.name)
            .ok_or(ErrorCode::UnknownTopicOrPartition),
    }
}

fn committed(topic: TopicId, partition: &OffsetCommitRequestPartition) -> CommittedPartition {
    CommittedPartition {
        topic,
        partition: partition.partition_index,
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        committed_ms: Some(partition.commit_timestamp).filter(|ms| *ms != NO_TIME),
        metadata: partition.committed_metadata.as_deref().unwrap_or_default().into(),
    }
}

/// What the group says. Who belongs to no generation may commit to a group that does not exist yet.
fn take(
    client: &Client,
    version: i16,
    group: &str,
    commit: &OffsetsToCommit,
) -> (Result<Vec<ErrorCode>, ErrorCode>, Commits) {
    let groups = &client.server.groups;
    if commit.generation < 0 {
        let (results, durable) = groups.with_new(group, |group, turn| group.commit(commit, turn));
        return (results, smallvec![durable]);
    }
    match groups.with(group, |group, turn| group.commit(commit, turn)) {
        Some((results, durable)) => (results, smallvec![durable]),
        None if version >= GROUP_ID_NOT_FOUND_MIN => (Err(ErrorCode::GroupIdNotFound), smallvec![]),
        None => (Err(ErrorCode::IllegalGeneration), smallvec![]),
    }
}

fn respond(topics: Vec<OffsetCommitResponseTopic>) -> OffsetCommitResponse {
    OffsetCommitResponse {
        topics,
        ..Default::default()
    }
}

impl Answer for OffsetCommitResponse {
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        let partitions = self.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.map(|partition| partition.error_code)
    }
}

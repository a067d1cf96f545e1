use std::iter;
use std::sync::Arc;

use firth_broker::{Topic, TopicId};
use firth_kafka_codec::{
    ByteStr, ErrorCode, OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic,
    OffsetFetchRequestTopics, OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics, Uuid,
};

use super::{Answer, Commits, Durable, OFFSETS_BY_ID_MIN};
use crate::groups::{Committed, Group};
use crate::server::Client;

/// Several groups are asked for from this version on (KIP-709).
const BATCHED_MIN: i16 = 8;
/// Where nothing was committed.
const NO_OFFSET: i64 = -1;

/// What a group does not have is no error. Offsets of transactions there are none, so all are stable (KIP-447).
pub(super) async fn handle(
    client: Client,
    version: i16,
    request: OffsetFetchRequest,
) -> Durable<OffsetFetchResponse> {
    let mut commits = Commits::new();
    if version >= BATCHED_MIN {
        let groups = request.groups.into_iter();
        let groups = groups.map(|asked| fetch(&client, version, asked, &mut commits));
        let response = OffsetFetchResponse {
            groups: groups.collect(),
            ..Default::default()
        };
        return (response, commits);
    }
    let topic = |topic: OffsetFetchRequestTopic| OffsetFetchRequestTopics {
        name: topic.name,
        partition_indexes: topic.partition_indexes,
        ..Default::default()
    };
    let asked = OffsetFetchRequestGroup {
        group_id: request.group_id,
        topics: request
            .topics
            .map(|topics| topics.into_iter().map(topic).collect()),
        ..Default::default()
    };
    let group = fetch(&client, version, asked, &mut commits);
    let response = OffsetFetchResponse {
        error_code: group.error_code,
        topics: group.topics.into_iter().map(alone).collect(),
        ..Default::default()
    };
    (response, commits)
}

/// As the versions that ask for one group have it.
fn alone(topic: OffsetFetchResponseTopics) -> OffsetFetchResponseTopic {
    let partitions = topic
        .partitions
        .into_iter()
        .map(|partition| OffsetFetchResponsePartition {
            partition_index: partition.partition_index,
            committed_offset: partition.committed_offset,
            committed_leader_epoch: partition.committed_leader_epoch,
            metadata: partition.metadata,
            error_code: partition.error_code,
        });
    OffsetFetchResponseTopic {
        name: topic.name,
        partitions: partitions.collect(),
    }
}

fn fetch(
    client: &Client,
    version: i16,
    asked: OffsetFetchRequestGroup,
    commits: &mut Commits,
) -> OffsetFetchResponseGroup {
    let OffsetFetchRequestGroup { group_id, topics, .. } = asked;
    let found = client.server.groups.with(&group_id, |group, _| match &topics {
        Some(topics) => named(client, version, topics, Some(group)),
        None => all(client, group),
    });
    let topics = match found {
        Some((topics, commit)) => {
            commits.push(commit);
            topics
        }
        None => named(client, version, topics.as_deref().unwrap_or_default(), None),
    };
    OffsetFetchResponseGroup {
        group_id,
        topics,
        ..Default::default()
    }
}

/// Those of topics that exist: of others nobody could read on.
fn all(client: &Client, group: &Group) -> Vec<OffsetFetchResponseTopics> {
    let topics = group.offsets().topics().filter_map(|(id, partitions)| {
        let topic = client.server.broker.topic_by_id(id)?;
        let partitions = partitions
            .iter()
            .map(|(partition, committed)| answer(*partition, Some(committed)));
        Some(OffsetFetchResponseTopics {
            name: ByteStr::from(&*topic.name),
            topic_id: Uuid(id.0),
            partitions: partitions.collect(),
        })
    });
    topics.collect()
}

fn named(
    client: &Client,
    version: i16,
    topics: &[OffsetFetchRequestTopics],
    group: Option<&Group>,
) -> Vec<OffsetFetchResponseTopics> {
    let topics = topics.iter().map(|asked| {
        let topic = find(client, version, asked);
        let unknown = match &topic {
            None if version >= OFFSETS_BY_ID_MIN => ErrorCode::UnknownTopicId,
            _ => ErrorCode::None,
        };
        let partitions = asked.partition_indexes.iter().map(|partition| {
            let committed = topic
                .as_ref()
                .zip(group)
                .and_then(|(topic, group)| group.offsets().get(topic.id, *partition));
            OffsetFetchResponsePartitions {
                error_code: unknown,
                ..answer(*partition, committed)
            }
        });
        OffsetFetchResponseTopics {
            name: asked.name.clone(),
            topic_id: asked.topic_id,
            partitions: partitions.collect(),
        }
    });
    topics.collect()
}

fn find(client: &Client, version: i16, asked: &OffsetFetchRequestTopics) -> Option<Arc<Topic>> {
    let broker = &client.server.broker;
    match version {
        OFFSETS_BY_ID_MIN.. => broker.topic_by_id(TopicId(asked.topic_id.0)),
        _ => broker.topic(&asked.name),
    }
}

fn answer(partition_index: i32, committed: Option<&Committed>) -> OffsetFetchResponsePartitions {
    let none = OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: NO_OFFSET,
        ..Default::default()
    };
    match committed {
        Some(committed) => OffsetFetchResponsePartitions {
            committed_offset: committed.offset,
            committed_leader_epoch: committed.leader_epoch,
            metadata: Some(ByteStr::from(&*committed.metadata)),
            ..none
        },
        None => none,
    }
}

impl Answer for OffsetFetchResponse {
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        let of_groups = self.groups.iter().flat_map(|group| &group.topics);
        let partitions = of_groups.flat_map(|topic| &topic.partitions);
        let of_groups = self.groups.iter().map(|group| group.error_code);
        iter::once(self.error_code)
            .chain(of_groups)
            .chain(partitions.map(|partition| partition.error_code))
    }
}

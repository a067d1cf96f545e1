use std::iter;

use firth_kafka_codec::{
    ErrorCode, OffsetDeleteRequest, OffsetDeleteRequestTopic, OffsetDeleteResponse,
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use smallvec::smallvec;

use super::{Answer, Durable, durable};
use crate::server::Client;

pub(super) async fn handle(client: Client, request: OffsetDeleteRequest) -> Durable<OffsetDeleteResponse> {
    let refused = |error_code| OffsetDeleteResponse {
        error_code,
        ..Default::default()
    };
    if request.group_id.is_empty() {
        return durable(refused(ErrorCode::InvalidGroupId));
    }
    let deleted = client.server.groups.with(&request.group_id, |group, turn| {
        group.check_delete_offsets()?;
        let topics = request.topics.iter().map(|asked| {
            let indexes: Vec<_> = asked
                .partitions
                .iter()
                .map(|asked| asked.partition_index)
                .collect();
            let error_code = match client.server.broker.topic(&asked.name) {
                Some(topic) => group.delete_offsets(&asked.name, topic.id, &indexes, turn)?,
                None => ErrorCode::UnknownTopicOrPartition,
            };
            Ok(answer(asked, error_code))
        });
        topics.collect::<Result<Vec<_>, ErrorCode>>()
    });
    match deleted {
        Some((Ok(topics), commit)) => {
            let response = OffsetDeleteResponse {
                topics,
                ..Default::default()
            };
            (response, smallvec![commit])
        }
        Some((Err(error_code), commit)) => (refused(error_code), smallvec![commit]),
        None => durable(refused(ErrorCode::GroupIdNotFound)),
    }
}

fn answer(asked: &OffsetDeleteRequestTopic, error_code: ErrorCode) -> OffsetDeleteResponseTopic {
    let partitions = asked
        .partitions
        .iter()
        .map(|asked| OffsetDeleteResponsePartition {
            partition_index: asked.partition_index,
            error_code,
        });
    OffsetDeleteResponseTopic {
        name: asked.name.clone(),
        partitions: partitions.collect(),
    }
}

impl Answer for OffsetDeleteResponse {
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        let partitions = self.topics.iter().flat_map(|topic| &topic.partitions);
        iter::once(self.error_code).chain(partitions.map(|partition| partition.error_code))
    }
}

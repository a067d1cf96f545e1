use std::iter;

use firth_broker::Topic;
use firth_kafka_codec::{
    ElectLeadersPartitionResult, ElectLeadersRequest, ElectLeadersResponse, ErrorCode, ReplicaElectionResult,
};

use super::{Answer, Refused, refused};
use crate::server::Client;

/// The one broker leads every partition, so no election is ever needed.
pub(super) async fn handle(client: Client, request: ElectLeadersRequest) -> ElectLeadersResponse {
    let is_known = matches!(request.election_type, 0 | 1);
    let unknown = format!("there is no election of type {}", request.election_type);
    let asked = request.topic_partitions.unwrap_or_default().into_iter();
    let results = asked.map(|asked| {
        let topic = client.server.broker.topic(&asked.topic);
        let elected = |index: &i32| match is_known {
            true => elect(topic.as_deref(), *index),
            false => refused(ErrorCode::InvalidRequest, &unknown),
        };
        let result = |index: &i32| {
            let (error_code, error_message) = elected(index);
            ElectLeadersPartitionResult {
                partition_id: *index,
                error_code,
                error_message,
            }
        };
        ReplicaElectionResult {
            partition_result: asked.partitions.iter().map(result).collect(),
            topic: asked.topic,
        }
    });
    ElectLeadersResponse {
        replica_election_results: results.collect(),
        error_code: if is_known {
            ErrorCode::None
        } else {
            ErrorCode::InvalidRequest
        },
        ..Default::default()
    }
}

fn elect(topic: Option<&Topic>, index: i32) -> Refused {
    match topic {
        Some(topic) if topic.partition_indexes().contains(&index) => refused(
            ErrorCode::ElectionNotNeeded,
            &"the leader is the only replica that there is",
        ),
        Some(_) => refused(
            ErrorCode::UnknownTopicOrPartition,
            &"this topic has no such partition",
        ),
        None => refused(ErrorCode::UnknownTopicOrPartition, &"this topic does not exist"),
    }
}

impl Answer for ElectLeadersResponse {
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        iter::once(self.error_code)
    }
}

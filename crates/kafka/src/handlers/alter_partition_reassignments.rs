use firth_broker::Topic;
use firth_kafka_codec::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ErrorCode,
    ReassignablePartition, ReassignablePartitionResponse, ReassignableTopicResponse,
};

use super::{Answer, Refused, refused};
use crate::server::Client;

/// There is no other broker to move anything to: a partition stays where it is, or the request is refused.
pub(super) async fn handle(
    client: Client,
    request: AlterPartitionReassignmentsRequest,
) -> AlterPartitionReassignmentsResponse {
    let responses = request.topics.into_iter().map(|asked| {
        let topic = client.server.broker.topic(&asked.name);
        let partitions = asked.partitions.iter().map(|partition| {
            let done = reassign(&client, topic.as_deref(), partition);
            let (error_code, error_message) = done.err().unwrap_or((ErrorCode::None, None));
            ReassignablePartitionResponse {
                partition_index: partition.partition_index,
                error_code,
                error_message,
            }
        });
        ReassignableTopicResponse {
            partitions: partitions.collect(),
            name: asked.name,
        }
    });
    AlterPartitionReassignmentsResponse {
        allow_replication_factor_change: request.allow_replication_factor_change,
        error_message: None,
        responses: responses.collect(),
        ..Default::default()
    }
}

fn reassign(client: &Client, topic: Option<&Topic>, asked: &ReassignablePartition) -> Result<(), Refused> {
    let unknown = |reason: &str| Err(refused(ErrorCode::UnknownTopicOrPartition, &reason));
    let Some(topic) = topic else {
        return unknown("this topic does not exist");
    };
    if !topic.partition_indexes().contains(&asked.partition_index) {
        return unknown("this topic has no such partition");
    }
    let node_id = client.server.config.node_id;
    match asked.replicas.as_deref() {
        Some([broker]) if *broker == node_id => Ok(()),
        Some(_) => {
            let reason = format!("the replicas of a partition are broker {node_id}, as there is no other");
            Err(refused(ErrorCode::InvalidReplicaAssignment, &reason))
        }
        None => Err(refused(
            ErrorCode::NoReassignmentInProgress,
            &"the partition is not being moved",
        )),
    }
}

impl Answer for AlterPartitionReassignmentsResponse {
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        let partitions = self.responses.iter().flat_map(|topic| &topic.partitions);
        partitions.map(|partition| partition.error_code)
    }
}

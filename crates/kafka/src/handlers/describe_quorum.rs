//! The log of definitions is to Firth what its log of metadata is to Apache Kafka: what a controller would have decided lies there.
//! Consoles ask for it to learn who leads the cluster, and whether it has ZooKeeper.

use std::iter;

use firth_kafka_codec::{
    ByteStr, DescribeQuorumPartition, DescribeQuorumRequest, DescribeQuorumRequestTopic,
    DescribeQuorumResponse, DescribeQuorumTopic, ErrorCode, QuorumListener, QuorumNode, QuorumReplica,
};

use super::metadata::own_address;
use super::{Answer, LEADER_EPOCH};
use crate::server::Client;

/// Apache Kafka's name for its log of metadata, which has one partition.
const METADATA_TOPIC: &str = "__cluster_metadata";
const METADATA_PARTITION: i32 = 0;
/// As clients know the one listener that there is.
const LISTENER: ByteStr = ByteStr::from_static("PLAINTEXT");

pub(super) async fn handle(client: Client, request: DescribeQuorumRequest) -> DescribeQuorumResponse {
    let own = own_address(&client);
    let topics = request.topics.into_iter().map(|topic| describe(&client, topic));
    DescribeQuorumResponse {
        error_message: None,
        topics: topics.collect(),
        nodes: vec![QuorumNode {
            node_id: own.node_id,
            listeners: vec![QuorumListener {
                name: LISTENER,
                host: own.host,
                port: u16::try_from(own.port).unwrap_or(0),
            }],
        }],
        ..Default::default()
    }
}

fn describe(client: &Client, topic: DescribeQuorumRequestTopic) -> DescribeQuorumTopic {
    let is_metadata = topic.topic_name == METADATA_TOPIC;
    let partitions = topic.partitions.iter().map(|partition| {
        let index = partition.partition_index;
        match is_metadata && index == METADATA_PARTITION {
            true => metadata(client),
            false => DescribeQuorumPartition {
                partition_index: index,
                error_code: ErrorCode::UnknownTopicOrPartition,
                error_message: None,
                ..Default::default()
            },
        }
    });
    DescribeQuorumTopic {
        partitions: partitions.collect(),
        topic_name: topic.topic_name,
    }
}

/// The one replica leads, and is never behind.
fn metadata(client: &Client) -> DescribeQuorumPartition {
    let broker = &client.server.broker;
    let (node_id, end, now_ms) = (
        client.server.config.node_id,
        broker.definitions_end(),
        broker.clock().wall_ms(),
    );
    DescribeQuorumPartition {
        partition_index: METADATA_PARTITION,
        error_message: None,
        leader_id: node_id,
        leader_epoch: LEADER_EPOCH,
        high_watermark: end,
        current_voters: vec![QuorumReplica {
            replica_id: node_id,
            log_end_offset: end,
            last_fetch_timestamp: now_ms,
            last_caught_up_timestamp: now_ms,
            ..Default::default()
        }],
        ..Default::default()
    }
}

impl Answer for DescribeQuorumResponse {
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        let partitions = self.topics.iter().flat_map(|topic| &topic.partitions);
        iter::once(self.error_code).chain(partitions.map(|partition| partition.error_code))
    }
}

use std::net::IpAddr;

use firth_broker::{DefineError, Topic, TopicId};
use firth_kafka_codec::{
    AUTHORIZED_OPERATIONS_UNKNOWN, ByteStr, ErrorCode, MetadataRequest, MetadataRequestTopic,
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic, Uuid,
};

use super::{Answer, LEADER_EPOCH};
use crate::error;
use crate::server::Client;

/// The first version in which a topic without a name can be answered.
const NULL_NAME_MIN: i16 = 12;

/// Everything that can be done to a topic, as bits of the protocol's operations: nobody is refused anything yet.
const TOPIC_OPERATIONS: i32 = 0x0df8;
/// Everything that can be done to the cluster.
const CLUSTER_OPERATIONS: i32 = 0x1fa0;

pub(super) async fn handle(client: &Client, version: i16, request: MetadataRequest) -> MetadataResponse {
    let broker = &client.server.broker;
    let wants_all = request.wants_all_topics(version);
    let mut topics: Vec<_> = if wants_all {
        broker
            .topics()
            .iter()
            .map(|topic| described(client, topic))
            .collect()
    } else {
        let asked = request.topics.unwrap_or_default();
        let mut topics = Vec::with_capacity(asked.len());
        for topic in asked {
            topics.push(find(client, topic, request.allow_auto_topic_creation).await);
        }
        topics
    };
    if request.include_topic_authorized_operations {
        for topic in topics
            .iter_mut()
            .filter(|topic| topic.error_code == ErrorCode::None)
        {
            topic.topic_authorized_operations = TOPIC_OPERATIONS;
        }
    }
    if version < NULL_NAME_MIN {
        for topic in &mut topics {
            topic.name.get_or_insert_default();
        }
    }
    let config = &client.server.config;
    MetadataResponse {
        brokers: vec![own_address(client)],
        cluster_id: Some(ByteStr::from(broker.cluster_id().to_string())),
        controller_id: config.node_id,
        topics,
        cluster_authorized_operations: if request.include_cluster_authorized_operations {
            CLUSTER_OPERATIONS
        } else {
            AUTHORIZED_OPERATIONS_UNKNOWN
        },
        ..Default::default()
    }
}

/// Where clients are to connect: the address that this one used, unless another is advertised. So a client behind a
/// tunnel or on another interface is not sent to a place that it cannot reach.
fn own_address(client: &Client) -> MetadataResponseBroker {
    let config = &client.server.config;
    let (host, port) = match &config.advertise {
        Some((host, port)) => (ByteStr::from(host.as_str()), *port),
        None => {
            let ip: IpAddr = client.local.ip().to_canonical();
            (ByteStr::from(ip.to_string()), client.local.port())
        }
    };
    MetadataResponseBroker {
        node_id: config.node_id,
        host,
        port: i32::from(port),
        rack: None,
    }
}

async fn find(client: &Client, asked: MetadataRequestTopic, may_create: bool) -> MetadataResponseTopic {
    let broker = &client.server.broker;
    let MetadataRequestTopic { name, topic_id } = asked;
    let failed = |name, topic_id, error_code| MetadataResponseTopic {
        error_code,
        name,
        topic_id,
        ..Default::default()
    };
    let name = match name {
        Some(name) if topic_id.is_zero() => name,
        name if topic_id.is_zero() => return failed(name, topic_id, ErrorCode::InvalidRequest),
        _ => {
            return match broker.topic_by_id(TopicId(topic_id.0)) {
                Some(topic) => described(client, &topic),
                None => failed(None, topic_id, ErrorCode::UnknownTopicId),
            };
        }
    };
    let found = match broker.topic(&name) {
        Some(topic) => Ok(topic),
        None if may_create => broker.topic_or_create(&name).await,
        None => Err(DefineError::UnknownTopic),
    };
    match found {
        Ok(topic) => described(client, &topic),
        Err(error) => failed(Some(name), Uuid::ZERO, error::of_define(&error)),
    }
}

fn described(client: &Client, topic: &Topic) -> MetadataResponseTopic {
    let node_id = client.server.config.node_id;
    let partitions = topic
        .partition_indexes()
        .map(|partition_index| MetadataResponsePartition {
            partition_index,
            leader_id: node_id,
            leader_epoch: LEADER_EPOCH,
            replica_nodes: vec![node_id],
            isr_nodes: vec![node_id],
            ..Default::default()
        });
    MetadataResponseTopic {
        name: Some(ByteStr::from(&*topic.name)),
        topic_id: Uuid(topic.id.0),
        partitions: partitions.collect(),
        ..Default::default()
    }
}

impl Answer for MetadataResponse {
    fn has_error(&self) -> bool {
        self.topics
            .iter()
            .any(|topic| topic.error_code != ErrorCode::None)
    }
}

use std::net::IpAddr;

use firth_broker::{DefineError, Topic, TopicId};
use firth_kafka_codec::{
    AUTHORIZED_OPERATIONS_UNKNOWN, ByteStr, ErrorCode, MetadataRequest, MetadataRequestTopic,
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic, Uuid,
};
use smallvec::smallvec;

use super::{Answer, LEADER_EPOCH, once};
use crate::error;
use crate::server::Client;

/// The first version in which a topic without a name can be answered.
const NULL_NAME_MIN: i16 = 12;

/// Everything that can be done to a topic, as bits of the protocol's operations: nobody is refused anything yet.
pub(super) const TOPIC_OPERATIONS: i32 = 0x0df8;
/// Everything that can be done to the cluster.
pub(super) const CLUSTER_OPERATIONS: i32 = 0x1fa0;

pub(super) async fn handle(client: Client, version: i16, request: MetadataRequest) -> MetadataResponse {
    let broker = &client.server.broker;
    let wants_all = request.wants_all_topics(version);
    let mut topics: Vec<_> = if wants_all {
        broker
            .topics()
            .iter()
            .map(|topic| described(&client, topic))
            .collect()
    } else {
        let asked = request.topics.unwrap_or_default();
        find(&client, asked, request.allow_auto_topic_creation).await
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
        brokers: vec![own_address(&client)],
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
pub(super) fn own_address(client: &Client) -> MetadataResponseBroker {
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

/// Each topic that is asked for, once. Those that are named and do not exist are created together.
async fn find(
    client: &Client,
    asked: Vec<MetadataRequestTopic>,
    may_create: bool,
) -> Vec<MetadataResponseTopic> {
    let broker = &client.server.broker;
    let asked = once(asked, |topic| (topic.name.clone(), topic.topic_id));
    let names: Vec<&str> = asked.iter().filter_map(|(topic, _)| name_of(topic)).collect();
    let named = if may_create {
        broker.topics_or_create(&names).await
    } else {
        let named = names
            .iter()
            .map(|name| broker.topic(name).ok_or(DefineError::UnknownTopic));
        named.collect()
    };
    let mut named = named.into_iter();
    let answer = |(asked, _): (MetadataRequestTopic, bool)| match name_of(&asked).and_then(|_| named.next()) {
        Some(Ok(topic)) => described(client, &topic),
        Some(Err(error)) => failed(asked.name, Uuid::ZERO, error::of_define(&error)),
        None if asked.topic_id.is_zero() => failed(asked.name, Uuid::ZERO, ErrorCode::InvalidRequest),
        None => match broker.topic_by_id(TopicId(asked.topic_id.0)) {
            Some(topic) => described(client, &topic),
            None => failed(None, asked.topic_id, ErrorCode::UnknownTopicId),
        },
    };
    asked.into_iter().map(answer).collect()
}

/// The name of a topic that is named and not identified.
fn name_of(asked: &MetadataRequestTopic) -> Option<&str> {
    let name = asked.name.as_ref().filter(|_| asked.topic_id.is_zero());
    name.map(ByteStr::as_str)
}

fn failed(name: Option<ByteStr>, topic_id: Uuid, error_code: ErrorCode) -> MetadataResponseTopic {
    MetadataResponseTopic {
        error_code,
        name,
        topic_id,
        ..Default::default()
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
            replica_nodes: smallvec![node_id],
            isr_nodes: smallvec![node_id],
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
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        self.topics.iter().map(|topic| topic.error_code)
    }
}

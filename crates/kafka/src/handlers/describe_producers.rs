use firth_broker::{ActiveProducer, Topic};
use firth_kafka_codec::{
    DescribeProducersPartitionResponse, DescribeProducersRequest, DescribeProducersResponse,
    DescribeProducersTopicResponse, ErrorCode, ProducerState,
};

use super::{Answer, find_topic, message, once};
use crate::server::Client;

pub(super) async fn handle(client: Client, request: DescribeProducersRequest) -> DescribeProducersResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for (asked, _) in once(request.topics, |topic| topic.name.clone()) {
        let found = find_topic(&client, &asked.name);
        let indexes = once(asked.partition_indexes, |index| *index);
        let partitions = indexes.into_iter().map(|(index, _)| match &found {
            Ok(topic) => described(&client, topic, index),
            Err((error_code, error_message)) => DescribeProducersPartitionResponse {
                partition_index: index,
                error_code: *error_code,
                error_message: error_message.clone(),
                ..Default::default()
            },
        });
        topics.push(DescribeProducersTopicResponse {
            partitions: partitions.collect(),
            name: asked.name,
        });
    }
    DescribeProducersResponse {
        topics,
        ..Default::default()
    }
}

fn described(client: &Client, topic: &Topic, partition_index: i32) -> DescribeProducersPartitionResponse {
    let Some(producers) = client.server.broker.producers(topic, partition_index) else {
        return DescribeProducersPartitionResponse {
            partition_index,
            error_code: ErrorCode::UnknownTopicOrPartition,
            error_message: message(&"this topic has no such partition"),
            ..Default::default()
        };
    };
    DescribeProducersPartitionResponse {
        partition_index,
        active_producers: producers.iter().map(state).collect(),
        ..Default::default()
    }
}

fn state(producer: &ActiveProducer) -> ProducerState {
    ProducerState {
        producer_id: producer.producer_id,
        producer_epoch: i32::from(producer.epoch),
        last_sequence: producer.last_sequence,
        last_timestamp: producer.last_timestamp,
        // No coordinator has written a marker, as there are no transactions.
        coordinator_epoch: -1,
        current_txn_start_offset: -1,
    }
}

impl Answer for DescribeProducersResponse {
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        let partitions = self.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.map(|partition| partition.error_code)
    }
}

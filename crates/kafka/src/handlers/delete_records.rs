use firth_kafka_codec::{
    DeleteRecordsPartition, DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteRecordsTopicResult, ErrorCode,
};

use super::Answer;
use crate::error;
use crate::server::Client;

/// Stands for all records that can be read now.
const HIGH_WATERMARK: i64 = -1;

pub(super) async fn handle(client: Client, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in topic.partitions {
            let index = partition.partition_index;
            partitions.push(match delete(&client, &topic.name, partition).await {
                Ok(low_watermark) => DeleteRecordsPartitionResult {
                    partition_index: index,
                    low_watermark,
                    error_code: ErrorCode::None,
                },
                Err(error_code) => DeleteRecordsPartitionResult {
                    partition_index: index,
                    low_watermark: -1,
                    error_code,
                },
            });
        }
        topics.push(DeleteRecordsTopicResult {
            name: topic.name,
            partitions,
        });
    }
    DeleteRecordsResponse {
        topics,
        ..Default::default()
    }
}

async fn delete(client: &Client, name: &str, partition: DeleteRecordsPartition) -> Result<i64, ErrorCode> {
    let broker = &client.server.broker;
    let topic = broker.topic(name).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let before = (partition.offset != HIGH_WATERMARK).then_some(partition.offset);
    let deleted = broker
        .delete_records(&topic, partition.partition_index, before)
        .await;
    deleted.map_err(|error| error::of_read(&error))
}

impl Answer for DeleteRecordsResponse {
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        let partitions = self.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.map(|partition| partition.error_code)
    }
}

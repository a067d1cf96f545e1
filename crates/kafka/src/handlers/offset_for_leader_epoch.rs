use firth_broker::Topic;
use firth_kafka_codec::{
    ErrorCode, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderPartition,
    OffsetForLeaderPartitionResult, OffsetForLeaderTopicResult,
};

use super::{Answer, LEADER_EPOCH, check_leader_epoch};
use crate::server::Client;

pub(super) async fn handle(
    client: Client,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let topics = request.topics.into_iter().map(|asked| {
        let topic = client.server.broker.topic(&asked.topic);
        let partitions = asked.partitions.iter().map(|partition| {
            let end_offset = end_offset(&client, topic.as_deref(), partition);
            result(partition.partition, end_offset)
        });
        OffsetForLeaderTopicResult {
            partitions: partitions.collect(),
            topic: asked.topic,
        }
    });
    OffsetForLeaderEpochResponse {
        topics: topics.collect(),
        ..Default::default()
    }
}

/// Where the records of the epoch end, which is the only one that there ever was; None for any other.
fn end_offset(
    client: &Client,
    topic: Option<&Topic>,
    asked: &OffsetForLeaderPartition,
) -> Result<Option<i64>, ErrorCode> {
    let bounds = topic.and_then(|topic| client.server.broker.bounds(topic, asked.partition));
    let bounds = bounds.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    check_leader_epoch(asked.current_leader_epoch)?;
    Ok((asked.leader_epoch == LEADER_EPOCH).then_some(bounds.end))
}

fn result(partition: i32, end_offset: Result<Option<i64>, ErrorCode>) -> OffsetForLeaderPartitionResult {
    let mut result = OffsetForLeaderPartitionResult {
        partition,
        ..Default::default()
    };
    match end_offset {
        Ok(Some(end_offset)) => {
            result.leader_epoch = LEADER_EPOCH;
            result.end_offset = end_offset;
        }
        Ok(None) => {}
        Err(error_code) => result.error_code = error_code,
    }
    result
}

impl Answer for OffsetForLeaderEpochResponse {
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        let partitions = self.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.map(|partition| partition.error_code)
    }
}

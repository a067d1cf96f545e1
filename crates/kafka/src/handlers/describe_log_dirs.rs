use std::collections::BTreeSet;
use std::iter;

use firth_broker::Topic;
use firth_kafka_codec::{
    ByteStr, DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse,
    DescribeLogDirsResult, DescribeLogDirsTopic, ErrorCode,
};

use super::{Answer, once};
use crate::server::Client;

/// Partitions that are looked at before others get the thread.
const PARTITIONS_PER_TURN: usize = 256;

pub(super) async fn handle(client: Client, request: DescribeLogDirsRequest) -> DescribeLogDirsResponse {
    let broker = &client.server.broker;
    let mut turn = 0;
    let mut topics = Vec::new();
    match request.topics {
        None => {
            for topic in broker.topics().iter() {
                let described = described(&client, topic, topic.partition_indexes(), &mut turn).await;
                topics.extend(described);
            }
        }
        Some(asked) => {
            for (asked, _) in once(asked, |topic| topic.topic.clone()) {
                if let Some(topic) = broker.topic(&asked.topic) {
                    let indexes: BTreeSet<i32> = asked.partitions.into_iter().collect();
                    topics.extend(described(&client, &topic, indexes, &mut turn).await);
                }
            }
        }
    }
    let disk = broker.disk_usage();
    let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let result = DescribeLogDirsResult {
        log_dir: disk
            .as_ref()
            .map(|disk| ByteStr::from(disk.directory.as_str()))
            .unwrap_or_default(),
        topics,
        total_bytes: disk.as_ref().map_or(-1, |disk| bytes(disk.total_bytes)),
        usable_bytes: disk.as_ref().map_or(-1, |disk| bytes(disk.free_bytes)),
        ..Default::default()
    };
    DescribeLogDirsResponse {
        results: vec![result],
        ..Default::default()
    }
}

/// Those partitions that there are, if there is one.
async fn described(
    client: &Client,
    topic: &Topic,
    indexes: impl IntoIterator<Item = i32>,
    turn: &mut usize,
) -> Option<DescribeLogDirsTopic> {
    let mut partitions = Vec::new();
    for partition_index in indexes {
        *turn = turn.wrapping_add(1);
        if turn.is_multiple_of(PARTITIONS_PER_TURN) {
            tokio::task::yield_now().await;
        }
        if let Some(bytes) = client.server.broker.size_bytes(topic, partition_index) {
            partitions.push(DescribeLogDirsPartition {
                partition_index,
                partition_size: i64::try_from(bytes).unwrap_or(i64::MAX),
                ..Default::default()
            });
        }
    }
    let name = ByteStr::from(&*topic.name);
    (!partitions.is_empty()).then_some(DescribeLogDirsTopic { name, partitions })
}

impl Answer for DescribeLogDirsResponse {
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        iter::once(self.error_code)
    }
}

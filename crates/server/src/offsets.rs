//! ListOffsets, for the commands that need to know where partitions begin and end.

use std::collections::HashMap;

use anyhow::{Context, Result};
use firth_kafka_codec::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};

use crate::client::{Client, check};

/// The offset at `timestamp` of each partition, in their order; -1 where there is none.
pub(crate) async fn offsets(
    client: &mut Client,
    topic: &str,
    partitions: &[i32],
    timestamp: i64,
) -> Result<Vec<i64>> {
    let asked = |partition_index: &i32| ListOffsetsPartition {
        partition_index: *partition_index,
        timestamp,
        ..Default::default()
    };
    let asked = ListOffsetsTopic {
        name: topic.into(),
        partitions: partitions.iter().map(asked).collect(),
    };
    let request = ListOffsetsRequest {
        topics: vec![asked],
        ..Default::default()
    };
    let response = client.call(&request).await?;
    let mut found = HashMap::with_capacity(partitions.len());
    for answer in response.topics.iter().flat_map(|topic| &topic.partitions) {
        let index = answer.partition_index;
        check(answer.error_code, None).with_context(|| format!("partition {index} of {topic}"))?;
        found.insert(index, answer.offset);
    }
    let offset = |index: &i32| {
        let offset = found.get(index).copied();
        offset.with_context(|| format!("the broker does not answer for partition {index} of {topic}"))
    };
    partitions.iter().map(offset).collect()
}

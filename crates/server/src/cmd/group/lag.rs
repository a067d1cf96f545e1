//! The offsets of a group, and where its partitions begin and end.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use firth_kafka_codec::{
    ApiKey, EARLIEST_TIMESTAMP, LATEST_TIMESTAMP, OffsetFetchRequest, OffsetFetchRequestGroup,
};

use crate::client::{Client, check};
use crate::offsets::offsets;

/// The first version that asks for several groups.
const BATCHED_MIN: i16 = 8;
/// Topics are named by id from this version on.
const BY_ID_MIN: i16 = 10;

/// A partition that a group has an offset of.
pub(super) struct Place {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) offset: i64,
    /// The first offset that the partition keeps, and the next one.
    pub(super) first: i64,
    pub(super) next: i64,
}

impl Place {
    /// Records that the group has not read.
    pub(super) fn lag(&self) -> i64 {
        self.next.saturating_sub(self.offset.max(self.first)).max(0)
    }
}

/// All that a group has committed, sorted.
pub(super) async fn places(client: &mut Client, group: &str) -> Result<Vec<Place>> {
    let mut places = Vec::new();
    for (topic, committed) in committed(client, group).await? {
        let partitions: Vec<i32> = committed.keys().copied().collect();
        let first = offsets(client, &topic, &partitions, EARLIEST_TIMESTAMP).await?;
        let next = offsets(client, &topic, &partitions, LATEST_TIMESTAMP).await?;
        for ((partition, offset), (first, next)) in committed.into_iter().zip(first.into_iter().zip(next)) {
            places.push(Place {
                topic: topic.clone(),
                partition,
                offset,
                first,
                next,
            });
        }
    }
    Ok(places)
}

/// Offsets by topic and partition.
pub(super) async fn committed(
    client: &mut Client,
    group: &str,
) -> Result<BTreeMap<String, BTreeMap<i32, i64>>> {
    let version = client.version(ApiKey::OffsetFetch)?.min(BY_ID_MIN - 1);
    let request = OffsetFetchRequest {
        group_id: group.into(),
        topics: None,
        groups: vec![OffsetFetchRequestGroup {
            group_id: group.into(),
            topics: None,
            ..Default::default()
        }],
        ..Default::default()
    };
    let response = client.call_version(version, &request).await?;
    let mut found: BTreeMap<String, BTreeMap<i32, i64>> = BTreeMap::new();
    let mut note = |topic: &str, partition, offset| {
        if offset >= 0 {
            found
                .entry(topic.to_owned())
                .or_default()
                .insert(partition, offset);
        }
    };
    if version < BATCHED_MIN {
        check(response.error_code, None)?;
        for topic in &response.topics {
            for partition in &topic.partitions {
                note(&topic.name, partition.partition_index, partition.committed_offset);
            }
        }
        return Ok(found);
    }
    let group = response
        .groups
        .first()
        .context("the broker's answer names no group")?;
    check(group.error_code, None)?;
    for topic in &group.topics {
        for partition in &topic.partitions {
            note(&topic.name, partition.partition_index, partition.committed_offset);
        }
    }
    Ok(found)
}

//! The offsets of a group, and where its partitions end.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use firth_kafka_codec::{ApiKey, ErrorCode, LATEST_TIMESTAMP, OffsetFetchRequest, OffsetFetchRequestGroup};

use super::assignment::Assignment;
use crate::client::{Client, check};
use crate::offsets::offsets;

/// The first version that asks for several groups.
const BATCHED_MIN: i16 = 8;
/// Topics are named by id from this version on.
const BY_ID_MIN: i16 = 10;

/// Offsets by topic and partition.
pub(super) type Committed = BTreeMap<String, BTreeMap<i32, i64>>;

/// A partition that a group has an offset of, or that a member was assigned.
pub(super) struct Place {
    pub(super) topic: String,
    pub(super) partition: i32,
    /// Absent where nothing was committed.
    pub(super) offset: Option<i64>,
    /// The next offset of the partition; absent where there is no such partition any more.
    pub(super) next: Option<i64>,
    /// Who reads it, by the place in the list of members.
    pub(super) member: Option<usize>,
}

impl Place {
    /// How far the group is behind, as Apache Kafka's tools count it: what retention took is counted too.
    pub(super) fn lag(&self) -> Option<i64> {
        Some(self.next?.saturating_sub(self.offset?))
    }
}

/// What is known of all places together.
pub(super) fn lag(places: &[Place]) -> i64 {
    places.iter().filter_map(Place::lag).sum()
}

/// All that a group has committed or its members were assigned, sorted.
pub(super) async fn places(
    client: &mut Client,
    group: &str,
    assignments: &[Assignment],
) -> Result<Vec<Place>> {
    let mut committed = committed(client, group).await?;
    let mut members: BTreeMap<(&str, i32), usize> = BTreeMap::new();
    for (member, assignment) in assignments.iter().enumerate() {
        for (topic, partitions) in assignment {
            for partition in partitions {
                members.insert((topic, *partition), member);
            }
        }
    }
    let mut places = Vec::new();
    let mut add = |topic: &str, partition: i32, offset: Option<i64>, member: Option<usize>| {
        places.push(Place {
            topic: topic.to_owned(),
            partition,
            offset,
            next: None,
            member,
        });
    };
    for ((topic, partition), member) in members {
        let known = committed.get_mut(topic);
        let offset = known.and_then(|known| known.remove(&partition));
        add(topic, partition, offset, Some(member));
    }
    for (topic, offsets) in &committed {
        for (partition, offset) in offsets {
            add(topic, *partition, Some(*offset), None);
        }
    }
    places.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    find_ends(client, &mut places).await?;
    Ok(places)
}

async fn find_ends(client: &mut Client, places: &mut [Place]) -> Result<()> {
    for of_topic in places.chunk_by_mut(|a, b| a.topic == b.topic) {
        let Some(topic) = of_topic.first().map(|place| place.topic.clone()) else {
            continue;
        };
        let metadata = client.metadata(Some(&[&topic])).await?;
        let found = metadata
            .topics
            .iter()
            .find(|found| found.error_code == ErrorCode::None);
        let count = found.map_or(0, |found| found.partitions.len());
        let is_there = |place: &&mut Place| usize::try_from(place.partition).is_ok_and(|index| index < count);
        let mut there: Vec<_> = of_topic.iter_mut().filter(is_there).collect();
        let partitions: Vec<i32> = there.iter().map(|place| place.partition).collect();
        if partitions.is_empty() {
            continue;
        }
        let ends = offsets(client, &topic, &partitions, LATEST_TIMESTAMP).await?;
        for (place, end) in there.iter_mut().zip(ends) {
            place.next = Some(end);
        }
    }
    Ok(())
}

/// What a group has committed; nothing where there is no such group.
pub(super) async fn committed(client: &mut Client, group: &str) -> Result<Committed> {
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
    let mut found = Committed::new();
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

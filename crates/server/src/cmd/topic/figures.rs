//! How much is in topics: where their partitions begin and end, and what they take on disk.

use std::collections::HashMap;

use anyhow::Result;
use firth_kafka_codec::{
    DescribableLogDirTopic, DescribeLogDirsRequest, EARLIEST_TIMESTAMP, LATEST_TIMESTAMP,
    MetadataResponseTopic,
};

use crate::client::{Client, check};
use crate::offsets::offsets;

/// What is in one partition.
pub(super) struct Figures {
    pub(super) partition: i32,
    pub(super) first: i64,
    pub(super) next: i64,
    /// Absent where the broker does not say.
    pub(super) bytes: Option<i64>,
}

impl Figures {
    /// Not all of them need to have a record: compaction leaves holes.
    pub(super) fn offsets(&self) -> i64 {
        self.next.saturating_sub(self.first)
    }
}

/// The partitions of a topic, sorted.
pub(super) fn partitions(topic: &MetadataResponseTopic) -> Vec<i32> {
    let partitions = topic.partitions.iter();
    let mut partitions: Vec<i32> = partitions.map(|partition| partition.partition_index).collect();
    partitions.sort_unstable();
    partitions
}

/// The figures of each partition, sorted.
pub(super) async fn figures(client: &mut Client, topic: &MetadataResponseTopic) -> Result<Vec<Figures>> {
    let name = topic.name.as_deref().unwrap_or_default();
    let partitions = partitions(topic);
    let first = offsets(client, name, &partitions, EARLIEST_TIMESTAMP).await?;
    let next = offsets(client, name, &partitions, LATEST_TIMESTAMP).await?;
    let bytes = sizes(client, name, &partitions).await?;
    let places = partitions.into_iter().zip(first.into_iter().zip(next));
    let figures = places.map(|(partition, (first, next))| Figures {
        partition,
        first,
        next,
        bytes: bytes.get(&partition).copied(),
    });
    Ok(figures.collect())
}

async fn sizes(client: &mut Client, name: &str, partitions: &[i32]) -> Result<HashMap<i32, i64>> {
    let asked = DescribableLogDirTopic {
        topic: name.into(),
        partitions: partitions.to_vec(),
    };
    let request = DescribeLogDirsRequest {
        topics: Some(vec![asked]),
    };
    let response = client.call(&request).await?;
    check(response.error_code, None)?;
    let mut sizes = HashMap::new();
    for directory in &response.results {
        check(directory.error_code, None)?;
        for topic in directory
            .topics
            .iter()
            .filter(|topic| topic.name.as_str() == name)
        {
            for partition in topic
                .partitions
                .iter()
                .filter(|partition| !partition.is_future_key)
            {
                sizes.insert(partition.partition_index, partition.partition_size);
            }
        }
    }
    Ok(sizes)
}

/// Bytes for people: three digits at least, as exact as one needs them.
pub(super) fn readable(bytes: i64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut whole, mut tenths, mut unit) = (bytes, 0, 0);
    while whole >= 1024 && unit + 1 < UNITS.len() {
        tenths = whole % 1024 * 10 / 1024;
        whole /= 1024;
        unit += 1;
    }
    match unit {
        0 => format!("{whole} B"),
        _ => format!("{whole}.{tenths} {}", UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::readable;

    #[test]
    fn bytes_have_binary_units() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1535, "1.4 KiB"),
            (10 << 20, "10.0 MiB"),
            (i64::MAX, "8388607.9 TiB"),
        ] {
            assert_eq!(readable(bytes), text);
        }
    }
}

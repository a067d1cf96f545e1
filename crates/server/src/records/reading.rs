//! Fetch without sessions: what commands that print records, or count them, ask a broker with.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::BytesMut;
use firth_batch::{Batch, Batches, Record};
use firth_kafka_codec::{
    ApiKey, EARLIEST_TIMESTAMP, ErrorCode, FetchPartition, FetchRequest, FetchTopic, LATEST_TIMESTAMP,
    PartitionData, Uuid,
};

use crate::client::{Client, check};
use crate::offsets::offsets;

const MAX_WAIT_MS: i32 = 1000;
const FETCH_BYTES: i32 = 8 * 1024 * 1024;
const PARTITION_BYTES: i32 = 1024 * 1024;
/// Bytes that a batch may decompress to.
const RECORDS_BYTES_MAX: usize = 256 * 1024 * 1024;
/// The first version in which topics are named by their ids.
const BY_ID_MIN: i16 = 13;

/// A partition that is read, and how far.
#[derive(Clone, Debug)]
pub(crate) struct Position {
    pub(crate) topic: Arc<str>,
    pub(crate) topic_id: Uuid,
    pub(crate) partition: i32,
    pub(crate) next: i64,
    /// The end, when it was looked at.
    pub(crate) end: i64,
}

/// Asks once for what follows the positions, and waits up to a second for it. What comes is named by the place of its position.
pub(crate) async fn fetch(
    client: &mut Client,
    positions: &[Position],
) -> Result<Vec<(usize, PartitionData)>> {
    let by_id = client.version(ApiKey::Fetch)? >= BY_ID_MIN;
    // One of the two is empty, as in the answer.
    let key = |name: &str, id: Uuid, partition: i32| match by_id {
        true => (String::new(), id, partition),
        false => (name.to_owned(), Uuid::default(), partition),
    };
    let mut places = HashMap::with_capacity(positions.len());
    let mut topics: Vec<FetchTopic> = Vec::new();
    let mut topic_places: HashMap<&str, usize> = HashMap::new();
    for (place, position) in positions.iter().enumerate() {
        places.insert(key(&position.topic, position.topic_id, position.partition), place);
        let at = *topic_places.entry(&position.topic).or_insert_with(|| {
            topics.push(FetchTopic {
                topic: (&*position.topic).into(),
                topic_id: position.topic_id,
                partitions: Vec::new(),
            });
            topics.len() - 1
        });
        topics[at].partitions.push(FetchPartition {
            partition: position.partition,
            fetch_offset: position.next,
            partition_max_bytes: PARTITION_BYTES,
            ..Default::default()
        });
    }
    let request = FetchRequest {
        max_wait_ms: MAX_WAIT_MS,
        min_bytes: 1,
        max_bytes: FETCH_BYTES,
        topics,
        ..Default::default()
    };
    let response = client.call(&request).await?;
    check(response.error_code, None)?;
    let mut answers = Vec::new();
    for topic in response.responses {
        for data in topic.partitions {
            let place = places.get(&key(&topic.topic, topic.topic_id, data.partition_index));
            let place = place.context("the broker answered for another partition")?;
            answers.push((*place, data));
        }
    }
    Ok(answers)
}

/// Shows each record from the position on, and moves the position behind them, or to the one that `visit` breaks at.
pub(crate) fn visit(
    data: &PartitionData,
    position: &mut Position,
    mut visit: impl FnMut(&Record<'_>) -> ControlFlow<()>,
) -> Result<()> {
    let mut bytes = BytesMut::new();
    for part in data.records.iter().flat_map(|records| records.parts()) {
        bytes.extend_from_slice(part);
    }
    let bytes = bytes.freeze();
    for batch in Batches::new(&bytes) {
        let Ok((header, batch)) = batch else {
            // Kafka brokers may cut the last batch; it comes again as the first.
            break;
        };
        let at = || {
            let Position { topic, partition, .. } = &*position;
            format!(
                "the batch at offset {} of partition {partition} of {topic}",
                header.base_offset
            )
        };
        if !header.attributes.is_control() {
            let batch = Batch::stored(bytes.slice_ref(batch)).with_context(at)?;
            let records = batch.records(RECORDS_BYTES_MAX).with_context(at)?;
            for record in &records {
                let record = record.with_context(at)?;
                if record.offset >= position.next && visit(&record).is_break() {
                    position.next = record.offset;
                    return Ok(());
                }
            }
        }
        position.next = position.next.max(header.next_offset());
    }
    Ok(())
}

/// Retention was faster than a reader, or a reader asks for what never was. The answer to a Fetch has no bounds in it.
pub(crate) async fn explain_out_of_range(client: &mut Client, position: &Position) -> Result<String> {
    let Position {
        topic,
        partition,
        next,
        ..
    } = position;
    let first = offsets(client, topic, &[*partition], EARLIEST_TIMESTAMP).await?;
    let end = offsets(client, topic, &[*partition], LATEST_TIMESTAMP).await?;
    Ok(out_of_range(topic, *partition, *next, first[0], end[0]))
}

pub(crate) fn out_of_range(topic: &str, partition: i32, offset: i64, first: i64, end: i64) -> String {
    let there = match end - first {
        0 => "it is empty".to_owned(),
        1 => format!("it has offset {first}"),
        _ => format!("it has offsets {first} to {}", end - 1),
    };
    let name = ErrorCode::OffsetOutOfRange.name();
    format!("partition {partition} of {topic} has no offset {offset}: {there}, and {end} comes next ({name})")
}

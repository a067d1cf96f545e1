//! The requests that the drivers send and the responses that they read. One version of each API, chosen so that Firth and
//! Apache Kafka 4 both speak it: ApiVersions 0, Metadata 7, CreateTopics 4, CreatePartitions 1, ListOffsets 2, Produce 9,
//! Fetch 12.

pub(crate) mod groups;
pub(crate) mod many;

use anyhow::{Context, Result, ensure};

use crate::wire::{Decoder, Encoder};

pub(crate) const PRODUCE: i16 = 0;
pub(crate) const FETCH: i16 = 1;
pub(crate) const LIST_OFFSETS: i16 = 2;
pub(crate) const METADATA: i16 = 3;
pub(crate) const API_VERSIONS: i16 = 18;
pub(crate) const CREATE_TOPICS: i16 = 19;
const CREATE_PARTITIONS: i16 = 37;

pub(crate) const PRODUCE_VERSION: i16 = 9;
const FETCH_VERSION: i16 = 12;
const TOPIC_ALREADY_EXISTS: i16 = 36;

const PRODUCE_TIMEOUT_MS: i32 = 30_000;
const CREATE_TIMEOUT_MS: i32 = 30_000;

/// What follows the records in a Produce request of one batch: the tags of the partition, the topic and the request.
pub(crate) const PRODUCE_TAIL: [u8; 3] = [0; 3];

/// A Produce request up to its records, which `batch_bytes` and [`PRODUCE_TAIL`] follow.
pub(crate) fn produce_prefix(
    correlation_id: i32,
    topic: &str,
    partition: i32,
    acks: i16,
    batch_bytes: usize,
) -> Vec<u8> {
    let mut request = Encoder::request(PRODUCE, PRODUCE_VERSION, correlation_id, true);
    request.uvarint(0).i16(acks).i32(PRODUCE_TIMEOUT_MS);
    request.uvarint(2).compact_string(topic);
    request.uvarint(2).i32(partition).uvarint(batch_bytes as u32 + 1);
    request.finish_before(batch_bytes + PRODUCE_TAIL.len())
}

/// The answer to one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Produced {
    pub(crate) correlation_id: i32,
    pub(crate) partition: i32,
    pub(crate) error_code: i16,
    pub(crate) base_offset: i64,
}

/// Reads a Produce response (behind its size) to a request of one batch.
pub(crate) fn produced(frame: &[u8]) -> Result<Produced> {
    let mut decoder = Decoder::new(frame);
    let correlation_id = decoder.i32()?;
    decoder.tags()?;
    ensure!(
        decoder.compact_array_length()? == 1,
        "the response names not one topic"
    );
    decoder.compact_bytes()?;
    ensure!(
        decoder.compact_array_length()? == 1,
        "the response names not one partition"
    );
    let partition = decoder.i32()?;
    let error_code = decoder.i16()?;
    let base_offset = decoder.i64()?;
    Ok(Produced {
        correlation_id,
        partition,
        error_code,
        base_offset,
    })
}

/// What one connection asks of one partition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FetchPosition {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct FetchLimits {
    pub(crate) wait_ms_max: i32,
    pub(crate) bytes_min: i32,
    pub(crate) bytes_max: i32,
    pub(crate) partition_bytes_max: i32,
}

pub(crate) fn fetch(
    correlation_id: i32,
    topic: &str,
    positions: &[FetchPosition],
    limits: FetchLimits,
) -> Vec<u8> {
    let mut request = Encoder::request(FETCH, FETCH_VERSION, correlation_id, true);
    request
        .i32(-1)
        .i32(limits.wait_ms_max)
        .i32(limits.bytes_min)
        .i32(limits.bytes_max)
        .u8(0);
    // No fetch session: id 0 and epoch -1.
    request.i32(0).i32(-1);
    request
        .uvarint(2)
        .compact_string(topic)
        .uvarint(positions.len() as u32 + 1);
    for position in positions {
        request
            .i32(position.partition)
            .i32(-1)
            .i64(position.offset)
            .i32(-1)
            .i64(-1);
        request.i32(limits.partition_bytes_max).u8(0);
    }
    // The topic's tags, no forgotten topics, an empty rack id, the request's tags.
    request.u8(0).uvarint(1).uvarint(1).u8(0);
    request.finish()
}

/// One partition of a Fetch response.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fetched<'a> {
    pub(crate) partition: i32,
    pub(crate) error_code: i16,
    pub(crate) records: &'a [u8],
}

/// Reads a Fetch response (behind its size) and gives each partition of it to `each`.
pub(crate) fn fetched<'a>(
    frame: &'a [u8],
    correlation_id: i32,
    each: impl FnMut(Fetched<'a>) -> Result<()>,
) -> Result<()> {
    let answered = Decoder::new(frame).i32()?;
    ensure!(
        answered == correlation_id,
        "fetch {correlation_id} was answered as {answered}"
    );
    fetched_body(frame.get(4..).unwrap_or_default(), each)
}

/// The same behind the correlation id.
pub(crate) fn fetched_body<'a>(
    body: &'a [u8],
    mut each: impl FnMut(Fetched<'a>) -> Result<()>,
) -> Result<()> {
    let mut decoder = Decoder::new(body);
    decoder.tags()?;
    decoder.i32()?;
    let error_code = decoder.i16()?;
    ensure!(error_code == 0, "the fetch failed with error {error_code}");
    decoder.i32()?;
    for _ in 0..decoder.compact_array_length()? {
        decoder.compact_bytes()?;
        for _ in 0..decoder.compact_array_length()? {
            each(fetched_partition(&mut decoder)?)?;
        }
        decoder.tags()?;
    }
    Ok(())
}

fn fetched_partition<'a>(decoder: &mut Decoder<'a>) -> Result<Fetched<'a>> {
    let partition = decoder.i32()?;
    let error_code = decoder.i16()?;
    // The high watermark, the last stable offset and the log's start.
    decoder.take(24)?;
    for _ in 0..decoder.compact_array_length()? {
        decoder.take(16)?;
        decoder.tags()?;
    }
    decoder.i32()?;
    let records = decoder.compact_bytes()?;
    decoder.tags()?;
    Ok(Fetched {
        partition,
        error_code,
        records,
    })
}

pub(crate) fn api_versions(correlation_id: i32) -> Vec<u8> {
    Encoder::request(API_VERSIONS, 0, correlation_id, false).finish()
}

pub(crate) fn create_topic(
    correlation_id: i32,
    topic: &str,
    partitions: i32,
    configs: &[(String, String)],
) -> Vec<u8> {
    let mut request = Encoder::request(CREATE_TOPICS, 4, correlation_id, false);
    request
        .i32(1)
        .string(topic)
        .i32(partitions)
        .i16(1)
        .i32(0)
        .i32(configs.len() as i32);
    for (name, value) in configs {
        request.string(name).string(value);
    }
    request.i32(CREATE_TIMEOUT_MS).u8(0);
    request.finish()
}

/// Gives a topic so many partitions in all.
pub(crate) fn create_partitions(correlation_id: i32, topic: &str, partitions: i32) -> Vec<u8> {
    let mut request = Encoder::request(CREATE_PARTITIONS, 1, correlation_id, false);
    request.i32(1).string(topic).i32(partitions).i32(-1);
    request.i32(CREATE_TIMEOUT_MS).u8(0);
    request.finish()
}

/// Reads a CreateTopics response, or that of CreatePartitions, which has the same form: whether the topic was created. One that
/// exists is as good as that.
pub(crate) fn topic_created(body: &[u8]) -> Result<bool> {
    let mut decoder = Decoder::new(body);
    decoder.i32()?;
    let mut created = true;
    for _ in 0..decoder.array_length()? {
        let name = String::from_utf8_lossy(decoder.string()?);
        let error_code = decoder.i16()?;
        let message = String::from_utf8_lossy(decoder.string()?);
        ensure!(
            error_code == 0 || error_code == TOPIC_ALREADY_EXISTS,
            "topic {name} was not created: error {error_code} {message}"
        );
        created &= error_code == 0;
    }
    Ok(created)
}

pub(crate) fn metadata(correlation_id: i32, topic: &str) -> Vec<u8> {
    let mut request = Encoder::request(METADATA, 7, correlation_id, false);
    request.i32(1).string(topic).u8(1);
    request.finish()
}

/// Reads a Metadata response: the number of the topic's partitions that have a leader.
pub(crate) fn partitions_with_leader(body: &[u8]) -> Result<usize> {
    let mut decoder = Decoder::new(body);
    decoder.i32()?;
    for _ in 0..decoder.array_length()? {
        decoder.i32()?;
        decoder.string()?;
        decoder.i32()?;
        decoder.string()?;
    }
    decoder.string()?;
    decoder.i32()?;
    let mut led = 0;
    for _ in 0..decoder.array_length()? {
        decoder.i16()?;
        decoder.string()?;
        decoder.u8()?;
        for _ in 0..decoder.array_length()? {
            let error_code = decoder.i16()?;
            decoder.i32()?;
            let leader = decoder.i32()?;
            decoder.i32()?;
            for _ in 0..3 {
                let nodes = decoder.array_length()?;
                decoder.take(nodes.checked_mul(4).context("too many nodes")?)?;
            }
            led += usize::from(error_code == 0 && leader >= 0);
        }
    }
    Ok(led)
}

/// The timestamps of ListOffsets that are none.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Edge {
    Earliest = -2,
    Latest = -1,
}

pub(crate) fn list_offsets(correlation_id: i32, topic: &str, partitions: i32, edge: Edge) -> Vec<u8> {
    let mut request = Encoder::request(LIST_OFFSETS, 2, correlation_id, false);
    request.i32(-1).u8(0).i32(1).string(topic).i32(partitions);
    for partition in 0..partitions {
        request.i32(partition).i64(edge as i64);
    }
    request.finish()
}

/// Reads a ListOffsets response: the offset of each partition.
pub(crate) fn offsets_listed(body: &[u8], partitions: i32) -> Result<Vec<i64>> {
    let mut decoder = Decoder::new(body);
    decoder.i32()?;
    let mut offsets = vec![-1; partitions as usize];
    for _ in 0..decoder.array_length()? {
        decoder.string()?;
        for _ in 0..decoder.array_length()? {
            let partition = decoder.i32()?;
            let error_code = decoder.i16()?;
            ensure!(
                error_code == 0,
                "the offsets of partition {partition} failed with error {error_code}"
            );
            decoder.i64()?;
            let offset = decoder.i64()?;
            let slot = offsets
                .get_mut(partition as usize)
                .context("an unknown partition was listed")?;
            *slot = offset;
        }
    }
    Ok(offsets)
}

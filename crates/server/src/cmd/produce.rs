use std::io::{BufRead, Read, Write, stdout};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use firth_batch::{Builder, Compression};
use firth_kafka_codec::{
    MetadataResponseTopic, PartitionProduceData, PartitionProduceResponse, ProduceRequest, TopicProduceData,
};
use serde_json::json;
use tokio::sync::mpsc;

use super::Server;
use crate::client::{Client, check};
use crate::environment::wall_ms;

/// Bytes of records after which a batch is sent.
const BATCH_BYTES: usize = 256 * 1024;
/// A longer line is an error: no broker takes it by default.
const LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Lines that were read and are not in a batch yet.
const LINES_AHEAD: usize = 1024;

#[derive(clap::Args)]
pub(crate) struct Args {
    topic: String,
    /// The partition; otherwise a record's key decides, and records without a key go round
    #[arg(long, value_name = "N")]
    partition: Option<i32>,
    /// What stands between a line's key and its value; otherwise records have no key
    #[arg(long, value_name = "TEXT")]
    key_separator: Option<String>,
    /// none, gzip, snappy, lz4 or zstd
    #[arg(long, value_name = "CODEC", default_value = "none", value_parser = compression)]
    compression: Compression,
    /// Print one JSON object for each record, with its partition and its offset, when it is stored
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

pub(crate) fn run(args: Args) -> Result<ExitCode> {
    super::block_on(async {
        let mut client = Client::connect(&args.server.server).await?;
        // The first request creates the topic if the broker does that.
        let topic = topic(&mut client, &args.topic).await?;
        let (send, lines) = mpsc::channel(LINES_AHEAD);
        // Standard input blocks, and must not keep what was read from being sent.
        let reading = tokio::task::spawn_blocking(move || read_lines(&send));
        let sent = send_lines(&mut client, &args, &topic, lines).await?;
        reading.await.context("reading standard input")??;
        eprintln!("{sent} records");
        Ok(ExitCode::SUCCESS)
    })
}

fn read_lines(send: &mpsc::Sender<Vec<u8>>) -> Result<()> {
    let mut input = std::io::stdin().lock();
    loop {
        let mut line = Vec::new();
        let read = input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        if read.context("cannot read standard input")? == 0 {
            return Ok(());
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if line.len() as u64 == LINE_BYTES_MAX {
            bail!("a line has more than {LINE_BYTES_MAX} bytes");
        }
        if send.blocking_send(line).is_err() {
            // The sender gave up, and says why.
            return Ok(());
        }
    }
}

async fn topic(client: &mut Client, name: &str) -> Result<MetadataResponseTopic> {
    let named = firth_kafka_codec::MetadataRequestTopic {
        name: Some(name.into()),
        ..Default::default()
    };
    let request = firth_kafka_codec::MetadataRequest {
        topics: Some(vec![named]),
        ..Default::default()
    };
    let metadata = client.call(&request).await?;
    let topic = metadata
        .topics
        .into_iter()
        .next()
        .context("the broker named no topic")?;
    check(topic.error_code, None).with_context(|| format!("topic {name}"))?;
    Ok(topic)
}

/// Sends whatever has gathered, and while it is under way gathers more. Returns the number of records.
async fn send_lines(
    client: &mut Client,
    args: &Args,
    topic: &MetadataResponseTopic,
    mut lines: mpsc::Receiver<Vec<u8>>,
) -> Result<u64> {
    let partitions = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
    let mut batches: Vec<Option<Gathered>> = (0..partitions).map(|_| None).collect();
    let (mut sent, mut round) = (0, 0);
    while let Some(first) = lines.recv().await {
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(line) = next {
            let (key, value) = split(&line, args.key_separator.as_deref())?;
            let partition = match (args.partition, key) {
                (Some(partition), _) => partition,
                (None, Some(key)) => partition_of(key, partitions),
                (None, None) => round % partitions,
            };
            let batch = usize::try_from(partition)
                .ok()
                .and_then(|index| batches.get_mut(index));
            let batch = batch.with_context(|| format!("{} has no partition {partition}", args.topic))?;
            let batch = batch.get_or_insert_with(|| Gathered {
                batch: Builder::new(args.compression),
                records: 0,
            });
            batch.batch.push(wall_ms(), key, Some(value), &[]);
            batch.records += 1;
            bytes += line.len();
            sent += 1;
            next = if bytes < BATCH_BYTES {
                lines.try_recv().ok()
            } else {
                None
            };
        }
        round = round.wrapping_add(1) & i32::MAX;
        send(client, args, topic, &mut batches).await?;
    }
    Ok(sent)
}

/// Records of one partition that are sent together.
struct Gathered {
    batch: Builder,
    records: i64,
}

async fn send(
    client: &mut Client,
    args: &Args,
    topic: &MetadataResponseTopic,
    batches: &mut [Option<Gathered>],
) -> Result<()> {
    let name = args.topic.as_str();
    let mut counts = vec![0; batches.len()];
    let partition_data = (0..)
        .zip(batches)
        .zip(&mut counts)
        .filter_map(|((index, batch), count)| {
            let gathered = batch.take()?;
            *count = gathered.records;
            let records: Bytes = gathered.batch.build().into_bytes();
            Some(PartitionProduceData {
                index,
                records: Some(records),
            })
        });
    let data = TopicProduceData {
        name: name.into(),
        topic_id: topic.topic_id,
        partition_data: partition_data.collect(),
    };
    let request = ProduceRequest {
        acks: -1,
        timeout_ms: 30_000,
        topic_data: [data].into_iter().collect(),
        ..Default::default()
    };
    let response = client.call(&request).await?;
    for partition in response
        .responses
        .iter()
        .flat_map(|topic| &topic.partition_responses)
    {
        check(partition.error_code, partition.error_message.as_ref())
            .with_context(|| format!("partition {} of {name}", partition.index))?;
        if args.json {
            let records = usize::try_from(partition.index)
                .ok()
                .and_then(|index| counts.get(index));
            print_offsets(partition, *records.unwrap_or(&0))?;
        }
    }
    Ok(())
}

/// A line for each record. A broker that does not tell offsets leaves -1.
fn print_offsets(stored: &PartitionProduceResponse, records: i64) -> Result<()> {
    let mut lines = String::new();
    for record in 0..records {
        let offset = match stored.base_offset {
            base @ 0.. => base + record,
            unknown => unknown,
        };
        lines += &json!({ "partition": stored.index, "offset": offset }).to_string();
        lines.push('\n');
    }
    Ok(stdout().write_all(lines.as_bytes())?)
}

/// The key and the value of a line.
fn split<'a>(line: &'a [u8], separator: Option<&str>) -> Result<(Option<&'a [u8]>, &'a [u8])> {
    let Some(separator) = separator.filter(|separator| !separator.is_empty()) else {
        return Ok((None, line));
    };
    let at = line
        .windows(separator.len())
        .position(|window| window == separator.as_bytes());
    let at = at.with_context(|| {
        format!(
            "the line {:?} has no {separator:?}",
            String::from_utf8_lossy(line)
        )
    })?;
    Ok((Some(&line[..at]), &line[at + separator.len()..]))
}

/// The partition that Kafka's own clients choose for a key, so that records of all clients stay in order.
fn partition_of(key: &[u8], partitions: i32) -> i32 {
    (murmur2(key).cast_signed() & i32::MAX) % partitions
}

/// MurmurHash2, 32 bits, with the seed of Kafka's clients.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    let mut hash = SEED ^ u32::try_from(data.len()).unwrap_or(u32::MAX);
    let (words, rest) = data.as_chunks();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (index, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

fn compression(name: &str) -> Result<Compression> {
    Compression::from_name(name).context("must be none, gzip, snappy, lz4 or zstd")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the tests of Apache Kafka's `Utils.murmur2`.
    #[test]
    fn keys_are_hashed_as_kafkas_clients_hash_them() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }

    #[test]
    fn a_line_is_split_at_the_first_separator() {
        assert_eq!(
            split(b"a::b::c", Some("::")).unwrap(),
            (Some(&b"a"[..]), &b"b::c"[..])
        );
        assert_eq!(split(b"a", None).unwrap(), (None, &b"a"[..]));
        assert!(split(b"ab", Some(":")).is_err());
    }
}

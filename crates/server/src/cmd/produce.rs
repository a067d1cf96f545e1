mod input;
mod partition;

use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use firth_batch::{Builder, Compression, RecordHeader};
use firth_kafka_codec::{
    MetadataRequest, MetadataRequestTopic, MetadataResponseTopic, PartitionProduceData,
    PartitionProduceResponse, ProduceRequest, TopicProduceData,
};
use serde_json::json;
use tokio::sync::mpsc;

use self::input::{Input, Reading};
use self::partition::partition_of;
use super::consume::ByteText;
use crate::client::{Client, check};
use crate::environment::wall_ms;
use crate::records::json::Parsed;
use crate::target::Server;

/// Bytes of records after which a batch is sent.
const BATCH_BYTES: usize = 256 * 1024;
/// Records that were read and are not in a batch yet.
const RECORDS_AHEAD: usize = 1024;

#[derive(clap::Args)]
pub(crate) struct Args {
    topic: String,
    /// What standard input holds
    #[arg(long, value_name = "FORM", default_value = "lines")]
    input: Input,
    /// The partition; otherwise a record's key decides, and records without a key go round
    #[arg(long, value_name = "N", conflicts_with = "repartition")]
    partition: Option<i32>,
    /// Choose partitions by the keys although the JSON objects name some, as for a topic with another number of them
    #[arg(long)]
    repartition: bool,
    /// What stands between a line's key and its value, otherwise records have no key; \t and \xHH are understood
    #[arg(short = 'K', long, value_name = "TEXT", value_parser = ByteText::parse)]
    key_separator: Option<ByteText>,
    /// What ends a record of `lines`
    #[arg(short = 'D', long, value_name = "TEXT", default_value = "\\n", value_parser = ByteText::parse)]
    record_separator: ByteText,
    /// The key of records that have none of their own
    #[arg(short, long, value_name = "TEXT")]
    key: Option<String>,
    /// A header for every record, behind its own; may be repeated
    #[arg(short = 'H', long, value_name = "NAME=VALUE", value_parser = super::topic::create::config)]
    header: Vec<(String, String)>,
    /// Send empty keys and values as none, so that an empty value deletes a key of a compacted topic
    #[arg(short = 'Z', long)]
    empty_as_null: bool,
    /// none, gzip, snappy, lz4 or zstd
    #[arg(short = 'z', long, value_name = "CODEC", default_value = "none", value_parser = compression)]
    compression: Compression,
    /// Print one JSON object for each record, with its partition and its offset, when it is stored
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

pub(crate) fn run(args: Args) -> Result<ExitCode> {
    let reading = reading(&args)?;
    super::block_on(async {
        let mut client = args.server.connect().await?;
        // The first request creates the topic if the broker does that.
        let topic = topic(&mut client, &args.topic).await?;
        let (send, records) = mpsc::channel(RECORDS_AHEAD);
        // Standard input blocks, and must not keep what was read from being sent.
        let reading = tokio::task::spawn_blocking(move || reading.read_all(&send));
        let sent = send_records(&mut client, &args, &topic, records).await?;
        eprintln!("{sent} records");
        reading.await.context("reading standard input")??;
        Ok(ExitCode::SUCCESS)
    })
}

fn reading(args: &Args) -> Result<Reading> {
    if args.input == Input::Json {
        ensure!(
            args.key_separator.is_none() && args.record_separator.0 == b"\n" && !args.empty_as_null,
            "--key-separator, --record-separator and --empty-as-null are for --input lines: JSON has keys, values and null"
        );
    }
    Ok(Reading {
        input: args.input,
        key_separator: args.key_separator.as_ref().map(|separator| separator.0.clone()),
        record_separator: args.record_separator.0.clone(),
        empty_as_null: args.empty_as_null,
    })
}

async fn topic(client: &mut Client, name: &str) -> Result<MetadataResponseTopic> {
    let named = MetadataRequestTopic {
        name: Some(name.into()),
        ..Default::default()
    };
    let request = MetadataRequest {
        topics: Some(vec![named]),
        ..Default::default()
    };
    let metadata = client.call(&request).await?;
    let topic = metadata.topics.into_iter().next();
    let topic = topic.context("the broker named no topic")?;
    client.check_topic(topic.error_code, None, name).await?;
    Ok(topic)
}

/// Sends whatever has gathered, and while it is under way gathers more. Returns the number of records.
async fn send_records(
    client: &mut Client,
    args: &Args,
    topic: &MetadataResponseTopic,
    mut records: mpsc::Receiver<Parsed>,
) -> Result<u64> {
    let mut gathering = Gathering {
        args,
        batches: topic.partitions.iter().map(|_| None).collect(),
        round: 0,
    };
    let mut sent = 0;
    while let Some(first) = records.recv().await {
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(record) = next {
            bytes += gathering.add(record)?;
            sent += 1;
            next = if bytes < BATCH_BYTES {
                records.try_recv().ok()
            } else {
                None
            };
        }
        gathering.round = gathering.round.wrapping_add(1) & i32::MAX;
        send(client, args, topic, &mut gathering.batches).await?;
    }
    Ok(sent)
}

/// Records of one partition that are sent together.
struct Gathered {
    batch: Builder,
    records: i64,
}

struct Gathering<'a> {
    args: &'a Args,
    /// One for each partition.
    batches: Vec<Option<Gathered>>,
    round: i32,
}

impl Gathering<'_> {
    /// Returns how many bytes the record has.
    fn add(&mut self, record: Parsed) -> Result<usize> {
        let args = self.args;
        let key = record.key.as_deref().or(args.key.as_deref().map(str::as_bytes));
        let partitions = i32::try_from(self.batches.len()).unwrap_or(i32::MAX);
        let named = args.partition.or(record.partition.filter(|_| !args.repartition));
        let partition = match (named, key) {
            (Some(partition), _) => partition,
            (None, Some(key)) => partition_of(key, partitions),
            (None, None) => self.round % partitions,
        };
        let batch = usize::try_from(partition).ok();
        let Some(batch) = batch.and_then(|index| self.batches.get_mut(index)) else {
            let hint = match args.partition {
                None => "; --repartition chooses partitions anew",
                Some(_) => "",
            };
            bail!(
                "{} has no partition {partition}: it has {partitions}{hint}",
                args.topic
            );
        };
        let batch = batch.get_or_insert_with(|| Gathered {
            batch: Builder::new(args.compression),
            records: 0,
        });
        let own = record.headers.iter().map(|(key, value)| RecordHeader {
            key,
            value: value.as_deref(),
        });
        let common = args.header.iter().map(|(key, value)| RecordHeader {
            key: key.as_bytes(),
            value: Some(value.as_bytes()),
        });
        let headers: Vec<_> = own.chain(common).collect();
        let before = batch.batch.len();
        let timestamp = record.timestamp.unwrap_or_else(wall_ms);
        batch
            .batch
            .push(timestamp, key, record.value.as_deref(), &headers);
        batch.records += 1;
        Ok(batch.batch.len() - before)
    }
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

pub(super) fn compression(name: &str) -> Result<Compression> {
    Compression::from_name(name).context("must be none, gzip, snappy, lz4 or zstd")
}

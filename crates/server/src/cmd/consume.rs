use std::io::{BufWriter, Write};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use bytes::BytesMut;
use firth_batch::{Batch, Batches, Record};
use firth_kafka_codec::{
    EARLIEST_TIMESTAMP, ErrorCode, FetchPartition, FetchRequest, FetchTopic, LATEST_TIMESTAMP, PartitionData,
    Uuid,
};
use serde_json::json;

use super::Server;
use super::topic::describe::offsets;
use crate::client::{Client, check};

const MAX_WAIT_MS: i32 = 1000;
const FETCH_BYTES: i32 = 8 * 1024 * 1024;
const PARTITION_BYTES: i32 = 1024 * 1024;
/// Bytes that a batch may decompress to.
const RECORDS_BYTES_MAX: usize = 256 * 1024 * 1024;

#[derive(clap::Args)]
pub(crate) struct Args {
    topic: String,
    /// One partition instead of all
    #[arg(long, value_name = "N")]
    partition: Option<i32>,
    /// beginning, end, an offset, or @ and milliseconds since 1970
    #[arg(long, value_name = "WHERE", default_value = "beginning", value_parser = from)]
    from: From,
    /// Stop after so many records
    #[arg(short = 'n', long, value_name = "N")]
    count: Option<u64>,
    /// Stop at the end instead of waiting for more
    #[arg(short, long)]
    exit: bool,
    /// Print keys too, with this between key and value
    #[arg(long, value_name = "TEXT")]
    key_separator: Option<String>,
    /// Print one JSON object for each record
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Beginning,
    End,
    Offset(i64),
    Timestamp(i64),
}

/// A partition that is read, and how far.
struct Position {
    partition: i32,
    next: i64,
    /// Where `--exit` stops.
    end: i64,
}

pub(crate) fn run(args: Args) -> Result<ExitCode> {
    super::block_on(async {
        tokio::select! {
            consumed = consume(&args) => consumed,
            // Stopping a consumer by hand is how it usually ends.
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn consume(args: &Args) -> Result<()> {
    let mut client = Client::connect(&args.server.server).await?;
    let topic = client.topic(&args.topic).await?;
    let mut partitions: Vec<i32> = topic
        .partitions
        .iter()
        .map(|partition| partition.partition_index)
        .collect();
    partitions.retain(|index| args.partition.is_none_or(|partition| partition == *index));
    partitions.sort_unstable();
    if partitions.is_empty() {
        bail!("{} has no partition {}", args.topic, args.partition.unwrap_or(0));
    }
    let mut positions = positions(&mut client, args, &partitions).await?;
    let mut out = Output {
        out: BufWriter::new(std::io::stdout()),
        args,
        left: args.count.unwrap_or(u64::MAX),
    };
    while out.left > 0 {
        if args.exit {
            positions.retain(|position| position.next < position.end);
        }
        if positions.is_empty() {
            break;
        }
        fetch(&mut client, args, topic.topic_id, &mut positions, &mut out).await?;
        out.out.flush()?;
        // A batch that takes long to arrive must not make one partition starve the others.
        positions.rotate_left(1);
    }
    Ok(())
}

async fn positions(client: &mut Client, args: &Args, partitions: &[i32]) -> Result<Vec<Position>> {
    let ends = offsets(client, &args.topic, partitions, LATEST_TIMESTAMP).await?;
    if let From::Offset(offset) = args.from {
        let firsts = offsets(client, &args.topic, partitions, EARLIEST_TIMESTAMP).await?;
        for (partition, (first, end)) in partitions.iter().zip(firsts.into_iter().zip(&ends)) {
            if offset < first || offset > *end {
                bail!(out_of_range(&args.topic, *partition, offset, first, *end));
            }
        }
    }
    let starts = match args.from {
        From::Beginning => offsets(client, &args.topic, partitions, EARLIEST_TIMESTAMP).await?,
        From::End => ends.clone(),
        From::Offset(offset) => vec![offset; partitions.len()],
        From::Timestamp(timestamp) => offsets(client, &args.topic, partitions, timestamp).await?,
    };
    let position = |((partition, start), end): ((&i32, i64), i64)| Position {
        partition: *partition,
        // After the last record's time, there is nothing but what is still to come.
        next: if start < 0 { end } else { start },
        end,
    };
    Ok(partitions.iter().zip(starts).zip(ends).map(position).collect())
}

async fn fetch(
    client: &mut Client,
    args: &Args,
    topic_id: Uuid,
    positions: &mut [Position],
    out: &mut Output<'_>,
) -> Result<()> {
    let asked = |position: &Position| FetchPartition {
        partition: position.partition,
        fetch_offset: position.next,
        partition_max_bytes: PARTITION_BYTES,
        ..Default::default()
    };
    let topic = FetchTopic {
        topic: args.topic.as_str().into(),
        topic_id,
        partitions: positions.iter().map(asked).collect(),
    };
    let request = FetchRequest {
        max_wait_ms: MAX_WAIT_MS,
        min_bytes: 1,
        max_bytes: FETCH_BYTES,
        topics: vec![topic],
        ..Default::default()
    };
    let response = client.call(&request).await?;
    check(response.error_code, None)?;
    for data in response.responses.iter().flat_map(|topic| &topic.partitions) {
        let position = positions
            .iter_mut()
            .find(|position| position.partition == data.partition_index);
        let position = position.context("the broker answered for another partition")?;
        let (partition, next) = (position.partition, position.next);
        if data.error_code == ErrorCode::OffsetOutOfRange {
            // Retention was faster. The answer has no bounds in it.
            let first = offsets(client, &args.topic, &[partition], EARLIEST_TIMESTAMP).await?;
            let end = offsets(client, &args.topic, &[partition], LATEST_TIMESTAMP).await?;
            bail!(out_of_range(&args.topic, partition, next, first[0], end[0]));
        }
        check(data.error_code, None)
            .with_context(|| format!("partition {partition} of {} at offset {next}", args.topic))?;
        print_batches(data, position, out)?;
    }
    Ok(())
}

fn out_of_range(topic: &str, partition: i32, offset: i64, first: i64, end: i64) -> String {
    let there = match end - first {
        0 => "it is empty".to_owned(),
        1 => format!("it has offset {first}"),
        _ => format!("it has offsets {first} to {}", end - 1),
    };
    let name = ErrorCode::OffsetOutOfRange.name();
    format!("partition {partition} of {topic} has no offset {offset}: {there}, and {end} comes next ({name})")
}

fn print_batches(data: &PartitionData, position: &mut Position, out: &mut Output<'_>) -> Result<()> {
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
            format!(
                "the batch at offset {} of partition {}",
                header.base_offset, position.partition
            )
        };
        if !header.attributes.is_control() {
            let batch = Batch::stored(bytes.slice_ref(batch)).with_context(at)?;
            let records = batch.records(RECORDS_BYTES_MAX).with_context(at)?;
            for record in &records {
                let record = record.with_context(at)?;
                let wanted =
                    record.offset >= position.next && !(out.args.exit && record.offset >= position.end);
                if wanted && out.left > 0 {
                    out.print(position.partition, &record)?;
                }
            }
        }
        position.next = position.next.max(header.next_offset());
    }
    Ok(())
}

struct Output<'a> {
    out: BufWriter<std::io::Stdout>,
    args: &'a Args,
    /// Records that may still be printed.
    left: u64,
}

impl Output<'_> {
    fn print(&mut self, partition: i32, record: &Record<'_>) -> Result<()> {
        self.left -= 1;
        if self.args.json {
            writeln!(self.out, "{}", as_json(partition, record))?;
            return Ok(());
        }
        if let Some(separator) = &self.args.key_separator {
            self.out.write_all(record.key.unwrap_or_default())?;
            self.out.write_all(separator.as_bytes())?;
        }
        self.out.write_all(record.value.unwrap_or_default())?;
        self.out.write_all(b"\n")?;
        Ok(())
    }
}

/// Bytes that are not UTF-8 are shown with replacement characters; `value` and `key` are null where the record has none.
fn as_json(partition: i32, record: &Record<'_>) -> serde_json::Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let header = |header: firth_batch::RecordHeader<'_>| json!([text(header.key), header.value.map(text)]);
    json!({
        "partition": partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "key": record.key.map(text),
        "value": record.value.map(text),
        "headers": record.headers.map(header).collect::<Vec<_>>(),
    })
}

fn from(text: &str) -> Result<From> {
    let number = |text: &str| text.parse().ok().filter(|number: &i64| *number >= 0);
    match text {
        "beginning" => Ok(From::Beginning),
        "end" => Ok(From::End),
        _ => {
            let parsed = match text.strip_prefix('@') {
                Some(timestamp) => number(timestamp).map(From::Timestamp),
                None => number(text).map(From::Offset),
            };
            parsed.context("must be beginning, end, an offset, or @ and milliseconds since 1970")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_to_start_from_is_a_word_an_offset_or_a_time() {
        for (text, expected) in [
            ("beginning", From::Beginning),
            ("end", From::End),
            ("17", From::Offset(17)),
            ("@17", From::Timestamp(17)),
        ] {
            assert_eq!(from(text).unwrap(), expected);
        }
        for text in ["", "-1", "@", "@-1", "start"] {
            assert!(from(text).is_err(), "{text}");
        }
    }
}

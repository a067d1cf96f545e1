use std::io::{Write, stdout};
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use firth_kafka_codec::ErrorCode;

use crate::client::{Client, check};
use crate::duration::duration;
use crate::environment::wall_ms;
use crate::records::escape::separator;
use crate::records::format::{self, Format};
use crate::records::reading::{Position, explain_out_of_range, fetch, visit};
use crate::records::start::{Start, Topic, start};
use crate::records::{Placed, Shape};
use crate::target::Server;

#[derive(clap::Args)]
#[command(after_long_help = format::HELP)]
pub(crate) struct Args {
    topic: String,
    /// One partition instead of all
    #[arg(long, value_name = "N")]
    partition: Option<i32>,
    /// beginning, end, an offset, -N for the last N of each partition, or @TIME: milliseconds since 1970, or UTC
    #[arg(long, value_name = "WHERE", default_value = "beginning", value_parser = start, allow_hyphen_values = true)]
    from: Start,
    /// From so long ago, as 10m or 1h30m
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "from")]
    since: Option<Duration>,
    /// Stop after so many records
    #[arg(short = 'n', long, value_name = "N")]
    count: Option<u64>,
    /// Stop at the end instead of waiting for more
    #[arg(short, long)]
    exit: bool,
    /// Print keys too, with this between key and value; \t and \xHH are understood
    #[arg(short = 'K', long, value_name = "TEXT", value_parser = ByteText::parse)]
    key_separator: Option<ByteText>,
    /// Print each record so, as in '%t/%p@%o %k: %v\n'; --help says more
    #[arg(short, long, value_name = "FORMAT", value_parser = Format::parse, conflicts_with_all = ["json", "key_separator"])]
    format: Option<Format>,
    /// Print one JSON object for each record, which `produce --input json` reads
    #[arg(long, conflicts_with = "key_separator")]
    json: bool,
    #[command(flatten)]
    server: Server,
}

/// A separator without its escapes.
#[derive(Clone)]
pub(super) struct ByteText(pub(super) Vec<u8>);

impl ByteText {
    pub(super) fn parse(text: &str) -> Result<ByteText> {
        separator(text).map(ByteText)
    }
}

pub(crate) fn run(args: Args) -> Result<ExitCode> {
    super::block_on(async {
        tokio::select! {
            consumed = consume(&args) => consumed,
            // Stopping a consumer by hand is how it usually ends.
            stopped = super::stopped() => stopped,
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn consume(args: &Args) -> Result<()> {
    let mut client = args.server.connect().await?;
    let mut positions = positions(&mut client, args).await?;
    let mut out = Output {
        shape: shape(args),
        key_separator: args.key_separator.as_ref().map(|separator| &*separator.0),
        until_end: args.exit,
        left: args.count.unwrap_or(u64::MAX),
        bytes: Vec::new(),
    };
    while out.left > 0 {
        if args.exit {
            positions.retain(|position| position.next < position.end);
        }
        if positions.is_empty() {
            break;
        }
        for (place, data) in fetch(&mut client, &positions).await? {
            let position = &mut positions[place];
            if data.error_code == ErrorCode::OffsetOutOfRange {
                bail!(explain_out_of_range(&mut client, position).await?);
            }
            let Position {
                topic,
                partition,
                next,
                ..
            } = &*position;
            check(data.error_code, None)
                .with_context(|| format!("partition {partition} of {topic} at offset {next}"))?;
            out.print(&data, position)?;
        }
        // A batch that takes long to arrive must not make one partition starve the others.
        positions.rotate_left(1);
    }
    Ok(())
}

async fn positions(client: &mut Client, args: &Args) -> Result<Vec<Position>> {
    let topic = client.topic(&args.topic).await?;
    let partitions = topic.partitions.iter().map(|partition| partition.partition_index);
    let mut partitions: Vec<i32> = partitions
        .filter(|index| args.partition.is_none_or(|partition| partition == *index))
        .collect();
    partitions.sort_unstable();
    if partitions.is_empty() {
        bail!(
            "{} has no partition {}: it has {}",
            args.topic,
            args.partition.unwrap_or(0),
            topic.partitions.len()
        );
    }
    let topic = Topic {
        name: args.topic.as_str().into(),
        id: topic.topic_id,
    };
    let start = args.since.map_or(args.from, since);
    start.positions(client, &topic, &partitions).await
}

/// So long ago.
pub(super) fn since(duration: Duration) -> Start {
    let ms = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    Start::Timestamp(wall_ms().saturating_sub(ms).max(0))
}

fn shape(args: &Args) -> Option<Shape> {
    match &args.format {
        Some(format) => Some(Shape::Format(format.clone())),
        None => args.json.then_some(Shape::Json),
    }
}

struct Output<'a> {
    /// Absent where lines of keys and values are printed.
    shape: Option<Shape>,
    key_separator: Option<&'a [u8]>,
    /// Whether nothing is printed that came after the positions were looked up.
    until_end: bool,
    /// Records that may still be printed.
    left: u64,
    bytes: Vec<u8>,
}

impl Output<'_> {
    fn print(&mut self, data: &firth_kafka_codec::PartitionData, position: &mut Position) -> Result<()> {
        let (topic, partition, end) = (position.topic.clone(), position.partition, position.end);
        visit(data, position, |record| {
            if self.left == 0 || (self.until_end && record.offset >= end) {
                return ControlFlow::Break(());
            }
            self.left -= 1;
            let topic = &*topic;
            match &self.shape {
                Some(shape) => shape.print(
                    Placed {
                        topic,
                        partition,
                        record,
                    },
                    &mut self.bytes,
                ),
                None => {
                    if let Some(separator) = self.key_separator {
                        self.bytes.extend_from_slice(record.key.unwrap_or_default());
                        self.bytes.extend_from_slice(separator);
                    }
                    self.bytes.extend_from_slice(record.value.unwrap_or_default());
                    self.bytes.push(b'\n');
                }
            }
            ControlFlow::Continue(())
        })?;
        Ok(self.flush()?)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let mut out = stdout().lock();
        out.write_all(&self.bytes)?;
        self.bytes.clear();
        out.flush()
    }
}

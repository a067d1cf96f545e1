use std::io::{Write, stdout};

use anyhow::{Context, Result, bail};
use firth_kafka_codec::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic, EARLIEST_TIMESTAMP, ErrorCode,
    LATEST_TIMESTAMP,
};
use serde_json::json;

use crate::client::{Client, check};
use crate::cmd::group::scope::scope;
use crate::date;
use crate::offsets::offsets;
use crate::records::reading::out_of_range;
use crate::table::table;
use crate::target::Server;

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("until").required(true))]
pub(crate) struct Args {
    /// A topic, or some of its partitions
    #[arg(value_name = "TOPIC[:PARTITION,...]")]
    topic: String,
    /// Those before this offset
    #[arg(long, value_name = "OFFSET", group = "until", value_parser = clap::value_parser!(i64).range(0..))]
    before: Option<i64>,
    /// Those before the first one at or after a time of UTC, as 2026-01-31T12:00:00
    #[arg(long, value_name = "TIME", group = "until", value_parser = date::argument)]
    before_time: Option<i64>,
    /// All that there are now
    #[arg(long, group = "until")]
    all: bool,
    /// Say what would be deleted, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object for each partition
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

/// What becomes of a partition.
struct Cut {
    partition: i32,
    first: i64,
    /// The first offset that is left.
    left: i64,
}

pub(super) async fn run(args: Args) -> Result<()> {
    let mut client = args.server.connect().await?;
    let scope = scope(&mut client, std::slice::from_ref(&args.topic)).await?;
    for (topic, partitions) in &scope {
        let mut cuts = plan(&mut client, &args, topic, partitions).await?;
        if !args.dry_run {
            delete(&mut client, topic, &mut cuts).await?;
        }
        print(&args, topic, &cuts)?;
    }
    Ok(())
}

async fn plan(client: &mut Client, args: &Args, topic: &str, partitions: &[i32]) -> Result<Vec<Cut>> {
    let firsts = offsets(client, topic, partitions, EARLIEST_TIMESTAMP).await?;
    let ends = offsets(client, topic, partitions, LATEST_TIMESTAMP).await?;
    let found = match args.before_time {
        Some(ms) => offsets(client, topic, partitions, ms).await?,
        None => ends.clone(),
    };
    let mut cuts = Vec::new();
    for (at, partition) in partitions.iter().enumerate() {
        let (first, end, found) = (firsts[at], ends[at], found[at]);
        let wanted = match args.before {
            Some(offset) if offset > end => bail!(out_of_range(topic, *partition, offset, first, end)),
            Some(offset) => offset,
            // Where no record is as late as that, all are earlier.
            None if found < 0 => end,
            None => found,
        };
        cuts.push(Cut {
            partition: *partition,
            first,
            left: wanted.max(first),
        });
    }
    Ok(cuts)
}

async fn delete(client: &mut Client, topic: &str, cuts: &mut [Cut]) -> Result<()> {
    let partition = |cut: &Cut| DeleteRecordsPartition {
        partition_index: cut.partition,
        offset: cut.left,
    };
    let request = DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic {
            name: topic.into(),
            partitions: cuts.iter().map(partition).collect(),
        }],
        timeout_ms: 30_000,
    };
    let response = client.call(&request).await?;
    let answers = response.topics.iter().flat_map(|topic| &topic.partitions);
    for answer in answers {
        let place = || format!("partition {} of {topic}", answer.partition_index);
        match answer.error_code {
            ErrorCode::PolicyViolation => bail!(
                "{}: records of a compacted topic are not deleted by their offsets; write a record without a value \
                 for each key instead (POLICY_VIOLATION)",
                place()
            ),
            code => check(code, None).with_context(place)?,
        }
        let cut = cuts
            .iter_mut()
            .find(|cut| cut.partition == answer.partition_index);
        cut.context("the broker answered for another partition")?.left = answer.low_watermark;
    }
    Ok(())
}

fn print(args: &Args, topic: &str, cuts: &[Cut]) -> Result<()> {
    let deleted = |cut: &Cut| cut.left.saturating_sub(cut.first);
    if args.json {
        for cut in cuts {
            let line = json!({
                "topic": topic, "partition": cut.partition, "first_offset": cut.left, "deleted": deleted(cut),
                "dry_run": args.dry_run,
            });
            writeln!(stdout(), "{line}")?;
        }
        return Ok(());
    }
    let row = |cut: &Cut| {
        let numbers = [i64::from(cut.partition), cut.left, deleted(cut)];
        let numbers = numbers.map(|number| number.to_string());
        std::iter::once(topic.to_owned()).chain(numbers).collect()
    };
    let rows: Vec<_> = cuts.iter().map(row).collect();
    let head = ["topic", "partition", "first", "deleted"];
    write!(stdout(), "{}", table(&head, &rows))?;
    if args.dry_run {
        writeln!(stdout(), "nothing was changed")?;
    }
    Ok(())
}

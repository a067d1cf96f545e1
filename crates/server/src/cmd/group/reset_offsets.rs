use std::collections::BTreeMap;
use std::io::{Write, stdout};

use anyhow::{Context, Result, bail, ensure};
use firth_kafka_codec::{
    ApiKey, ByteStr, DescribeGroupsRequest, EARLIEST_TIMESTAMP, LATEST_TIMESTAMP, OffsetCommitRequest,
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use serde_json::json;

use super::describe::check_group;
use super::lag;
use crate::client::Client;
use crate::date;
use crate::offsets::offsets;
use crate::table::table;
use crate::target::Server;

/// Topics are named up to this version.
const BY_NAME_MAX: i16 = 9;
/// States in which nobody is in a group. One that does not exist is dead.
const WITHOUT_MEMBERS: [&str; 2] = ["Empty", "Dead"];

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("target").required(true))]
#[command(group = clap::ArgGroup::new("scope").required(true).multiple(true))]
pub(crate) struct Args {
    name: String,
    /// A topic, or some of its partitions; may be given more than once
    #[arg(long, value_name = "TOPIC[:PARTITION,...]", group = "scope")]
    topic: Vec<String>,
    /// All partitions that the group has offsets of
    #[arg(long, group = "scope")]
    all_topics: bool,
    /// To the first record that is kept
    #[arg(long, group = "target")]
    to_earliest: bool,
    /// To the end
    #[arg(long, group = "target")]
    to_latest: bool,
    /// To an offset
    #[arg(long, value_name = "OFFSET", group = "target")]
    to_offset: Option<i64>,
    /// To the first record at or after a time of UTC, as 2026-01-31T12:00:00
    #[arg(long, value_name = "TIME", group = "target", value_parser = parse_time)]
    to_datetime: Option<i64>,
    /// By so many records onward, or back
    #[arg(long, value_name = "RECORDS", group = "target", allow_negative_numbers = true)]
    shift_by: Option<i64>,
    /// Do it; without this it is only shown
    #[arg(long)]
    execute: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

fn parse_time(text: &str) -> Result<i64, String> {
    date::parse_utc(text)
        .ok_or_else(|| "a time is written as 2026-01-31T12:00:00 or 2026-01-31T12:00:00.123Z".to_owned())
}

/// An offset to be moved.
struct Move {
    topic: String,
    partition: i32,
    /// Absent where the group has none.
    from: Option<i64>,
    to: i64,
}

pub(super) async fn run(args: Args) -> Result<()> {
    let mut client = args.server.connect().await?;
    let committed = lag::committed(&mut client, &args.name).await?;
    let scope = scope(&mut client, &args, &committed).await?;
    ensure!(
        !scope.is_empty(),
        "group {} has no offsets; name topics with --topic",
        args.name
    );
    check_is_empty(&mut client, &args.name).await?;
    let mut moves = Vec::new();
    for (topic, partitions) in &scope {
        let known = committed.get(topic);
        moves.extend(plan(&mut client, &args, topic, partitions, known).await?);
    }
    if args.execute {
        commit(&mut client, &args.name, &moves).await?;
    }
    print(&args, &moves)
}

/// The partitions that are meant.
async fn scope(
    client: &mut Client,
    args: &Args,
    committed: &BTreeMap<String, BTreeMap<i32, i64>>,
) -> Result<BTreeMap<String, Vec<i32>>> {
    let mut scope: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    if args.all_topics {
        let known = committed.iter();
        scope.extend(known.map(|(topic, offsets)| (topic.clone(), offsets.keys().copied().collect())));
    }
    for wanted in &args.topic {
        // No name of a topic has a colon in it.
        let (topic, partitions) = match wanted.split_once(':') {
            Some((topic, list)) => {
                let numbers = list.split(',').map(str::parse);
                let numbers = numbers.collect::<Result<Vec<i32>, _>>();
                (
                    topic,
                    numbers.with_context(|| format!("{wanted:?} does not name partitions"))?,
                )
            }
            None => {
                let described = client.topic(wanted).await?;
                let indexes = described
                    .partitions
                    .iter()
                    .map(|partition| partition.partition_index);
                (wanted.as_str(), indexes.collect())
            }
        };
        scope.entry(topic.to_owned()).or_default().extend(partitions);
    }
    for partitions in scope.values_mut() {
        partitions.sort_unstable();
        partitions.dedup();
    }
    Ok(scope)
}

/// Members would commit their own offsets over those that are set.
async fn check_is_empty(client: &mut Client, name: &str) -> Result<()> {
    let request = DescribeGroupsRequest {
        groups: vec![name.into()],
        ..Default::default()
    };
    let response = client.call(&request).await?;
    let group = response
        .groups
        .first()
        .context("the broker's answer names no group")?;
    let state = group.group_state.as_str();
    if !WITHOUT_MEMBERS.contains(&state) {
        bail!("group {name} is {state}: stop its members first");
    }
    Ok(())
}

async fn plan(
    client: &mut Client,
    args: &Args,
    topic: &str,
    partitions: &[i32],
    known: Option<&BTreeMap<i32, i64>>,
) -> Result<Vec<Move>> {
    let first = offsets(client, topic, partitions, EARLIEST_TIMESTAMP).await?;
    let next = offsets(client, topic, partitions, LATEST_TIMESTAMP).await?;
    let found = match args.to_datetime {
        Some(ms) => offsets(client, topic, partitions, ms).await?,
        None => next.clone(),
    };
    let mut moves = Vec::new();
    for (at, partition) in partitions.iter().enumerate() {
        let (first, next, found) = (first[at], next[at], found[at]);
        let from = known.and_then(|known| known.get(partition)).copied();
        let wanted = if args.to_earliest {
            first
        } else if let Some(offset) = args.to_offset {
            offset
        } else if let Some(by) = args.shift_by {
            let from =
                from.with_context(|| format!("group {} has no offset of {topic}/{partition}", args.name))?;
            from.saturating_add(by)
        } else if found < 0 {
            // No record is as late as that.
            next
        } else {
            found
        };
        moves.push(Move {
            topic: topic.to_owned(),
            partition: *partition,
            from,
            to: wanted.clamp(first, next),
        });
    }
    Ok(moves)
}

async fn commit(client: &mut Client, name: &str, moves: &[Move]) -> Result<()> {
    let mut topics: Vec<OffsetCommitRequestTopic> = Vec::new();
    for each in moves {
        let partition = OffsetCommitRequestPartition {
            partition_index: each.partition,
            committed_offset: each.to,
            ..Default::default()
        };
        match topics
            .last_mut()
            .filter(|topic| topic.name.as_str() == each.topic)
        {
            Some(topic) => topic.partitions.push(partition),
            None => topics.push(OffsetCommitRequestTopic {
                name: ByteStr::from(each.topic.as_str()),
                partitions: vec![partition],
                ..Default::default()
            }),
        }
    }
    let request = OffsetCommitRequest {
        group_id: name.into(),
        topics,
        ..Default::default()
    };
    let version = client.version(ApiKey::OffsetCommit)?.min(BY_NAME_MAX);
    let response = client.call_version(version, &request).await?;
    for topic in &response.topics {
        for partition in &topic.partitions {
            let place = || format!("{}/{}", topic.name, partition.partition_index);
            check_group(partition.error_code).with_context(place)?;
        }
    }
    Ok(())
}

fn print(args: &Args, moves: &[Move]) -> Result<()> {
    if args.json {
        for each in moves {
            let line = json!({
                "topic": each.topic, "partition": each.partition, "from": each.from, "to": each.to,
                "executed": args.execute,
            });
            writeln!(stdout(), "{line}")?;
        }
        return Ok(());
    }
    let row = |each: &Move| {
        let from = each.from.map_or("-".to_owned(), |from| from.to_string());
        vec![
            each.topic.clone(),
            each.partition.to_string(),
            from,
            each.to.to_string(),
        ]
    };
    let rows: Vec<_> = moves.iter().map(row).collect();
    write!(
        stdout(),
        "{}",
        table(&["topic", "partition", "from", "to"], &rows)
    )?;
    if !args.execute {
        writeln!(stdout(), "nothing was changed; add --execute to do it")?;
    }
    Ok(())
}

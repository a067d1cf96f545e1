mod plan_file;

use std::collections::BTreeMap;
use std::io::{Write, stdout};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use firth_kafka_codec::{
    ApiKey, ByteStr, DescribeGroupsRequest, EARLIEST_TIMESTAMP, LATEST_TIMESTAMP, OffsetCommitRequest,
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use serde_json::json;

use super::describe::check_group;
use super::lag::{self, Committed};
use super::scope::{Scope, scope};
use crate::client::Client;
use crate::date;
use crate::duration::duration;
use crate::environment::wall_ms;
use crate::offsets::offsets;
use crate::table::table;
use crate::target::Server;

/// Topics are named up to this version.
const BY_NAME_MAX: i16 = 9;
/// States in which nobody is in a group. One that does not exist is dead.
const WITHOUT_MEMBERS: [&str; 2] = ["Empty", "Dead"];

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("target").required(true))]
#[command(group = clap::ArgGroup::new("scope").multiple(true))]
pub(crate) struct Args {
    name: String,
    /// A topic, or some of its partitions; may be repeated
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
    /// To where they are, and to the end where there are none: a plan to be kept with --export
    #[arg(long, group = "target")]
    to_current: bool,
    /// To an offset
    #[arg(long, value_name = "OFFSET", group = "target")]
    to_offset: Option<i64>,
    /// To the first record at or after a time of UTC, as 2026-01-31T12:00:00
    #[arg(long, value_name = "TIME", group = "target", value_parser = date::argument)]
    to_datetime: Option<i64>,
    /// To the first record of the last so long, as 1h30m or PT1H30M
    #[arg(long, value_name = "TIME", group = "target", value_parser = duration)]
    by_duration: Option<Duration>,
    /// By so many records onward, or back
    #[arg(long, value_name = "RECORDS", group = "target", allow_negative_numbers = true)]
    shift_by: Option<i64>,
    /// To what a file says, in lines of topic,partition,offset; - is standard input
    #[arg(long, value_name = "FILE", group = "target", conflicts_with = "scope")]
    from_file: Option<PathBuf>,
    /// Do it; without this it is only shown
    #[arg(long)]
    execute: bool,
    /// Only show it, which is what happens without --execute
    #[arg(long, conflicts_with = "execute")]
    dry_run: bool,
    /// Print the plan as --from-file reads it
    #[arg(long, conflicts_with = "json")]
    export: bool,
    /// Print one JSON object for each partition
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

/// An offset to be moved.
struct Move {
    topic: String,
    partition: i32,
    /// Absent where the group has none.
    from: Option<i64>,
    to: i64,
    /// What was asked for, if there is no such offset.
    instead_of: Option<i64>,
}

/// Where offsets are to go.
enum Goal {
    Earliest,
    Latest,
    Current,
    Offset(i64),
    Time(i64),
    Shift(i64),
    File(Committed),
}

impl Args {
    fn goal(&self) -> Result<Goal> {
        Ok(if let Some(path) = &self.from_file {
            Goal::File(plan_file::read(path, &self.name)?)
        } else if let Some(offset) = self.to_offset {
            Goal::Offset(offset)
        } else if let Some(ms) = self.to_datetime {
            Goal::Time(ms)
        } else if let Some(duration) = self.by_duration {
            let ms = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
            Goal::Time(wall_ms().saturating_sub(ms).max(0))
        } else if let Some(by) = self.shift_by {
            Goal::Shift(by)
        } else if self.to_current {
            Goal::Current
        } else if self.to_earliest {
            Goal::Earliest
        } else {
            Goal::Latest
        })
    }
}

pub(super) async fn run(args: Args) -> Result<()> {
    let goal = args.goal()?;
    let mut client = args.server.connect().await?;
    let committed = lag::committed(&mut client, &args.name).await?;
    let scope = wanted(&mut client, &args, &goal, &committed).await?;
    check_is_empty(&mut client, &args.name).await?;
    let mut moves = Vec::new();
    for (topic, partitions) in &scope {
        let known = committed.get(topic);
        moves.extend(plan(&mut client, &args, &goal, topic, partitions, known).await?);
    }
    if args.execute {
        commit(&mut client, &args.name, &moves).await?;
    }
    print(&args, &moves)
}

/// The partitions that are meant.
async fn wanted(client: &mut Client, args: &Args, goal: &Goal, committed: &Committed) -> Result<Scope> {
    if let Goal::File(plan) = goal {
        let named = plan.iter().map(|(topic, offsets)| {
            let partitions: Vec<_> = offsets.keys().map(ToString::to_string).collect();
            format!("{topic}:{}", partitions.join(","))
        });
        return scope(client, &named.collect::<Vec<_>>()).await;
    }
    ensure!(
        args.all_topics || !args.topic.is_empty(),
        "which topics are meant? Name some with --topic, or all that the group has offsets of with --all-topics"
    );
    let mut scope = scope(client, &args.topic).await?;
    if args.all_topics {
        ensure!(
            !committed.is_empty(),
            "group {} has no offsets; name topics with --topic",
            args.name
        );
        for (topic, offsets) in committed {
            let partitions = scope.entry(topic.clone()).or_default();
            partitions.extend(offsets.keys());
            partitions.sort_unstable();
            partitions.dedup();
        }
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
    goal: &Goal,
    topic: &str,
    partitions: &[i32],
    known: Option<&BTreeMap<i32, i64>>,
) -> Result<Vec<Move>> {
    let first = offsets(client, topic, partitions, EARLIEST_TIMESTAMP).await?;
    let next = offsets(client, topic, partitions, LATEST_TIMESTAMP).await?;
    let found = match goal {
        Goal::Time(ms) => offsets(client, topic, partitions, *ms).await?,
        _ => next.clone(),
    };
    let mut moves = Vec::new();
    for (at, partition) in partitions.iter().enumerate() {
        let (first, next, found) = (first[at], next[at], found[at]);
        let from = known.and_then(|known| known.get(partition)).copied();
        let wanted = match goal {
            Goal::Earliest => first,
            Goal::Latest => next,
            Goal::Current => from.unwrap_or(next),
            Goal::Offset(offset) => *offset,
            // Where no record is as late as that, the end is meant.
            Goal::Time(_) if found < 0 => next,
            Goal::Time(_) => found,
            Goal::Shift(by) => {
                let from = from
                    .with_context(|| format!("group {} has no offset of {topic}/{partition}", args.name))?;
                from.saturating_add(*by)
            }
            Goal::File(plan) => {
                let planned = plan.get(topic).and_then(|offsets| offsets.get(partition));
                *planned.with_context(|| format!("the file has no offset of {topic}/{partition}"))?
            }
        };
        let to = wanted.clamp(first, next);
        moves.push(Move {
            topic: topic.to_owned(),
            partition: *partition,
            from,
            to,
            instead_of: (to != wanted).then_some(wanted),
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
    for each in moves {
        let Move {
            topic, partition, to, ..
        } = each;
        if let Some(wanted) = each.instead_of {
            eprintln!("note: {topic}/{partition} has no offset {wanted}; {to} is the nearest");
        }
    }
    if args.export {
        for each in moves {
            write!(
                stdout(),
                "{}",
                plan_file::line(&each.topic, each.partition, each.to)
            )?;
        }
        return Ok(());
    }
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

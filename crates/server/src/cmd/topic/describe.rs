use std::io::{Write, stdout};

use anyhow::Result;
use firth_kafka_codec::{
    EARLIEST_TIMESTAMP, LATEST_TIMESTAMP, ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use serde_json::json;

use crate::client::{Client, check};
use crate::cmd::Server;
use crate::table::table;

#[derive(clap::Args)]
pub(crate) struct Args {
    name: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn run(args: Args) -> Result<()> {
    let mut client = Client::connect(&args.server.server).await?;
    let topic = client.topic(&args.name).await?;
    let mut partitions: Vec<i32> = topic
        .partitions
        .iter()
        .map(|partition| partition.partition_index)
        .collect();
    partitions.sort_unstable();
    let first = offsets(&mut client, &args.name, &partitions, EARLIEST_TIMESTAMP).await?;
    let next = offsets(&mut client, &args.name, &partitions, LATEST_TIMESTAMP).await?;
    let rows = partitions.iter().zip(first.iter().zip(&next));
    let id = topic.topic_id.to_string();
    if args.json {
        let row = |(partition, (first, next)): (&i32, (&i64, &i64))| json!({ "partition": partition, "first_offset": first, "next_offset": next });
        writeln!(
            stdout(),
            "{}",
            json!({ "name": args.name, "id": id, "partitions": rows.map(row).collect::<Vec<_>>() })
        )?;
        return Ok(());
    }
    let row = |(partition, (first, next)): (&i32, (&i64, &i64))| {
        [i64::from(*partition), *first, *next, next - first]
            .map(|number| number.to_string())
            .to_vec()
    };
    writeln!(stdout(), "{} (id {id})", args.name)?;
    write!(
        stdout(),
        "{}",
        table(
            &["partition", "first", "next", "offsets"],
            &rows.map(row).collect::<Vec<_>>()
        )
    )?;
    Ok(())
}

/// The offset at `timestamp` of each partition, in their order.
pub(crate) async fn offsets(
    client: &mut Client,
    topic: &str,
    partitions: &[i32],
    timestamp: i64,
) -> Result<Vec<i64>> {
    let asked = |partition_index: &i32| ListOffsetsPartition {
        partition_index: *partition_index,
        timestamp,
        ..Default::default()
    };
    let asked = ListOffsetsTopic {
        name: topic.into(),
        partitions: partitions.iter().map(asked).collect(),
    };
    let response = client
        .call(&ListOffsetsRequest {
            topics: vec![asked],
            ..Default::default()
        })
        .await?;
    let mut answers: Vec<_> = response
        .topics
        .into_iter()
        .flat_map(|topic| topic.partitions)
        .collect();
    answers.sort_unstable_by_key(|answer| {
        partitions
            .iter()
            .position(|index| *index == answer.partition_index)
    });
    for answer in &answers {
        check(answer.error_code, None)?;
    }
    anyhow::ensure!(
        answers.len() == partitions.len(),
        "the broker did not answer for every partition"
    );
    Ok(answers.into_iter().map(|answer| answer.offset).collect())
}

use std::io::{Write, stdout};

use anyhow::Result;
use firth_kafka_codec::{EARLIEST_TIMESTAMP, LATEST_TIMESTAMP};
use serde_json::json;

use crate::offsets::offsets;
use crate::table::table;
use crate::target::Server;

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
    let mut client = args.server.connect().await?;
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

use std::io::{Write, stdout};

use anyhow::{Context, Result};
use firth_kafka_codec::{CreatePartitionsRequest, CreatePartitionsTopic};
use serde_json::json;

use crate::client::check;
use crate::target::Server;

#[derive(clap::Args)]
pub(crate) struct Args {
    name: String,
    /// Number of partitions that there shall be, with those that there are; they cannot become fewer
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: i32,
    /// Say whether it can be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn run(args: Args) -> Result<()> {
    let mut client = args.server.connect().await?;
    let topic = CreatePartitionsTopic {
        name: args.name.as_str().into(),
        count: args.partitions,
        assignments: None,
    };
    let request = CreatePartitionsRequest {
        topics: vec![topic],
        timeout_ms: 30_000,
        validate_only: args.dry_run,
    };
    let response = client.call(&request).await?;
    let result = response.results.first();
    let result = result.context("the broker's answer names no topic")?;
    check(result.error_code, result.error_message.as_ref())
        .with_context(|| format!("topic {}", args.name))?;
    let (name, partitions) = (&args.name, args.partitions);
    if args.json {
        let altered = json!({ "name": name, "partitions": partitions, "dry_run": args.dry_run });
        writeln!(stdout(), "{altered}")?;
    } else if args.dry_run {
        writeln!(
            stdout(),
            "{name} can have {partitions} partitions; nothing was changed"
        )?;
    } else {
        writeln!(stdout(), "{name} has {partitions} partitions")?;
    }
    Ok(())
}

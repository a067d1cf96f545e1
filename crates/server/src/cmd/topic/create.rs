use std::io::{Write, stdout};

use anyhow::{Context, Result, bail};
use firth_kafka_codec::{ByteStr, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use serde_json::json;

use crate::client::{Client, check};
use crate::cmd::Server;

#[derive(clap::Args)]
pub(crate) struct Args {
    name: String,
    /// Number of partitions [default: the broker's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// A setting of the topic; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = config)]
    config: Vec<(String, String)>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn run(args: Args) -> Result<()> {
    let mut client = Client::connect(&args.server.server).await?;
    let config = |(name, value): &(String, String)| CreatableTopicConfig {
        name: name.as_str().into(),
        value: Some(value.as_str().into()),
    };
    let topic = CreatableTopic {
        name: ByteStr::from(args.name.as_str()),
        num_partitions: args.partitions.unwrap_or(-1),
        replication_factor: -1,
        configs: args.config.iter().map(config).collect(),
        ..Default::default()
    };
    let response = client
        .call(&CreateTopicsRequest {
            topics: vec![topic],
            ..Default::default()
        })
        .await?;
    let result = response
        .topics
        .first()
        .context("the broker's answer names no topic")?;
    check(result.error_code, result.error_message.as_ref())
        .with_context(|| format!("topic {}", args.name))?;
    let id = result.topic_id.to_string();
    if args.json {
        writeln!(
            stdout(),
            "{}",
            json!({ "name": args.name, "id": id, "partitions": result.num_partitions })
        )?;
    } else {
        writeln!(
            stdout(),
            "created {} ({} partitions, id {id})",
            args.name,
            result.num_partitions
        )?;
    }
    Ok(())
}

fn config(text: &str) -> Result<(String, String)> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => bail!("must be NAME=VALUE"),
    }
}

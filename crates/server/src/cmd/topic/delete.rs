use std::io::{Write, stdout};

use anyhow::{Context, Result};
use firth_kafka_codec::{ByteStr, DeleteTopicState, DeleteTopicsRequest};
use serde_json::json;

use crate::client::check;
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
    let name = ByteStr::from(args.name.as_str());
    let request = DeleteTopicsRequest {
        topics: vec![DeleteTopicState {
            name: Some(name.clone()),
            ..Default::default()
        }],
        topic_names: vec![name],
        timeout_ms: 30_000,
    };
    let response = client.call(&request).await?;
    let result = response
        .responses
        .first()
        .context("the broker's answer names no topic")?;
    check(result.error_code, result.error_message.as_ref())
        .with_context(|| format!("topic {}", args.name))?;
    if args.json {
        writeln!(stdout(), "{}", json!({ "name": args.name, "deleted": true }))?;
    } else {
        writeln!(stdout(), "deleted {}", args.name)?;
    }
    Ok(())
}

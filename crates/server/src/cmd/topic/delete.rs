use std::io::{Write, stdout};

use anyhow::{Context, Result};
use firth_kafka_codec::{ByteStr, DeleteTopicState, DeleteTopicsRequest};
use serde_json::json;

use crate::target::Server;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Print one JSON object for each topic
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn run(args: Args) -> Result<()> {
    let mut client = args.server.connect().await?;
    for topic in &args.names {
        let name = ByteStr::from(topic.as_str());
        let request = DeleteTopicsRequest {
            topics: vec![DeleteTopicState {
                name: Some(name.clone()),
                ..Default::default()
            }],
            topic_names: vec![name],
            timeout_ms: 30_000,
        };
        let response = client.call(&request).await?;
        let result = response.responses.first();
        let result = result.context("the broker's answer names no topic")?;
        client
            .check_topic(result.error_code, result.error_message.as_ref(), topic)
            .await?;
        match args.json {
            true => writeln!(stdout(), "{}", json!({ "name": topic, "deleted": true }))?,
            false => writeln!(stdout(), "deleted {topic}")?,
        }
    }
    Ok(())
}

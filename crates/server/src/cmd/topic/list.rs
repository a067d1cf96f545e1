use std::io::{Write, stdout};

use anyhow::Result;
use serde_json::json;

use crate::table::table;
use crate::target::Server;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print one JSON object for each topic
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn run(args: Args) -> Result<()> {
    let mut client = args.server.connect().await?;
    let mut topics = client.metadata(None).await?.topics;
    topics.sort_by(|a, b| a.name.as_deref().cmp(&b.name.as_deref()));
    if args.json {
        for topic in topics {
            let (name, id) = (topic.name.as_deref(), topic.topic_id.to_string());
            writeln!(
                stdout(),
                "{}",
                json!({ "name": name, "id": id, "partitions": topic.partitions.len() })
            )?;
        }
        return Ok(());
    }
    let row = |topic: &firth_kafka_codec::MetadataResponseTopic| {
        let name = topic.name.as_deref().unwrap_or_default().to_owned();
        vec![
            name,
            topic.partitions.len().to_string(),
            topic.topic_id.to_string(),
        ]
    };
    write!(
        stdout(),
        "{}",
        table(
            &["name", "partitions", "id"],
            &topics.iter().map(row).collect::<Vec<_>>()
        )
    )?;
    Ok(())
}

use std::io::{Write, stdout};

use anyhow::{Context, Result};
use firth_kafka_codec::{OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use serde_json::json;

use super::describe::{check_group, check_named};
use super::scope::scope;
use crate::target::Server;

#[derive(clap::Args)]
pub(crate) struct Args {
    name: String,
    /// A topic, or some of its partitions; may be repeated
    #[arg(long, value_name = "TOPIC[:PARTITION,...]", required = true)]
    topic: Vec<String>,
    /// Print one JSON object for each partition
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn run(args: Args) -> Result<()> {
    let mut client = args.server.connect().await?;
    let scope = scope(&mut client, &args.topic).await?;
    let partition = |partition_index: &i32| OffsetDeleteRequestPartition {
        partition_index: *partition_index,
    };
    let topic = |(name, partitions): (&String, &Vec<i32>)| OffsetDeleteRequestTopic {
        name: name.as_str().into(),
        partitions: partitions.iter().map(partition).collect(),
    };
    let request = OffsetDeleteRequest {
        group_id: args.name.as_str().into(),
        topics: scope.iter().map(topic).collect(),
    };
    let response = client.call(&request).await?;
    check_named(&mut client, response.error_code, &args.name).await?;
    for topic in &response.topics {
        for partition in &topic.partitions {
            let (name, index) = (topic.name.as_str(), partition.partition_index);
            check_group(partition.error_code).with_context(|| format!("partition {index} of {name}"))?;
            match args.json {
                true => {
                    let line = json!({ "topic": name, "partition": index, "deleted": true });
                    writeln!(stdout(), "{line}")?;
                }
                false => writeln!(stdout(), "deleted the offset of {} in {name}/{index}", args.name)?,
            }
        }
    }
    Ok(())
}

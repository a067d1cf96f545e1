use std::io::{Write, stdout};

use anyhow::{Context, Result};
use firth_kafka_codec::{
    CreatePartitionsRequest, CreatePartitionsTopic, OPERATION_DELETE, OPERATION_SET, RESOURCE_TOPIC,
};
use serde_json::json;

use super::create::{config, without_effect};
use crate::client::Client;
use crate::cmd::config::{Resource, alter};
use crate::target::Server;

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
pub(crate) struct Args {
    name: String,
    /// Number of partitions that there shall be, with those that there are; they cannot become fewer
    #[arg(long, value_name = "N", group = "change", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// Set a setting of the topic; may be repeated
    #[arg(long, value_name = "NAME=VALUE", group = "change", value_parser = config)]
    config: Vec<(String, String)>,
    /// Give a setting of the topic its default; may be repeated
    #[arg(long, value_name = "NAME", group = "change")]
    delete_config: Vec<String>,
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
    // The configuration first: it can be refused for more reasons, and be changed back.
    if !args.config.is_empty() || !args.delete_config.is_empty() {
        let set = args
            .config
            .iter()
            .map(|(name, value)| (&**name, OPERATION_SET, Some(&**value)));
        let deleted = args
            .delete_config
            .iter()
            .map(|name| (&**name, OPERATION_DELETE, None));
        let resource = Resource {
            resource_type: RESOURCE_TOPIC,
            name: args.name.clone(),
        };
        alter(&mut client, &resource, set.chain(deleted), args.dry_run).await?;
    }
    if let Some(partitions) = args.partitions {
        create_partitions(&mut client, &args, partitions).await?;
    }
    print(&args)
}

async fn create_partitions(client: &mut Client, args: &Args, count: i32) -> Result<()> {
    let topic = CreatePartitionsTopic {
        name: args.name.as_str().into(),
        count,
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
    let (code, message) = (result.error_code, result.error_message.as_ref());
    client.check_topic(code, message, &args.name).await
}

fn print(args: &Args) -> Result<()> {
    let name = &args.name;
    let notes: Vec<_> = without_effect(&args.config).collect();
    if args.json {
        let config: serde_json::Map<_, _> = args
            .config
            .iter()
            .map(|(name, value)| (name.clone(), value.clone().into()))
            .collect();
        let altered = json!({
            "name": name,
            "partitions": args.partitions,
            "config": config,
            "deleted_config": args.delete_config,
            "dry_run": args.dry_run,
            "notes": notes,
        });
        writeln!(stdout(), "{altered}")?;
        return Ok(());
    }
    let mut done: Vec<String> = Vec::new();
    done.extend(
        args.partitions
            .map(|partitions| format!("{partitions} partitions")),
    );
    done.extend(args.config.iter().map(|(name, value)| format!("{name}={value}")));
    done.extend(
        args.delete_config
            .iter()
            .map(|name| format!("the default of {name}")),
    );
    let done = done.join(", ");
    match args.dry_run {
        true => writeln!(stdout(), "{name} can have {done}; nothing was changed")?,
        false => writeln!(stdout(), "{name} has {done}")?,
    }
    for note in notes {
        eprintln!("note: {note}");
    }
    Ok(())
}

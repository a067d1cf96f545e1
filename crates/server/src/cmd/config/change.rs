use std::io::{Write, stdout};

use anyhow::{Context, Result};
use firth_kafka_codec::{
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResource, IncrementalAlterableConfig,
    OPERATION_DELETE, OPERATION_SET, RESOURCE_TOPIC,
};
use serde_json::json;

use super::{Resource, only};
use crate::client::check;
use crate::cmd::topic::create::{config, without_effect};
use crate::target::Server;

#[derive(clap::Args)]
pub(crate) struct SetArgs {
    /// The settings
    #[arg(required = true, value_name = "NAME=VALUE", value_parser = config)]
    settings: Vec<(String, String)>,
    #[command(flatten)]
    common: Change,
}

#[derive(clap::Args)]
pub(crate) struct DeleteArgs {
    /// The settings
    #[arg(required = true, value_name = "NAME")]
    settings: Vec<String>,
    #[command(flatten)]
    common: Change,
}

#[derive(clap::Args)]
struct Change {
    /// The topic
    #[arg(long, value_name = "NAME")]
    topic: String,
    /// Say whether it can be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn set(args: SetArgs) -> Result<()> {
    let settings = args
        .settings
        .iter()
        .map(|(name, value)| IncrementalAlterableConfig {
            name: name.as_str().into(),
            config_operation: OPERATION_SET,
            value: Some(value.as_str().into()),
        });
    alter(&args.common, settings.collect()).await?;
    let notes: Vec<_> = without_effect(&args.settings).collect();
    let texts: Vec<_> = args
        .settings
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    report(&args.common, "set", &texts, &notes)
}

pub(super) async fn delete(args: DeleteArgs) -> Result<()> {
    let settings = args.settings.iter().map(|name| IncrementalAlterableConfig {
        name: name.as_str().into(),
        config_operation: OPERATION_DELETE,
        value: None,
    });
    alter(&args.common, settings.collect()).await?;
    report(&args.common, "deleted", &args.settings, &[])
}

async fn alter(args: &Change, configs: Vec<IncrementalAlterableConfig>) -> Result<()> {
    let mut client = args.server.connect().await?;
    let resource = Resource {
        resource_type: RESOURCE_TOPIC,
        name: args.topic.clone(),
    };
    let asked = IncrementalAlterConfigsResource {
        resource_type: resource.resource_type,
        resource_name: resource.name.as_str().into(),
        configs,
    };
    let request = IncrementalAlterConfigsRequest {
        resources: vec![asked],
        validate_only: args.dry_run,
    };
    let result = only(client.call(&request).await?.responses)?;
    check(result.error_code, result.error_message.as_ref()).with_context(|| resource.title())
}

fn report(args: &Change, done: &str, settings: &[String], notes: &[String]) -> Result<()> {
    let topic = &args.topic;
    if args.json {
        let report = json!({ "topic": topic, done: settings, "dry_run": args.dry_run, "notes": notes });
        writeln!(stdout(), "{report}")?;
        return Ok(());
    }
    let settings = settings.join(", ");
    if args.dry_run {
        writeln!(
            stdout(),
            "topic {topic}: {settings} can be {done}; nothing was changed"
        )?;
    } else {
        writeln!(stdout(), "topic {topic}: {done} {settings}")?;
    }
    for note in notes {
        eprintln!("note: {note}");
    }
    Ok(())
}

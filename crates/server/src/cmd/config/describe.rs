use std::io::{Write, stdout};

use anyhow::{Context, Result};
use firth_kafka_codec::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, RESOURCE_TOPIC,
    SOURCE_DEFAULT, SOURCE_STATIC_BROKER, SOURCE_TOPIC,
};
use serde_json::json;

use super::{Resource, only};
use crate::client::check;
use crate::table::table;
use crate::target::Server;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The topic [default: the broker]
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// Only what is set, and not what is the default
    #[arg(long)]
    set: bool,
    /// Print JSON, with the documentation of each setting
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn run(args: Args) -> Result<()> {
    let mut client = args.server.connect().await?;
    let resource = Resource::find(&mut client, args.topic).await?;
    let asked = DescribeConfigsResource {
        resource_type: resource.resource_type,
        resource_name: resource.name.as_str().into(),
        configuration_keys: None,
    };
    let request = DescribeConfigsRequest {
        resources: vec![asked],
        include_synonyms: false,
        include_documentation: true,
    };
    let result = only(client.call(&request).await?.results)?;
    check(result.error_code, result.error_message.as_ref()).with_context(|| resource.title())?;
    let mut configs = result.configs;
    if args.set {
        configs.retain(|config| config.config_source != SOURCE_DEFAULT);
    }
    configs.sort_unstable_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
    if args.json {
        let settings: Vec<_> = configs.iter().map(as_json).collect();
        let kind = if resource.resource_type == RESOURCE_TOPIC {
            "topic"
        } else {
            "broker"
        };
        writeln!(
            stdout(),
            "{}",
            json!({ kind: resource.name, "settings": settings })
        )?;
        return Ok(());
    }
    let row = |config: &DescribeConfigsResourceResult| {
        let value = config.value.as_ref().map(ToString::to_string);
        vec![
            config.name.to_string(),
            value.unwrap_or_default(),
            source(config).to_owned(),
        ]
    };
    let rows: Vec<_> = configs.iter().map(row).collect();
    write!(stdout(), "{}", table(&["setting", "value", "source"], &rows))?;
    Ok(())
}

fn as_json(config: &DescribeConfigsResourceResult) -> serde_json::Value {
    json!({
        "name": config.name.as_str(),
        "value": config.value.as_ref().map(|value| value.as_str()),
        "source": source(config),
        "read_only": config.read_only,
        "documentation": config.documentation.as_ref().map(|text| text.as_str()),
    })
}

fn source(config: &DescribeConfigsResourceResult) -> &'static str {
    match config.config_source {
        SOURCE_TOPIC => "topic",
        SOURCE_STATIC_BROKER => "broker",
        SOURCE_DEFAULT => "default",
        _ => "other",
    }
}

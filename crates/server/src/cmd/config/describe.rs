use std::io::{Write, stdout};

use anyhow::Result;
use firth_kafka_codec::{DescribeConfigsResourceResult, SOURCE_DEFAULT, SOURCE_STATIC_BROKER, SOURCE_TOPIC};
use serde_json::json;

use super::{Named, settings};
use crate::table::table;
use crate::target::Server;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    named: Named,
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
    let resource = args.named.find(&mut client).await?;
    let mut configs = settings(&mut client, &resource).await?;
    if args.set {
        configs.retain(|config| config.config_source != SOURCE_DEFAULT);
    }
    if args.json {
        let settings: Vec<_> = configs.iter().map(as_json).collect();
        writeln!(
            stdout(),
            "{}",
            json!({ resource.kind(): resource.name, "settings": settings })
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

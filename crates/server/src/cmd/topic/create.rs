use std::io::{Write, stdout};

use anyhow::{Context, Result, bail};
use firth_broker::{Effect, SETTINGS};
use firth_kafka_codec::{
    ByteStr, CreatableTopic, CreatableTopicConfig, CreatableTopicResult, CreateTopicsRequest, ErrorCode,
};
use serde_json::json;

use crate::client::check;
use crate::target::Server;

#[derive(clap::Args)]
pub(crate) struct Args {
    name: String,
    /// Number of partitions [default: the broker's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// Copies that are asked for [default: the broker's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i16).range(1..))]
    replication_factor: Option<i16>,
    /// A setting of the topic; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = config)]
    config: Vec<(String, String)>,
    /// Succeed if the topic is there already, whatever it is like
    #[arg(long)]
    if_not_exists: bool,
    /// Say whether it can be created, and do nothing
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
    let config = |(name, value): &(String, String)| CreatableTopicConfig {
        name: name.as_str().into(),
        value: Some(value.as_str().into()),
    };
    let topic = CreatableTopic {
        name: ByteStr::from(args.name.as_str()),
        num_partitions: args.partitions.unwrap_or(-1),
        replication_factor: args.replication_factor.unwrap_or(-1),
        configs: args.config.iter().map(config).collect(),
        ..Default::default()
    };
    let response = client
        .call(&CreateTopicsRequest {
            topics: vec![topic],
            validate_only: args.dry_run,
            ..Default::default()
        })
        .await?;
    let result = response
        .topics
        .first()
        .context("the broker's answer names no topic")?;
    if args.if_not_exists && result.error_code == ErrorCode::TopicAlreadyExists {
        return print_existing(&args);
    }
    check(result.error_code, result.error_message.as_ref())
        .with_context(|| format!("topic {}", args.name))?;
    let (id, partitions) = (result.topic_id.to_string(), result.num_partitions);
    let notes = notes(&args, result);
    if args.json {
        let created = json!({
            "name": args.name,
            "id": id,
            "partitions": partitions,
            "replication_factor": result.replication_factor,
            "created": !args.dry_run,
            "notes": notes,
        });
        writeln!(stdout(), "{created}")?;
        return Ok(());
    }
    let name = &args.name;
    match args.dry_run {
        true => writeln!(
            stdout(),
            "{name} can be created ({partitions} partitions); nothing was changed"
        )?,
        false => writeln!(stdout(), "created {name} ({partitions} partitions, id {id})")?,
    }
    for note in notes {
        eprintln!("note: {note}");
    }
    Ok(())
}

fn print_existing(args: &Args) -> Result<()> {
    match args.json {
        true => writeln!(stdout(), "{}", json!({ "name": args.name, "created": false }))?,
        false => writeln!(stdout(), "{} is there already", args.name)?,
    }
    Ok(())
}

/// What was asked for and is there as something else.
fn notes(args: &Args, result: &CreatableTopicResult) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(asked) = args.replication_factor
        && asked != result.replication_factor
        && result.replication_factor > 0
    {
        notes.push(format!(
            "replication factor {asked} was accepted, and it is {}: there is one broker, and it keeps one copy",
            result.replication_factor
        ));
    }
    notes.extend(without_effect(&args.config));
    notes
}

/// A note on each setting of a topic that does nothing.
pub(crate) fn without_effect(configs: &[(String, String)]) -> impl Iterator<Item = String> {
    configs.iter().filter_map(|(name, value)| {
        // The protocol has no words for this, but a broker of this version does with a setting what its table says.
        let setting = SETTINGS.iter().find(|setting| setting.name == name)?;
        match setting.effect {
            Effect::Accepted(reason) => {
                Some(format!("{name}={value} was accepted and has no effect: {reason}"))
            }
            Effect::Enforced => None,
        }
    })
}

pub(crate) fn config(text: &str) -> Result<(String, String)> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => bail!("must be NAME=VALUE"),
    }
}

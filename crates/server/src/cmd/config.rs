mod change;
mod describe;

use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use firth_kafka_codec::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, ErrorCode,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResource, IncrementalAlterableConfig,
    RESOURCE_BROKER, RESOURCE_GROUP, RESOURCE_TOPIC,
};

use crate::client::{Client, check};
use crate::nearest::similar;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Show how a topic, a group or the broker is configured
    Describe(describe::Args),
    /// Set settings of a topic; what is not named stays as it is
    Set(change::SetArgs),
    /// Give settings of a topic their defaults
    Delete(change::DeleteArgs),
}

pub(crate) fn run(command: Command) -> Result<ExitCode> {
    super::block_on(async {
        match command {
            Command::Describe(args) => describe::run(args).await,
            Command::Set(args) => change::set(args).await,
            Command::Delete(args) => change::delete(args).await,
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// What is configured.
pub(crate) struct Resource {
    pub(crate) resource_type: i8,
    pub(crate) name: String,
}

/// The resource that a command is about; the broker, which has what it was started with, where none is named.
#[derive(clap::Args)]
struct Named {
    /// The topic
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// The consumer group
    #[arg(long, value_name = "NAME", conflicts_with = "topic")]
    group: Option<String>,
    /// The broker, by its number
    #[arg(long, value_name = "ID", conflicts_with_all = ["topic", "group"])]
    broker: Option<i32>,
}

impl Named {
    async fn find(&self, client: &mut Client) -> Result<Resource> {
        let named = |resource_type, name: &str| Resource {
            resource_type,
            name: name.to_owned(),
        };
        if let Some(name) = &self.topic {
            return Ok(named(RESOURCE_TOPIC, name));
        }
        if let Some(name) = &self.group {
            return Ok(named(RESOURCE_GROUP, name));
        }
        if let Some(id) = self.broker {
            return Ok(named(RESOURCE_BROKER, &id.to_string()));
        }
        let metadata = client.metadata(Some(&[])).await?;
        let [broker] = &metadata.brokers[..] else {
            bail!(
                "there are {} brokers: name one with --broker",
                metadata.brokers.len()
            );
        };
        Ok(named(RESOURCE_BROKER, &broker.node_id.to_string()))
    }
}

impl Resource {
    fn kind(&self) -> &'static str {
        match self.resource_type {
            RESOURCE_TOPIC => "topic",
            RESOURCE_GROUP => "group",
            _ => "broker",
        }
    }

    /// As messages name it.
    fn title(&self) -> String {
        format!("{} {}", self.kind(), self.name)
    }
}

/// All settings of a resource, sorted by name.
pub(crate) async fn settings(
    client: &mut Client,
    resource: &Resource,
) -> Result<Vec<DescribeConfigsResourceResult>> {
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
    let (code, message) = (result.error_code, result.error_message.as_ref());
    match resource.resource_type {
        RESOURCE_TOPIC => client.check_topic(code, message, &resource.name).await?,
        _ => check(code, message).with_context(|| resource.title())?,
    }
    let mut configs = result.configs;
    configs.sort_unstable_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
    Ok(configs)
}

/// Changes settings, each named with the operation and its value.
pub(crate) async fn alter<'a>(
    client: &mut Client,
    resource: &Resource,
    changes: impl Iterator<Item = (&'a str, i8, Option<&'a str>)>,
    is_dry_run: bool,
) -> Result<()> {
    let changes: Vec<_> = changes.collect();
    let config = |(name, config_operation, value): &(&str, i8, Option<&str>)| IncrementalAlterableConfig {
        name: (*name).into(),
        config_operation: *config_operation,
        value: value.map(Into::into),
    };
    let asked = IncrementalAlterConfigsResource {
        resource_type: resource.resource_type,
        resource_name: resource.name.as_str().into(),
        configs: changes.iter().map(config).collect(),
    };
    let request = IncrementalAlterConfigsRequest {
        resources: vec![asked],
        validate_only: is_dry_run,
    };
    let result = only(client.call(&request).await?.responses)?;
    let (code, message) = (result.error_code, result.error_message.as_ref());
    if code == ErrorCode::InvalidConfig {
        let there = settings(client, resource).await.unwrap_or_default();
        let is_there = |name: &str| there.iter().any(|setting| setting.name.as_str() == name);
        let names = || there.iter().map(|setting| setting.name.to_string());
        let unknown = changes.iter().find(|(name, ..)| !is_there(name));
        if let Some((name, found)) = unknown.and_then(|(name, ..)| Some((name, similar(name, names())?))) {
            let problem = anyhow!(
                "there is no setting {name} ({}): did you mean {found}?",
                code.name()
            );
            return Err(problem).with_context(|| resource.title());
        }
    }
    match resource.resource_type {
        RESOURCE_TOPIC => client.check_topic(code, message, &resource.name).await,
        RESOURCE_BROKER if code == ErrorCode::InvalidRequest => {
            let hint = "a broker's settings are given where it is started: see `firth serve --help`";
            let problem = check(code, message).map_err(|problem| anyhow!("{problem}; {hint}"));
            problem.with_context(|| resource.title())
        }
        _ => check(code, message).with_context(|| resource.title()),
    }
}

/// The one answer to a request about one resource.
fn only<T>(answers: Vec<T>) -> Result<T> {
    answers
        .into_iter()
        .next()
        .context("the broker's answer names no resource")
}

//! What is configured. Of a topic these are its own settings and what they would be without it, of the broker what it was
//! started with, under Apache Kafka's names.

mod broker;
mod group;
mod groups;
mod logger;
mod topic;

use firth_kafka_codec::{
    ByteStr, DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
    DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym, ErrorCode, RESOURCE_BROKER,
    RESOURCE_BROKER_LOGGER, RESOURCE_GROUP, RESOURCE_TOPIC, SOURCE_DEFAULT,
};

use super::{Answer, Refused, find_topic, once, refused};
use crate::server::Client;

pub(super) use self::broker::check_id as check_broker_id;

/// Settings that one answer names, in all of its resources together: 70 MB of memory. A client may ask for a million topics.
const CONFIGS_MAX: usize = 500_000;

/// Apache Kafka's words.
pub(super) const GROUP_WITHOUT_NAME: &str = "Group name must not be empty";

/// A setting as it is.
struct Config {
    name: &'static str,
    value: Option<ByteStr>,
    source: i8,
    read_only: bool,
    config_type: i8,
    /// Name, value and source: what is in force first, then what would be if that were not set.
    synonyms: Vec<(&'static str, Option<ByteStr>, i8)>,
    documentation: &'static str,
    /// Why it does nothing, if it does nothing.
    without_effect: Option<&'static str>,
}

impl Config {
    fn documentation(&self) -> ByteStr {
        match self.without_effect {
            Some(reason) => ByteStr::from(format!("{} It has no effect: {reason}.", self.documentation)),
            None => ByteStr::from_static(self.documentation),
        }
    }
}

pub(super) async fn handle(client: Client, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let mut left = CONFIGS_MAX;
    let (synonyms, documentation) = (request.include_synonyms, request.include_documentation);
    let key = |resource: &DescribeConfigsResource| (resource.resource_type, resource.resource_name.clone());
    let mut results = Vec::new();
    for (resource, _) in once(request.resources, key) {
        let described = describe(&client, &resource).and_then(|mut configs| {
            let wanted = resource.configuration_keys.as_deref().unwrap_or_default();
            // None and none at all both mean all, as they do to Apache Kafka.
            if !wanted.is_empty() {
                configs.retain(|config| wanted.iter().any(|name| *name == config.name));
            }
            left = left.checked_sub(configs.len()).ok_or_else(too_many)?;
            Ok(configs)
        });
        results.push(result(resource, described, synonyms, documentation));
    }
    DescribeConfigsResponse {
        results,
        ..Default::default()
    }
}

fn too_many() -> Refused {
    let reason = format!("an answer names {CONFIGS_MAX} settings at most: ask for fewer resources at a time");
    refused(ErrorCode::InvalidRequest, &reason)
}

fn describe(client: &Client, resource: &DescribeConfigsResource) -> Result<Vec<Config>, Refused> {
    let name = resource.resource_name.as_str();
    match resource.resource_type {
        RESOURCE_TOPIC => Ok(topic::configs(&find_topic(client, name)?.config)),
        // Without an id what is set for all brokers is meant, and nothing is.
        RESOURCE_BROKER if name.is_empty() => Ok(Vec::new()),
        RESOURCE_BROKER => {
            check_broker_id(client, name)?;
            Ok(broker::configs(client))
        }
        RESOURCE_BROKER_LOGGER => {
            check_broker_id(client, name)?;
            Ok(logger::configs())
        }
        RESOURCE_GROUP if !name.is_empty() => Ok(group::configs()),
        RESOURCE_GROUP => Err(refused(ErrorCode::InvalidRequest, &GROUP_WITHOUT_NAME)),
        other => Err(unsupported(other)),
    }
}

/// Resources of this type have no configuration here.
pub(super) fn unsupported(resource_type: i8) -> Refused {
    let reason = format!("resources of type {resource_type} cannot be configured");
    refused(ErrorCode::InvalidRequest, &reason)
}

fn result(
    resource: DescribeConfigsResource,
    described: Result<Vec<Config>, Refused>,
    synonyms: bool,
    documentation: bool,
) -> DescribeConfigsResult {
    let (error_code, error_message, configs) = match described {
        Ok(configs) => (ErrorCode::None, Some(ByteStr::default()), configs),
        Err((error_code, error_message)) => (error_code, error_message, Vec::new()),
    };
    let configs = configs.into_iter();
    DescribeConfigsResult {
        error_code,
        error_message,
        resource_type: resource.resource_type,
        resource_name: resource.resource_name,
        configs: configs
            .map(|config| entry(config, synonyms, documentation))
            .collect(),
    }
}

fn entry(config: Config, synonyms: bool, documentation: bool) -> DescribeConfigsResourceResult {
    let synonym = |(name, value, source)| DescribeConfigsSynonym {
        name: ByteStr::from_static(name),
        value,
        source,
    };
    let documentation = documentation.then(|| config.documentation());
    let synonyms = synonyms.then(|| config.synonyms.into_iter().map(synonym).collect());
    DescribeConfigsResourceResult {
        name: ByteStr::from_static(config.name),
        value: config.value,
        read_only: config.read_only,
        is_default: config.source == SOURCE_DEFAULT,
        config_source: config.source,
        is_sensitive: false,
        synonyms: synonyms.unwrap_or_default(),
        config_type: config.config_type,
        documentation,
    }
}

impl Answer for DescribeConfigsResponse {
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        self.results.iter().map(|result| result.error_code)
    }
}

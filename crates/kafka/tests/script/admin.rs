//! Requests of administrators, and how their answers are printed: those about configurations and partitions here, those about
//! the cluster in `cluster.rs`, those about quotas in `quotas.rs`.

mod absent;
mod cluster;
mod quotas;

use bytes::Bytes;
use firth_kafka_codec::*;

use super::Sent;
use super::print::{error, message, read};
use super::request::{Words, one};
use crate::support::TestClient;

pub(super) fn encode(words: &Words<'_>, client: &mut TestClient) -> (Sent, Bytes) {
    let version = |default| words.number("v", default);
    match words.words[0] {
        "config" => one(client, version(4), &describe_configs(words)),
        "alter" => one(client, version(2), &alter_configs(words)),
        "edit" => one(client, version(1), &incremental_alter_configs(words)),
        "partitions" => one(client, version(3), &create_partitions(words)),
        "resources" => {
            let types = words.text("types").unwrap_or_default().split_terminator(',');
            let request = ListConfigResourcesRequest {
                resource_types: types.map(|number| number.parse().unwrap()).collect(),
            };
            one(client, version(1), &request)
        }
        "limit" | "quotas" => quotas::encode(words, client),
        absent if absent::REQUESTS.contains(&absent) => absent::encode(words, client),
        _ => cluster::encode(words, client),
    }
}

const TYPES: [(&str, i8); 5] = [
    ("topic", RESOURCE_TOPIC),
    ("broker", RESOURCE_BROKER),
    ("logger", RESOURCE_BROKER_LOGGER),
    ("metrics", RESOURCE_CLIENT_METRICS),
    ("group", RESOURCE_GROUP),
];

/// Words of the form `type:name`.
fn resources<'a>(words: &'a Words<'_>) -> impl Iterator<Item = (i8, ByteStr)> + 'a {
    let named = words.words[1..].iter().filter_map(|word| word.split_once(':'));
    named.map(|(kind, name)| {
        let known = TYPES.iter().find(|(known, _)| *known == kind);
        (
            known.map_or_else(|| kind.parse().unwrap(), |(_, number)| *number),
            name.into(),
        )
    })
}

fn resource(resource_type: i8, name: &ByteStr) -> String {
    let known = TYPES.iter().find(|(_, number)| *number == resource_type);
    let kind = known.map_or_else(|| resource_type.to_string(), |(kind, _)| (*kind).to_owned());
    format!("{kind}:{name}")
}

fn describe_configs(words: &Words<'_>) -> DescribeConfigsRequest {
    let keys = words.text("keys");
    let keys = keys.map(|keys| keys.split_terminator(',').map(ByteStr::from).collect());
    let resource = |(resource_type, resource_name)| DescribeConfigsResource {
        resource_type,
        resource_name,
        configuration_keys: keys.clone(),
    };
    DescribeConfigsRequest {
        resources: resources(words).map(resource).collect(),
        include_synonyms: words.has("synonyms"),
        include_documentation: words.has("documented"),
    }
}

/// The pairs whose name has a point in it, by name. `null` is no value.
fn settings<'a>(words: &'a Words<'_>) -> impl Iterator<Item = (&'a str, Option<ByteStr>)> {
    let mut settings: Vec<_> = words
        .values
        .iter()
        .filter(|(name, _)| name.contains('.'))
        .collect();
    settings.sort();
    let value = |value: &str| (value != "null").then(|| value.into());
    settings.into_iter().map(move |(name, text)| (*name, value(text)))
}

fn alter_configs(words: &Words<'_>) -> AlterConfigsRequest {
    let setting = |(name, value): (&str, _)| AlterableConfig {
        name: name.into(),
        value,
    };
    let mut configs: Vec<_> = settings(words).map(setting).collect();
    if words.has("twice") {
        configs.extend(configs.clone());
    }
    let resource = |(resource_type, resource_name)| AlterConfigsResource {
        resource_type,
        resource_name,
        configs: configs.clone(),
    };
    AlterConfigsRequest {
        resources: resources(words).map(resource).collect(),
        validate_only: words.has("validate"),
    }
}

/// As `alter_configs`, but a name may begin with what is to be done: `delete:name=`.
fn incremental_alter_configs(words: &Words<'_>) -> IncrementalAlterConfigsRequest {
    let configs = settings(words).map(|(name, value)| {
        let (operation, name) = name.split_once(':').unwrap_or(("set", name));
        let config_operation = match operation {
            "set" => OPERATION_SET,
            "delete" => OPERATION_DELETE,
            "append" => OPERATION_APPEND,
            "subtract" => OPERATION_SUBTRACT,
            other => other.parse().unwrap(),
        };
        IncrementalAlterableConfig {
            name: name.into(),
            config_operation,
            value,
        }
    });
    let configs: Vec<_> = configs.collect();
    let resource = |(resource_type, resource_name)| IncrementalAlterConfigsResource {
        resource_type,
        resource_name,
        configs: configs.clone(),
    };
    IncrementalAlterConfigsRequest {
        resources: resources(words).map(resource).collect(),
        validate_only: words.has("validate"),
    }
}

/// `topic:count` each; `assign=1,2` gives each new partition a broker.
fn create_partitions(words: &Words<'_>) -> CreatePartitionsRequest {
    let assignments = words.text("assign").map(|brokers| {
        let assignment = |broker: &str| CreatePartitionsAssignment {
            broker_ids: vec![broker.parse().unwrap()],
        };
        brokers.split_terminator(',').map(assignment).collect::<Vec<_>>()
    });
    let named = words.words[1..].iter().filter_map(|word| word.split_once(':'));
    let topics = named.map(|(name, count)| CreatePartitionsTopic {
        name: name.into(),
        count: count.parse().unwrap(),
        assignments: assignments.clone(),
    });
    CreatePartitionsRequest {
        topics: topics.collect(),
        timeout_ms: 1000,
        validate_only: words.has("validate"),
    }
}

pub(super) fn response(api: ApiKey, version: i16, frame: &Bytes) -> Vec<String> {
    match api {
        ApiKey::DescribeConfigs => configs(&read::<DescribeConfigsRequest>(version, frame), version),
        ApiKey::AlterConfigs => altered(&read::<AlterConfigsRequest>(version, frame).responses),
        ApiKey::IncrementalAlterConfigs => {
            altered(&read::<IncrementalAlterConfigsRequest>(version, frame).responses)
        }
        ApiKey::CreatePartitions => {
            let response = read::<CreatePartitionsRequest>(version, frame);
            let lines = response.results.iter().map(|topic| {
                let (code, reason) = (error(topic.error_code), message(topic.error_message.as_ref()));
                format!("{} has more{code}{reason}", topic.name)
            });
            lines.collect()
        }
        ApiKey::ListConfigResources => {
            let response = read::<ListConfigResourcesRequest>(version, frame);
            let resources = response.config_resources.iter();
            let names =
                resources.map(|found| format!(" {}", resource(found.resource_type, &found.resource_name)));
            vec![format!(
                "resources{}{}",
                names.collect::<String>(),
                error(response.error_code)
            )]
        }
        ApiKey::AlterClientQuotas | ApiKey::DescribeClientQuotas => quotas::response(api, version, frame),
        _ => absent::response(api, version, frame).unwrap_or_else(|| cluster::response(api, version, frame)),
    }
}

fn configs(response: &DescribeConfigsResponse, version: i16) -> Vec<String> {
    let mut lines = Vec::new();
    for result in &response.results {
        let (code, reason) = (error(result.error_code), message(result.error_message.as_ref()));
        let name = resource(result.resource_type, &result.resource_name);
        lines.push(format!("{name}{code}{reason}"));
        lines.extend(result.configs.iter().map(|config| setting(config, version)));
    }
    lines
}

fn setting(config: &DescribeConfigsResourceResult, version: i16) -> String {
    let shown = |value: &Option<ByteStr>| match value {
        // The port is another one in each run.
        Some(address) if config.name == "advertised.listeners" => {
            address.rsplit_once(':').unwrap().0.to_owned()
        }
        Some(value) => value.to_string(),
        None => "null".to_owned(),
    };
    let value = shown(&config.value);
    let read_only = if config.read_only { " read-only" } else { "" };
    let from = match version {
        0 if config.is_default => " default".to_owned(),
        0 => String::new(),
        _ => format!(" source={}", config.config_source),
    };
    let config_type = match config.config_type {
        0 => String::new(),
        config_type => format!(" type={config_type}"),
    };
    let synonyms = config
        .synonyms
        .iter()
        .map(|synonym| format!(" [{}={} {}]", synonym.name, shown(&synonym.value), synonym.source));
    let documentation = message(config.documentation.as_ref());
    let synonyms: String = synonyms.collect();
    format!(
        "  {}={value}{from}{config_type}{read_only}{synonyms}{documentation}",
        config.name
    )
}

fn altered(responses: &[AlterConfigsResourceResponse]) -> Vec<String> {
    let lines = responses.iter().map(|response| {
        let (code, reason) = (
            error(response.error_code),
            message(response.error_message.as_ref()),
        );
        format!(
            "{} altered{code}{reason}",
            resource(response.resource_type, &response.resource_name)
        )
    });
    lines.collect()
}

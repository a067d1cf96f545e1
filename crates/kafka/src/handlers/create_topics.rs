use firth_broker::{Created, DefineError, NewTopic};
use firth_kafka_codec::{
    ByteStr, CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfigs, CreatableTopicResult,
    CreateTopicsRequest, CreateTopicsResponse, ErrorCode, Uuid,
};

use super::{Answer, REPEATED, message, once};
use crate::error;
use crate::server::Client;

/// "The broker's default".
const DEFAULT: i16 = -1;
/// One broker that flushes has one copy of everything, whatever was asked for.
const REPLICATION_FACTOR: i16 = 1;

/// Where a setting comes from (KIP-226).
const SOURCE_TOPIC: i8 = 1;
const SOURCE_DEFAULT: i8 = 5;

pub(super) async fn handle(client: &Client, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for (topic, is_repeated) in once(request.topics, |topic| topic.name.clone()) {
        let name = topic.name.clone();
        let created = if is_repeated {
            Err((ErrorCode::InvalidRequest, message(&REPEATED)))
        } else {
            create(client, topic, request.validate_only).await
        };
        topics.push(match created {
            Ok(created) => result(name, &created, request.validate_only),
            Err((error_code, error_message)) => CreatableTopicResult {
                name,
                error_code,
                error_message,
                ..Default::default()
            },
        });
    }
    CreateTopicsResponse {
        topics,
        ..Default::default()
    }
}

type Refused = (ErrorCode, Option<ByteStr>);

async fn create(client: &Client, asked: CreatableTopic, validate_only: bool) -> Result<Created, Refused> {
    let new = NewTopic {
        name: asked.name.as_str().to_owned(),
        partitions: partitions(client, &asked)?,
        configs: configs(&asked),
    };
    let broker = &client.server.broker;
    let created = match validate_only {
        true => broker.validate_topic(new).await,
        false => broker.create_topic(new).await,
    };
    let created = created.map_err(|error: DefineError| (error::of_define(&error), message(&error)))?;
    warn(&asked, &created.warnings);
    Ok(created)
}

/// The number of partitions, if one was asked for, directly or by assigning replicas.
fn partitions(client: &Client, asked: &CreatableTopic) -> Result<Option<i64>, Refused> {
    let refuse = |error_code, reason: &str| Err((error_code, message(&reason)));
    if asked.assignments.is_empty() {
        return match (asked.replication_factor, asked.num_partitions) {
            (DEFAULT | 1.., partitions) if partitions == i32::from(DEFAULT) => Ok(None),
            (DEFAULT | 1.., partitions) => Ok(Some(i64::from(partitions))),
            _ => refuse(
                ErrorCode::InvalidReplicationFactor,
                "a replication factor is at least 1",
            ),
        };
    }
    if asked.num_partitions != i32::from(DEFAULT) || asked.replication_factor != DEFAULT {
        let reason = "replicas are assigned, so neither partitions nor a replication factor can be asked for";
        return refuse(ErrorCode::InvalidRequest, reason);
    }
    if !are_consecutive(&asked.assignments) {
        let reason = "assigned partitions are numbered from 0 without gaps";
        return refuse(ErrorCode::InvalidReplicaAssignment, reason);
    }
    let node_id = client.server.config.node_id;
    if asked
        .assignments
        .iter()
        .any(|assignment| assignment.broker_ids != [node_id])
    {
        let reason = format!("replicas can be assigned to broker {node_id} only, as there is no other");
        return refuse(ErrorCode::InvalidReplicaAssignment, &reason);
    }
    Ok(i64::try_from(asked.assignments.len()).ok())
}

fn are_consecutive(assignments: &[CreatableReplicaAssignment]) -> bool {
    let mut indexes: Vec<_> = assignments
        .iter()
        .map(|assignment| assignment.partition_index)
        .collect();
    indexes.sort_unstable();
    indexes.into_iter().eq((0..).take(assignments.len()))
}

fn configs(asked: &CreatableTopic) -> Vec<(String, Option<String>)> {
    let text = |text: &ByteStr| text.as_str().to_owned();
    asked
        .configs
        .iter()
        .map(|config| (text(&config.name), config.value.as_ref().map(text)))
        .collect()
}

/// What was asked for and has no effect is said in the log, because the response has no place for it.
fn warn(asked: &CreatableTopic, warnings: &[String]) {
    let topic = &asked.name;
    if asked.replication_factor > REPLICATION_FACTOR {
        let replication_factor = asked.replication_factor;
        tracing::warn!(%topic, replication_factor, "one broker has one copy: the replication factor is 1");
    }
    for warning in warnings {
        tracing::warn!(%topic, "{warning}");
    }
}

fn result(name: ByteStr, created: &Created, validate_only: bool) -> CreatableTopicResult {
    let topic = &created.topic;
    let configs = topic
        .config
        .entries()
        .map(|(setting, value, is_set)| CreatableTopicConfigs {
            name: ByteStr::from_static(setting.name),
            value: Some(ByteStr::from(value)),
            config_source: if is_set { SOURCE_TOPIC } else { SOURCE_DEFAULT },
            ..Default::default()
        });
    CreatableTopicResult {
        name,
        topic_id: if validate_only {
            Uuid::ZERO
        } else {
            Uuid(topic.id.0)
        },
        num_partitions: topic.partition_indexes().end,
        replication_factor: REPLICATION_FACTOR,
        configs: Some(configs.collect()),
        ..Default::default()
    }
}

impl Answer for CreateTopicsResponse {
    fn has_error(&self) -> bool {
        self.topics
            .iter()
            .any(|topic| topic.error_code != ErrorCode::None)
    }
}

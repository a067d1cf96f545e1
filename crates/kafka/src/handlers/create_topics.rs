use firth_broker::{Created, NewTopic};
use firth_kafka_codec::{
    ByteStr, CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfigs, CreatableTopicResult,
    CreateTopicsRequest, CreateTopicsResponse, ErrorCode, RequestHeader, SOURCE_DEFAULT, SOURCE_TOPIC, Uuid,
};

use super::throttle::Mutations;
use super::{Answer, PARTITIONS_PER_REQUEST_MAX, REPEATED, Refused, message, once};
use crate::error;
use crate::server::Client;

/// "The broker's default".
const DEFAULT: i16 = -1;
/// One broker that flushes has one copy of everything, whatever was asked for.
const REPLICATION_FACTOR: i16 = 1;

/// The first version whose clients know the error of an exceeded quota (KIP-599).
const STRICT_QUOTA_MIN: i16 = 6;

pub(super) async fn handle(
    client: Client,
    header: RequestHeader,
    request: CreateTopicsRequest,
) -> CreateTopicsResponse {
    let mut mutations = Mutations::new(&client, &header, STRICT_QUOTA_MIN);
    let validate_only = request.validate_only;
    let total = partition_count(&client, &request.topics);
    let mut new = Vec::new();
    let mut asked = Vec::with_capacity(request.topics.len());
    for (topic, is_repeated) in once(request.topics, |topic| topic.name.clone()) {
        let refused = if is_repeated {
            Some((ErrorCode::InvalidRequest, message(&REPEATED)))
        } else if total > PARTITIONS_PER_REQUEST_MAX {
            Some((ErrorCode::PolicyViolation, too_many(total)))
        } else {
            let topic = new_topic(&client, &topic)
                .and_then(|topic| mutations.take(size(&client, &topic)).map(|()| topic));
            topic.map(|topic| new.push(topic)).err()
        };
        asked.push((topic, refused));
    }
    let sizes: Vec<usize> = new.iter().map(|topic| size(&client, topic)).collect();
    let mut created = client
        .server
        .broker
        .create_topics(new, validate_only)
        .await
        .into_iter()
        .zip(sizes);
    let topics = asked.into_iter().map(|(topic, refused)| {
        let created = match refused {
            Some(refused) => Err(refused),
            None => match created.next() {
                Some((Ok(created), _)) => Ok(created),
                Some((Err(error), size)) => {
                    mutations.give_back(size);
                    Err((error::of_define(&error), message(&error)))
                }
                None => Err((ErrorCode::UnknownServerError, None)),
            },
        };
        answer(topic, created, validate_only)
    });
    CreateTopicsResponse {
        topics: topics.collect(),
        throttle_time_ms: mutations.throttle_time_ms(),
    }
}

/// Partitions that a topic would have.
fn size(client: &Client, new: &NewTopic) -> usize {
    let default = client.server.broker.config().num_partitions;
    usize::try_from(new.partitions.unwrap_or(default.into())).unwrap_or(0)
}

fn answer(
    asked: CreatableTopic,
    created: Result<Created, Refused>,
    validate_only: bool,
) -> CreatableTopicResult {
    match created {
        Ok(created) => {
            warn(&asked, &created.warnings);
            result(asked.name, &created, validate_only)
        }
        Err((error_code, error_message)) => CreatableTopicResult {
            name: asked.name,
            error_code,
            error_message,
            ..Default::default()
        },
    }
}

fn new_topic(client: &Client, asked: &CreatableTopic) -> Result<NewTopic, Refused> {
    Ok(NewTopic {
        name: asked.name.as_str().to_owned(),
        partitions: partitions(client, asked)?,
        configs: configs(asked),
    })
}

/// Partitions of all topics of a request together.
fn partition_count(client: &Client, topics: &[CreatableTopic]) -> usize {
    let default = client.server.broker.config().num_partitions;
    topics.iter().fold(0, |sum: usize, topic| {
        let partitions = match topic.num_partitions {
            _ if !topic.assignments.is_empty() => topic.assignments.len(),
            -1 => usize::try_from(default).unwrap_or(usize::MAX),
            partitions => usize::try_from(partitions).unwrap_or(0),
        };
        sum.saturating_add(partitions)
    })
}

fn too_many(total: usize) -> Option<ByteStr> {
    message(&format!(
        "the request asks for {total} partitions together, and may ask for {PARTITIONS_PER_REQUEST_MAX}"
    ))
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
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        self.topics.iter().map(|topic| topic.error_code)
    }
}

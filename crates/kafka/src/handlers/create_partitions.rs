use std::sync::Arc;

use firth_broker::{DefineError, Topic};
use firth_kafka_codec::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic, CreatePartitionsTopicResult,
    ErrorCode, RequestHeader,
};

use super::throttle::Mutations;
use super::{Answer, PARTITIONS_PER_REQUEST_MAX, REPEATED, Refused, message, once, refused};
use crate::error;
use crate::server::Client;

/// The first version whose clients know the error of an exceeded quota (KIP-599).
const STRICT_QUOTA_MIN: i16 = 3;

pub(super) async fn handle(
    client: Client,
    header: RequestHeader,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let mut mutations = Mutations::new(&client, &header, STRICT_QUOTA_MIN);
    let mut left = PARTITIONS_PER_REQUEST_MAX;
    let (mut asked, mut wanted) = (Vec::new(), Vec::new());
    for (topic, is_repeated) in once(request.topics, |topic| topic.name.clone()) {
        let found = match is_repeated {
            true => Err(refused(ErrorCode::InvalidRequest, &REPEATED)),
            false => check(&client, &topic, &mut left),
        };
        let found = found.and_then(|found| {
            let added = added(&found, &topic);
            mutations.take(added)?;
            wanted.push((found.id, i64::from(topic.count)));
            Ok(added)
        });
        asked.push((topic.name, found));
    }
    let broker = &client.server.broker;
    let mut created = broker
        .create_partitions(wanted, request.validate_only)
        .await
        .into_iter();
    let results = asked.into_iter().map(|(name, found)| {
        let done = found.and_then(|added| match created.next() {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => {
                mutations.give_back(added);
                Err((error::of_define(&error), message(&error)))
            }
            None => Err((ErrorCode::UnknownServerError, None)),
        });
        let (error_code, error_message) = done.err().unwrap_or((ErrorCode::None, None));
        CreatePartitionsTopicResult {
            name,
            error_code,
            error_message,
        }
    });
    CreatePartitionsResponse {
        results: results.collect(),
        throttle_time_ms: mutations.throttle_time_ms(),
    }
}

/// Partitions that the topic has not yet.
fn added(topic: &Topic, asked: &CreatePartitionsTopic) -> usize {
    let exist = topic.partition_indexes().end;
    usize::try_from(asked.count.saturating_sub(exist)).unwrap_or(0)
}

fn check(client: &Client, asked: &CreatePartitionsTopic, left: &mut usize) -> Result<Arc<Topic>, Refused> {
    let topic = client.server.broker.topic(&asked.name).ok_or_else(|| {
        let error = DefineError::UnknownTopic;
        (error::of_define(&error), message(&error))
    })?;
    let added = added(&topic, asked);
    *left = left.checked_sub(added).ok_or_else(|| {
        let reason = format!("a request may ask for {PARTITIONS_PER_REQUEST_MAX} more partitions together");
        refused(ErrorCode::PolicyViolation, &reason)
    })?;
    if let Some(assignments) = &asked.assignments
        && added > 0
    {
        let refuse = |reason: &String| Err(refused(ErrorCode::InvalidReplicaAssignment, reason));
        if assignments.len() != added {
            let count = assignments.len();
            return refuse(&format!(
                "{added} partitions are added, and replicas of {count} are assigned"
            ));
        }
        let node_id = client.server.config.node_id;
        if assignments
            .iter()
            .any(|assignment| assignment.broker_ids != [node_id])
        {
            let reason = "replicas can be assigned to broker";
            return refuse(&format!("{reason} {node_id} only, as there is no other"));
        }
    }
    Ok(topic)
}

impl Answer for CreatePartitionsResponse {
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        self.results.iter().map(|topic| topic.error_code)
    }
}

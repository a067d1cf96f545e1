use std::sync::Arc;

use firth_broker::{Topic, TopicId};
use firth_kafka_codec::{
    ByteStr, DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse, ErrorCode,
    Uuid,
};

use super::{Answer, message};
use crate::error;
use crate::server::Client;

/// Topics are listed as names up to this version, and may be named by id after it (KIP-516).
const NAMES_MAX: i16 = 5;

pub(super) async fn handle(
    client: &Client,
    version: i16,
    request: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    let asked = if version <= NAMES_MAX {
        let by_name = |name| DeleteTopicState {
            name: Some(name),
            ..Default::default()
        };
        request.topic_names.into_iter().map(by_name).collect()
    } else {
        request.topics
    };
    let mut responses = Vec::with_capacity(asked.len());
    for topic in asked {
        responses.push(delete(client, topic).await);
    }
    DeleteTopicsResponse {
        responses,
        ..Default::default()
    }
}

async fn delete(client: &Client, asked: DeleteTopicState) -> DeletableTopicResult {
    let (name, topic_id) = (asked.name.clone(), asked.topic_id);
    let failed = |error_code, reason: &dyn ToString| DeletableTopicResult {
        name,
        topic_id,
        error_code,
        error_message: Some(ByteStr::from(reason.to_string())),
    };
    let topic = match find(client, &asked) {
        Ok(topic) => topic,
        Err(ErrorCode::InvalidRequest) => {
            return failed(
                ErrorCode::InvalidRequest,
                &"a topic is named either by name or by id",
            );
        }
        Err(unknown) => return failed(unknown, &"this topic does not exist"),
    };
    let (error_code, error_message) = match client.server.broker.delete_topic(topic.id).await {
        Ok(_) => (ErrorCode::None, None),
        Err(error) => (error::of_define(&error), message(&error)),
    };
    DeletableTopicResult {
        name: Some(ByteStr::from(&*topic.name)),
        topic_id: Uuid(topic.id.0),
        error_code,
        error_message,
    }
}

fn find(client: &Client, asked: &DeleteTopicState) -> Result<Arc<Topic>, ErrorCode> {
    let broker = &client.server.broker;
    match (&asked.name, asked.topic_id) {
        (Some(name), Uuid::ZERO) => broker.topic(name).ok_or(ErrorCode::UnknownTopicOrPartition),
        (None, id) if !id.is_zero() => broker.topic_by_id(TopicId(id.0)).ok_or(ErrorCode::UnknownTopicId),
        _ => Err(ErrorCode::InvalidRequest),
    }
}

impl Answer for DeleteTopicsResponse {
    fn has_error(&self) -> bool {
        self.responses
            .iter()
            .any(|topic| topic.error_code != ErrorCode::None)
    }
}

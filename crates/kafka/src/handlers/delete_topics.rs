use std::sync::Arc;

use firth_broker::{Topic, TopicId};
use firth_kafka_codec::{
    ByteStr, DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse, ErrorCode,
    Uuid,
};

use super::{Answer, REPEATED, message, once};
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
    let asked = asked.into_iter().map(|asked| {
        let found = find(client, &asked);
        (asked, found)
    });
    let mut responses = Vec::with_capacity(asked.len());
    for ((asked, found), is_repeated) in once(asked, key) {
        let deleted = match found {
            _ if is_repeated => Err((ErrorCode::InvalidRequest, REPEATED.to_owned())),
            Ok(topic) => delete(client, &topic).await.map(|()| topic),
            Err((error_code, reason)) => Err((error_code, reason.to_owned())),
        };
        responses.push(result(asked, deleted));
    }
    DeleteTopicsResponse {
        responses,
        ..Default::default()
    }
}

/// A topic, or why none was found.
type Found = Result<Arc<Topic>, (ErrorCode, &'static str)>;

fn find(client: &Client, asked: &DeleteTopicState) -> Found {
    let broker = &client.server.broker;
    let unknown = |error_code| (error_code, "this topic does not exist");
    match (&asked.name, asked.topic_id) {
        (Some(name), Uuid::ZERO) => broker
            .topic(name)
            .ok_or(unknown(ErrorCode::UnknownTopicOrPartition)),
        (None, id) if !id.is_zero() => broker
            .topic_by_id(TopicId(id.0))
            .ok_or(unknown(ErrorCode::UnknownTopicId)),
        _ => Err((
            ErrorCode::InvalidRequest,
            "a topic is named either by name or by id",
        )),
    }
}

/// What a topic is that is named: a name and an id may mean the same one.
fn key((asked, found): &(DeleteTopicState, Found)) -> (Option<ByteStr>, Uuid) {
    match found {
        Ok(topic) => (None, Uuid(topic.id.0)),
        Err(_) => (asked.name.clone(), asked.topic_id),
    }
}

async fn delete(client: &Client, topic: &Topic) -> Result<(), (ErrorCode, String)> {
    match client.server.broker.delete_topic(topic.id).await {
        Ok(_) => Ok(()),
        Err(error) => Err((error::of_define(&error), error.to_string())),
    }
}

fn result(asked: DeleteTopicState, deleted: Result<Arc<Topic>, (ErrorCode, String)>) -> DeletableTopicResult {
    match deleted {
        Ok(topic) => DeletableTopicResult {
            name: Some(ByteStr::from(&*topic.name)),
            topic_id: Uuid(topic.id.0),
            error_code: ErrorCode::None,
            error_message: None,
        },
        Err((error_code, reason)) => DeletableTopicResult {
            name: asked.name,
            topic_id: asked.topic_id,
            error_code,
            error_message: message(&reason),
        },
    }
}

impl Answer for DeleteTopicsResponse {
    fn has_error(&self) -> bool {
        self.responses
            .iter()
            .any(|topic| topic.error_code != ErrorCode::None)
    }
}

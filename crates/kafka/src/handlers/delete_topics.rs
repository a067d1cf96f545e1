use std::sync::Arc;

use firth_broker::{Topic, TopicId};
use firth_kafka_codec::{
    ByteStr, DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse, ErrorCode,
    RequestHeader, Uuid,
};

use super::throttle::Mutations;
use super::{Answer, REPEATED, Refused, once, refused};
use crate::error;
use crate::server::Client;

/// Topics are listed as names up to this version, and may be named by id after it (KIP-516).
const NAMES_MAX: i16 = 5;
/// The first version whose clients know the error of an exceeded quota (KIP-599).
const STRICT_QUOTA_MIN: i16 = 5;

pub(super) async fn handle(
    client: Client,
    header: RequestHeader,
    request: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    let mut mutations = Mutations::new(&client, &header, STRICT_QUOTA_MIN);
    let asked = if header.api_version <= NAMES_MAX {
        let by_name = |name| DeleteTopicState {
            name: Some(name),
            ..Default::default()
        };
        request.topic_names.into_iter().map(by_name).collect()
    } else {
        request.topics
    };
    let asked = asked.into_iter().map(|asked| {
        let found = find(&client, &asked);
        (asked, found)
    });
    let asked: Vec<_> = once(asked, key)
        .into_iter()
        .map(|((asked, found), is_repeated)| match found {
            _ if is_repeated => (asked, Err(refused(ErrorCode::InvalidRequest, &REPEATED))),
            Ok(topic) => (asked, mutations.take(topic.partitions.len()).map(|()| topic)),
            Err(refused) => (asked, Err(refused)),
        })
        .collect();
    let found = asked.iter().filter_map(|(_, found)| found.as_ref().ok());
    let ids = found.map(|topic| topic.id).collect();
    let deleted = client.server.broker.delete_topics(ids).await;
    let gone: Vec<_> = deleted.iter().flatten().map(|topic| topic.id).collect();
    client.server.groups.forget_topics(&gone);
    let mut deleted = deleted.into_iter();
    let responses = asked.into_iter().map(|(asked, found)| {
        let deleted = match found {
            Err(refused) => Err(refused),
            Ok(topic) => match deleted.next() {
                Some(Ok(topic)) => Ok(topic),
                Some(Err(error)) => {
                    mutations.give_back(topic.partitions.len());
                    Err(refused(error::of_define(&error), &error))
                }
                None => Err((ErrorCode::UnknownServerError, None)),
            },
        };
        result(asked, deleted)
    });
    DeleteTopicsResponse {
        responses: responses.collect(),
        throttle_time_ms: mutations.throttle_time_ms(),
    }
}

/// A topic, or why none was found.
type Found = Result<Arc<Topic>, Refused>;

fn find(client: &Client, asked: &DeleteTopicState) -> Found {
    let broker = &client.server.broker;
    let unknown = |error_code| refused(error_code, &"this topic does not exist");
    match (&asked.name, asked.topic_id) {
        (Some(name), Uuid::ZERO) => broker
            .topic(name)
            .ok_or(unknown(ErrorCode::UnknownTopicOrPartition)),
        (None, id) if !id.is_zero() => broker
            .topic_by_id(TopicId(id.0))
            .ok_or(unknown(ErrorCode::UnknownTopicId)),
        _ => Err(refused(
            ErrorCode::InvalidRequest,
            &"a topic is named either by name or by id",
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

fn result(asked: DeleteTopicState, deleted: Result<Arc<Topic>, Refused>) -> DeletableTopicResult {
    match deleted {
        Ok(topic) => DeletableTopicResult {
            name: Some(ByteStr::from(&*topic.name)),
            topic_id: Uuid(topic.id.0),
            error_code: ErrorCode::None,
            error_message: None,
        },
        Err((error_code, error_message)) => DeletableTopicResult {
            name: asked.name,
            topic_id: asked.topic_id,
            error_code,
            error_message,
        },
    }
}

impl Answer for DeleteTopicsResponse {
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        self.responses.iter().map(|topic| topic.error_code)
    }
}

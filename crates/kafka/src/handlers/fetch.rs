//! Fetch, with long poll. Partitions are looked at in turns until there is enough or the time is up; in between only
//! those are looked at again that the log has signalled.

use std::iter;

mod poll;
mod room;

use std::time::Duration;

use bytes::BytesMut;
use firth_kafka_codec::{
    ErrorCode, FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData, RequestHeader,
    encode_response,
};

use self::poll::{Asked, Poll, Polled};
use self::room::Room;
use super::{Answer, BY_ID_MIN, throttle, throttled};
use crate::connection::{Reply, Running};
use crate::fetch_session::{Partitions, Place, Session, Turn};
use crate::reply_memory::Held;
use crate::server::Client;

const READ_COMMITTED: i8 = 1;
/// The first version whose clients know zstd (KIP-110). What a producer compressed by its own choice they get all the same.
const ZSTD_MIN: i16 = 10;

pub(super) fn run(client: Client, header: RequestHeader, request: FetchRequest) -> Running {
    Box::pin(async move {
        let (response, held, wait) = handle(&client, &header, request).await;
        let reply = throttled(&client, &header, &response, wait)?;
        Ok(Reply {
            held: Some(held),
            ..reply
        })
    })
}

/// The response, the memory that its records take, and for how long the client is to wait.
async fn handle(
    client: &Client,
    header: &RequestHeader,
    request: FetchRequest,
) -> (FetchResponse, Held, Duration) {
    let server = &client.server;
    let environment = server.broker.environment();
    let by_id = header.api_version >= BY_ID_MIN;
    let turn = match server
        .fetch_sessions
        .turn(&request, by_id, environment.clock.monotonic())
    {
        Ok(turn) => turn,
        Err(error_code) => {
            let response = FetchResponse {
                error_code,
                ..Default::default()
            };
            return (response, server.reply_memory.nothing(), Duration::ZERO);
        }
    };
    let Turn { partitions, session } = turn;
    let asked = Asked {
        bytes_min: usize::try_from(request.min_bytes).unwrap_or(0),
        wait: Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)),
        read_committed: request.isolation_level == READ_COMMITTED,
        without_zstd: header.api_version < ZSTD_MIN,
        only_news: matches!(session, Session::Open(_)),
        is_kept: !matches!(session, Session::None),
    };
    let bytes_max = usize::try_from(request.max_bytes)
        .unwrap_or(0)
        .min(server.config.fetch_bytes_max)
        .min(throttle::fetch_bytes_max(client, header))
        .min(server.reply_memory.reply_bytes_max());
    let room = Room::new(server.reply_memory.nothing(), bytes_max);
    let polled = Poll::new(server, room, asked, partitions).run().await;
    let Polled {
        mut partitions,
        answers,
        mut held,
        looks,
    } = polled;
    server.metrics.looked(looks);
    let (mut response, wait, is_refused) = respond(client, header, &mut partitions, answers);
    if is_refused {
        held = server.reply_memory.nothing();
    }
    response.session_id = match session {
        // The client asks for all again.
        Session::New if is_refused => 0,
        Session::None => 0,
        Session::New => {
            let random = (environment.random)();
            server
                .fetch_sessions
                .create(partitions, random, environment.clock.monotonic())
        }
        Session::Open(lease) => {
            let id = lease.id();
            lease.put_back(partitions);
            id
        }
    };
    (response, held, wait)
}

/// The response, for how long the client is to wait, and whether it gets nothing before.
fn respond(
    client: &Client,
    header: &RequestHeader,
    partitions: &mut Partitions,
    answers: Vec<(Place, PartitionData)>,
) -> (FetchResponse, Duration, bool) {
    if client.server.broker.quotas().is_empty() {
        let responses = by_topic(partitions, answers);
        let response = FetchResponse {
            responses,
            ..Default::default()
        };
        return (response, Duration::ZERO, false);
    }
    let places: Vec<Place> = answers.iter().map(|(place, _)| *place).collect();
    let mut response = FetchResponse {
        responses: by_topic(partitions, answers),
        ..Default::default()
    };
    let (wait, is_refused) = throttle::of_fetch(client, header, || size(header, &response));
    response.throttle_time_ms = throttle::ms(wait);
    if is_refused {
        response.responses = Vec::new();
        partitions.take_back(&places);
    }
    (response, wait, is_refused)
}

/// Bytes of a response on the wire.
fn size(header: &RequestHeader, response: &FetchResponse) -> usize {
    let (version, correlation_id) = (header.api_version, header.correlation_id);
    let chain = encode_response(&mut BytesMut::new(), version, correlation_id, response);
    chain.map_or(0, |chain| chain.len())
}

/// Groups the answers by topic, topics in the order of their first answer.
fn by_topic(partitions: &Partitions, answers: Vec<(Place, PartitionData)>) -> Vec<FetchableTopicResponse> {
    let mut responses: Vec<FetchableTopicResponse> = Vec::new();
    let mut places: Vec<Option<usize>> = vec![None; partitions.topic_count()];
    for (place, answer) in answers {
        let Some(slot) = partitions.slot(place) else {
            continue;
        };
        let Some(at) = places.get_mut(slot.topic) else {
            continue;
        };
        let at = *at.get_or_insert_with(|| {
            let topic = partitions.topic_of(slot);
            let response = FetchableTopicResponse {
                topic: topic.name,
                topic_id: topic.id,
                partitions: Vec::new(),
            };
            responses.push(response);
            responses.len().saturating_sub(1)
        });
        if let Some(response) = responses.get_mut(at) {
            response.partitions.push(answer);
        }
    }
    responses
}

impl Answer for FetchResponse {
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        let partitions = self.responses.iter().flat_map(|topic| &topic.partitions);
        iter::once(self.error_code).chain(partitions.map(|partition| partition.error_code))
    }
}

//! One file per API, named as the protocol names it. A handler turns a request into a response; what is written, when
//! and in which order is the connection's business.

mod alter_client_quotas;
mod alter_configs;
mod alter_partition_reassignments;
mod api_versions;
mod create_acls;
mod create_partitions;
mod create_topics;
mod delete_acls;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_acls;
mod describe_client_quotas;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_quorum;
mod describe_topic_partitions;
mod describe_transactions;
mod describe_user_scram_credentials;
mod elect_leaders;
mod fetch;
mod find_coordinator;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
mod list_transactions;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod sync_group;
mod throttle;

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use firth_broker::{Commit, DefineError, Topic, validate_topic_name};
use firth_kafka_codec::{ByteStr, ErrorCode, Request, RequestHeader, ResponseMessage, encode_response};
use smallvec::SmallVec;

use crate::closed::Closed;
use crate::connection::{Parked, Reply, Running};
use crate::server::Client;

/// The highest epoch that a leader had: every log has had one leader.
const LEADER_EPOCH: i32 = 0;

/// Fetch and Produce name topics by id from this version on (KIP-516).
const BY_ID_MIN: i16 = 13;
/// OffsetCommit and OffsetFetch do from this one on (KIP-848).
const OFFSETS_BY_ID_MIN: i16 = 10;

/// Partitions that one request may create, in all of its topics together. Kafka's controller has the same limit, and
/// answers with the same error.
const PARTITIONS_PER_REQUEST_MAX: usize = 10_000;

pub(crate) use self::produce::timed_out;
use self::{
    alter_partition_reassignments as reassign, describe_user_scram_credentials as credentials,
    list_config_resources as config_resources, list_partition_reassignments as reassignments,
};

/// What became of a request.
pub(crate) enum Started {
    Parked(Parked),
    Running(Running),
}

/// A response that knows which errors it names, for the metrics.
trait Answer: ResponseMessage {
    /// One for each thing that can fail for itself, also where nothing failed.
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode>;
}

/// Begins to work on a request of so many bytes. The reply to Produce is written to `buffer` at once.
pub(crate) fn start(
    client: &Client,
    header: RequestHeader,
    request: Request,
    bytes: usize,
    buffer: &mut BytesMut,
) -> Result<Started, Closed> {
    match throttle::Work::of(client, &header) {
        Some(work) => work.measure(|| dispatch(client, header, request, bytes, buffer)),
        None => dispatch(client, header, request, bytes, buffer),
    }
}

fn dispatch(
    client: &Client,
    header: RequestHeader,
    request: Request,
    bytes: usize,
    buffer: &mut BytesMut,
) -> Result<Started, Closed> {
    let of = client.clone();
    let version = header.api_version;
    // So that each API is a line.
    macro_rules! answer {
        ($response:expr) => {{
            let response = $response;
            run(client, header, response)
        }};
    }
    macro_rules! durably {
        ($response:expr) => {{
            let response = $response;
            run_durable(client, header, response)
        }};
    }
    let running = match request {
        Request::Produce(request) => {
            return produce::handle(client, &header, request, bytes, buffer).map(Started::Parked);
        }
        Request::Fetch(request) => fetch::run(of, header, request),
        Request::ListOffsets(request) => answer!(list_offsets::handle(of, version, request)),
        Request::Metadata(request) => answer!(metadata::handle(of, version, request)),
        Request::FindCoordinator(request) => answer!(find_coordinator::handle(of, version, request)),
        Request::ApiVersions(request) => answer!(async move { api_versions::handle(version, &request) }),
        Request::CreateTopics(request) => answer!(create_topics::handle(of, header.clone(), request)),
        Request::DeleteTopics(request) => answer!(delete_topics::handle(of, header.clone(), request)),
        Request::DeleteRecords(request) => answer!(delete_records::handle(of, request)),
        Request::InitProducerId(request) => answer!(init_producer_id::handle(of, request)),
        Request::CreatePartitions(request) => answer!(create_partitions::handle(of, header.clone(), request)),
        Request::DescribeConfigs(request) => answer!(describe_configs::handle(of, request)),
        Request::AlterConfigs(request) => answer!(alter_configs::handle(of, request)),
        Request::IncrementalAlterConfigs(request) => answer!(incremental_alter_configs::handle(of, request)),
        Request::ListConfigResources(request) => answer!(config_resources::handle(of, version, request)),
        Request::DescribeClientQuotas(request) => answer!(describe_client_quotas::handle(of, request)),
        Request::AlterClientQuotas(request) => answer!(alter_client_quotas::handle(of, request)),
        Request::DescribeCluster(request) => answer!(describe_cluster::handle(of, request)),
        Request::DescribeTopicPartitions(request) => answer!(describe_topic_partitions::handle(of, request)),
        Request::DescribeLogDirs(request) => answer!(describe_log_dirs::handle(of, request)),
        Request::DescribeProducers(request) => answer!(describe_producers::handle(of, request)),
        Request::OffsetForLeaderEpoch(request) => answer!(offset_for_leader_epoch::handle(of, request)),
        Request::ElectLeaders(request) => answer!(elect_leaders::handle(of, request)),
        Request::AlterPartitionReassignments(request) => answer!(reassign::handle(of, request)),
        Request::ListPartitionReassignments(request) => answer!(reassignments::handle(request)),
        Request::DescribeAcls(request) => answer!(describe_acls::handle(request)),
        Request::CreateAcls(request) => answer!(create_acls::handle(request)),
        Request::DeleteAcls(request) => answer!(delete_acls::handle(request)),
        Request::DescribeUserScramCredentials(request) => answer!(credentials::handle(request)),
        Request::DescribeQuorum(request) => answer!(describe_quorum::handle(of, request)),
        Request::DescribeTransactions(request) => answer!(describe_transactions::handle(request)),
        Request::ListTransactions(request) => answer!(list_transactions::handle(request)),
        Request::JoinGroup(request) => durably!(join_group::handle(of, header.clone(), request)),
        Request::SyncGroup(request) => durably!(sync_group::handle(of, version, request)),
        Request::Heartbeat(request) => durably!(heartbeat::handle(of, request)),
        Request::LeaveGroup(request) => durably!(leave_group::handle(of, version, request)),
        Request::OffsetCommit(request) => durably!(offset_commit::handle(of, version, request)),
        Request::OffsetFetch(request) => durably!(offset_fetch::handle(of, version, request)),
        Request::OffsetDelete(request) => durably!(offset_delete::handle(of, request)),
        Request::ListGroups(request) => durably!(list_groups::handle(of, request)),
        Request::DescribeGroups(request) => durably!(describe_groups::handle(of, version, request)),
        Request::DeleteGroups(request) => durably!(delete_groups::handle(of, request)),
    };
    Ok(Started::Running(running))
}

/// What an answer rests on: it is given when all of these are durable.
type Commits = SmallVec<[Commit; 1]>;
type Durable<R> = (R, Commits);

/// An answer that rests on nothing.
fn durable<R>(response: R) -> Durable<R> {
    (response, Commits::new())
}

fn run_durable<R: Answer + Send>(
    client: &Client,
    header: RequestHeader,
    response: impl Future<Output = Durable<R>> + Send + 'static,
) -> Running {
    let client = client.clone();
    Box::pin(async move {
        let (response, commits) = response.await;
        for commit in commits {
            commit.await.map_err(Closed::NotDurable)?;
        }
        reply(&client, &header, response)
    })
}

fn run<R: Answer>(
    client: &Client,
    header: RequestHeader,
    response: impl Future<Output = R> + Send + 'static,
) -> Running {
    let client = client.clone();
    Box::pin(async move { reply(&client, &header, response.await) })
}

fn reply<R: Answer>(client: &Client, header: &RequestHeader, mut response: R) -> Result<Reply, Closed> {
    let wait = throttle::of_answer(client, header, &mut response);
    throttled(client, header, &response, wait)
}

/// The reply to a client that is to wait before its next request.
fn throttled<R: Answer>(
    client: &Client,
    header: &RequestHeader,
    response: &R,
    wait: Duration,
) -> Result<Reply, Closed> {
    let metrics = client.server.metrics.api(R::API_KEY);
    response.error_codes().for_each(|code| metrics.error(code));
    let (version, correlation_id) = (header.api_version, header.correlation_id);
    let chain =
        encode_response(&mut BytesMut::new(), version, correlation_id, response).map_err(|error| {
            Closed::Unwritable {
                api_key: R::API_KEY,
                version,
                error,
            }
        })?;
    Ok(Reply {
        chain,
        held: None,
        wait,
    })
}

/// Writes a response that has no records in it, and so is in one piece.
pub(crate) fn encode<R: ResponseMessage>(
    buffer: &mut BytesMut,
    version: i16,
    correlation_id: i32,
    response: &R,
) -> Result<Bytes, Closed> {
    let chain =
        encode_response(buffer, version, correlation_id, response).map_err(|error| Closed::Unwritable {
            api_key: R::API_KEY,
            version,
            error,
        })?;
    let mut parts = chain.into_parts();
    let first = parts.next().unwrap_or_default();
    assert!(
        parts.next().is_none(),
        "{} without records is in pieces",
        R::API_KEY.name()
    );
    Ok(first)
}

/// Whether a client that knows `current_leader_epoch` knows the leader (KIP-320); -1 is one that does not say.
fn check_leader_epoch(current_leader_epoch: i32) -> Result<(), ErrorCode> {
    match current_leader_epoch {
        ..0 | LEADER_EPOCH => Ok(()),
        _ => Err(ErrorCode::UnknownLeaderEpoch),
    }
}

/// Why a topic is refused that a request names twice: it may mean two things, so nothing is done to the topic.
const REPEATED: &str = "the request names this topic more than once";

/// Each thing once, at its first place, and whether there were more of its key.
fn once<T, K: Eq + Hash>(things: impl IntoIterator<Item = T>, key: impl Fn(&T) -> K) -> Vec<(T, bool)> {
    let mut places = HashMap::new();
    let mut once: Vec<(T, bool)> = Vec::new();
    for thing in things {
        let place = *places.entry(key(&thing)).or_insert(once.len());
        match once.get_mut(place) {
            Some((_, is_repeated)) => *is_repeated = true,
            None => once.push((thing, false)),
        }
    }
    once
}

/// Why something was refused: a code, and a sentence for people.
type Refused = (ErrorCode, Option<ByteStr>);

fn refused(error_code: ErrorCode, reason: &impl ToString) -> Refused {
    (error_code, message(reason))
}

/// A topic that is asked for by name.
fn find_topic(client: &Client, name: &str) -> Result<Arc<Topic>, Refused> {
    if let Some(topic) = client.server.broker.topic(name) {
        return Ok(topic);
    }
    let error = match validate_topic_name(name) {
        Ok(()) => DefineError::UnknownTopic,
        Err(error) => DefineError::InvalidName(error),
    };
    Err(refused(crate::error::of_define(&error), &error))
}

/// A copy that does not keep the frame it came in.
fn owned(text: &ByteStr) -> Arc<str> {
    text.as_str().into()
}

fn message(error: &impl ToString) -> Option<ByteStr> {
    Some(ByteStr::from(error.to_string()))
}

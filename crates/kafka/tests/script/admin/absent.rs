//! What consoles ask for and nobody has: access control lists, credentials and transactions. And the quorum, which is one broker.

use bytes::Bytes;
use firth_kafka_codec::*;

use crate::script::Sent;
use crate::script::print::{error, message, read};
use crate::script::request::{Words, one};
use crate::support::{NOW_MS, TestClient};

pub(super) const REQUESTS: [&str; 7] = [
    "acls",
    "allow",
    "disallow",
    "credentials",
    "quorum",
    "transactions",
    "transaction",
];

pub(super) fn encode(words: &Words<'_>, client: &mut TestClient) -> (Sent, Bytes) {
    let version = |default| words.number("v", default);
    let named = || words.words[1..].iter().map(|name| ByteStr::from(*name));
    match words.words[0] {
        "acls" => one(client, version(3), &DescribeAclsRequest::default()),
        "allow" => {
            let creations = named().map(|resource_name| AclCreation {
                resource_name,
                ..Default::default()
            });
            let request = CreateAclsRequest {
                creations: creations.collect(),
            };
            one(client, version(3), &request)
        }
        "disallow" => {
            let filters = named().map(|name| DeleteAclsFilter {
                resource_name_filter: Some(name),
                ..Default::default()
            });
            let request = DeleteAclsRequest {
                filters: filters.collect(),
            };
            one(client, version(3), &request)
        }
        "credentials" => {
            let users = named().map(|name| UserName { name }).collect();
            let users = (!words.has("all")).then_some(users);
            one(client, 0, &DescribeUserScramCredentialsRequest { users })
        }
        "quorum" => one(client, version(2), &describe_quorum(words)),
        "transactions" => {
            let request = ListTransactionsRequest {
                state_filters: named().collect(),
                duration_filter: words.number("longer", -1),
                ..Default::default()
            };
            one(client, version(2), &request)
        }
        "transaction" => {
            let transactional_ids = named().collect();
            one(client, 0, &DescribeTransactionsRequest { transactional_ids })
        }
        other => panic!("unknown request {other}"),
    }
}

/// `topic/partition` each.
fn describe_quorum(words: &Words<'_>) -> DescribeQuorumRequest {
    let places = words.words[1..].iter().filter_map(|word| word.split_once('/'));
    let topics = places.map(|(topic, partition)| DescribeQuorumRequestTopic {
        topic_name: topic.into(),
        partitions: vec![DescribeQuorumRequestPartition {
            partition_index: partition.parse().unwrap(),
        }],
    });
    DescribeQuorumRequest {
        topics: topics.collect(),
    }
}

/// None where the answer is to something else.
pub(super) fn response(api: ApiKey, version: i16, frame: &Bytes) -> Option<Vec<String>> {
    let reason = |text: &Option<ByteStr>| message(text.as_ref());
    Some(match api {
        ApiKey::DescribeAcls => {
            let acls = read::<DescribeAclsRequest>(version, frame);
            let (count, code) = (acls.resources.len(), error(acls.error_code));
            vec![format!("acls {count}{code}{}", reason(&acls.error_message))]
        }
        ApiKey::CreateAcls => {
            let results = read::<CreateAclsRequest>(version, frame).results;
            let line = |result: &AclCreationResult| {
                format!(
                    "allowed{}{}",
                    error(result.error_code),
                    reason(&result.error_message)
                )
            };
            results.iter().map(line).collect()
        }
        ApiKey::DeleteAcls => {
            let results = read::<DeleteAclsRequest>(version, frame).filter_results;
            let line = |result: &DeleteAclsFilterResult| {
                let (code, reason) = (error(result.error_code), reason(&result.error_message));
                format!("disallowed {}{code}{reason}", result.matching_acls.len())
            };
            results.iter().map(line).collect()
        }
        ApiKey::DescribeUserScramCredentials => {
            let response = read::<DescribeUserScramCredentialsRequest>(version, frame);
            let mut lines = vec![format!("credentials{}", error(response.error_code))];
            lines.extend(response.results.iter().map(|result| {
                let (code, reason) = (error(result.error_code), reason(&result.error_message));
                format!("  {}{code}{reason}", result.user)
            }));
            lines
        }
        ApiKey::DescribeQuorum => quorum(&read::<DescribeQuorumRequest>(version, frame)),
        ApiKey::ListTransactions => {
            let listed = read::<ListTransactionsRequest>(version, frame);
            let unknown: Vec<&str> = listed.unknown_state_filters.iter().map(ByteStr::as_str).collect();
            let (count, code) = (listed.transaction_states.len(), error(listed.error_code));
            vec![format!(
                "transactions {count}{code} unknown={}",
                unknown.join(",")
            )]
        }
        ApiKey::DescribeTransactions => {
            let states = read::<DescribeTransactionsRequest>(version, frame).transaction_states;
            let line = |state: &TransactionDescription| {
                format!(
                    "transaction {}{}",
                    state.transactional_id,
                    error(state.error_code)
                )
            };
            states.iter().map(line).collect()
        }
        _ => return None,
    })
}

/// Offsets of the definitions are told apart from none alone: they say how often something was defined.
fn quorum(response: &DescribeQuorumResponse) -> Vec<String> {
    let mut lines = Vec::new();
    for topic in &response.topics {
        for partition in &topic.partitions {
            let mut line = format!(
                "{}/{}{}",
                topic.topic_name,
                partition.partition_index,
                error(partition.error_code)
            );
            for voter in &partition.current_voters {
                assert_eq!(voter.log_end_offset, partition.high_watermark);
                line += &format!(
                    " leader={}@{} voter={} written={} now={}",
                    partition.leader_id,
                    partition.leader_epoch,
                    voter.replica_id,
                    voter.log_end_offset > 0,
                    voter.last_caught_up_timestamp == NOW_MS
                );
            }
            lines.push(line);
        }
    }
    let nodes = response.nodes.iter().flat_map(|node| {
        let listeners = node.listeners.iter();
        listeners.map(|listener| format!("node {} {}://{}", node.node_id, listener.name, listener.host))
    });
    lines.extend(nodes);
    lines
}

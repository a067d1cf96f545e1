//! Every message in every version against kafka-protocol: what we write it reads, as the same fields with the same
//! values, and what it writes of them is byte for byte what we wrote. Versions that it does not know, the oldest and
//! the newest of some, are read as they were written; `tests/vectors` has frames of others for them.

use std::fmt::Debug;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages as theirs;
use kafka_protocol::protocol::{Decodable, Encodable, Message};
use proptest::prelude::*;

use crate::api::RequestMessage;
use crate::arbitrary::{Arbitrary, Entropy};
use crate::error::Error;
use crate::messages::*;
use crate::primitives::{Reader, Wire, Writer};

/// The body as bytes, or `None` if the message has a null that this version has not.
fn encode<M: Wire>(message: &M, flexible: bool, version: i16) -> Option<Bytes> {
    let mut buf = BytesMut::new();
    let mut writer = Writer::new(&mut buf, flexible);
    message.encode(&mut writer, version);
    match writer.finish() {
        Ok(chain) => {
            let frame: Bytes = chain.into_parts().flatten().collect::<Vec<u8>>().into();
            assert_eq!(frame[..4], i32::try_from(frame.len() - 4).unwrap().to_be_bytes());
            Some(frame.slice(4..))
        }
        Err(Error::Null { field }) => {
            assert_ne!(field, "");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn decode<M: Wire>(body: &Bytes, flexible: bool, version: i16) -> M {
    let mut reader = Reader::new(body, flexible);
    let message = M::decode(&mut reader, version).unwrap();
    assert_eq!(reader.remaining(), 0, "bytes after the message");
    message
}

/// Fields that only one side knows, with their defaults, as the other side serves no version that has them; the high
/// watermark is one of a request's.
const ONE_SIDED: [(&str, &str); 9] = [
    ("throttle_time_ms", "0"),
    ("commit_timestamp", "-1"),
    ("is_default", "false"),
    ("max_num_offsets", "1"),
    ("enable_2_pc", "false"),
    ("keep_prepared_txn", "false"),
    ("ongoing_txn_producer_id", "-1"),
    ("ongoing_txn_producer_epoch", "-1"),
    ("high_watermark", "9223372036854775807"),
];

/// The named numbers, flags and strings of a debug print, sorted: both sides name fields as the schemas do, but order
/// them differently, and wrap some values. (Error codes, uuids and arrays print differently; they are left out.)
fn leaves(message: &impl Debug) -> Vec<(String, String)> {
    let text = format!("{message:?}");
    let mut leaves = Vec::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once(": ") {
        rest = after;
        // One side has an underscore where a name is a keyword.
        let name = before.rsplit([' ', '{', '(', '[']).next().unwrap();
        let name = name.trim_start_matches('_');
        let mut value = after;
        while let Some((wrapper, inner)) = value.split_once('(')
            && wrapper.chars().all(char::is_alphanumeric)
        {
            value = inner;
        }
        let string = value
            .strip_prefix('"')
            .and_then(|string| string.split('"').next());
        let word = value.split([',', ' ', ')', '}', ']']).next().unwrap();
        let is_scalar = word == "true" || word == "false" || word.parse::<i64>().is_ok();
        let leaf = string
            .or(is_scalar.then_some(word))
            .filter(|_| !name.ends_with("error_code"));
        if let Some(leaf) = leaf.filter(|leaf| !ONE_SIDED.contains(&(name, leaf))) {
            leaves.push((name.to_owned(), leaf.to_owned()));
        }
    }
    leaves.sort();
    leaves
}

fn agree<Ours, Theirs>(seed: u64, flexible: bool, version: i16)
where
    Ours: Wire + Arbitrary + Debug + PartialEq,
    Theirs: Decodable + Encodable + Message + Debug,
{
    let message = Ours::arbitrary(&mut Entropy(seed));
    let Some(body) = encode(&message, flexible, version) else {
        return;
    };
    let ours: Ours = decode(&body, flexible, version);
    if !(Theirs::VERSIONS.min..=Theirs::VERSIONS.max).contains(&version) {
        assert_eq!(encode(&ours, flexible, version), Some(body), "version {version}");
        return;
    }

    let mut unread = body.clone();
    let their_message = Theirs::decode(&mut unread, version).unwrap();
    assert!(
        unread.is_empty(),
        "they left {} bytes of version {version}",
        unread.len()
    );
    let mut their_body = BytesMut::new();
    their_message.encode(&mut their_body, version).unwrap();
    assert_eq!(their_body, body, "version {version}: {message:?}");

    assert_eq!(decode::<Ours>(&their_body.freeze(), flexible, version), ours);
    assert_eq!(leaves(&their_message), leaves(&ours), "version {version}");
}

fn agree_in_all_versions<Ours, TheirRequest, TheirResponse>(seed: u64)
where
    Ours: RequestMessage + Arbitrary + Debug + PartialEq,
    Ours::Response: Arbitrary + Debug + PartialEq,
    TheirRequest: Decodable + Encodable + Message + Debug,
    TheirResponse: Decodable + Encodable + Message + Debug,
{
    let key = Ours::API_KEY;
    for version in (0..=20).filter(|version| key.serves(*version)) {
        let flexible = key.is_flexible(version);
        agree::<Ours, TheirRequest>(seed, flexible, version);
        agree::<Ours::Response, TheirResponse>(seed, flexible, version);
    }
}

macro_rules! agrees {
    ($($test:ident: $request:ident $response:ident,)*) => {
        proptest! {
            #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]
            $(
                #[test]
                fn $test(seed: u64) {
                    agree_in_all_versions::<$request, theirs::$request, theirs::$response>(seed);
                }
            )*
        }
    };
}

agrees! {
    alter_client_quotas: AlterClientQuotasRequest AlterClientQuotasResponse,
    alter_configs: AlterConfigsRequest AlterConfigsResponse,
    alter_partition_reassignments: AlterPartitionReassignmentsRequest AlterPartitionReassignmentsResponse,
    api_versions: ApiVersionsRequest ApiVersionsResponse,
    create_acls: CreateAclsRequest CreateAclsResponse,
    create_partitions: CreatePartitionsRequest CreatePartitionsResponse,
    create_topics: CreateTopicsRequest CreateTopicsResponse,
    delete_acls: DeleteAclsRequest DeleteAclsResponse,
    delete_groups: DeleteGroupsRequest DeleteGroupsResponse,
    delete_records: DeleteRecordsRequest DeleteRecordsResponse,
    delete_topics: DeleteTopicsRequest DeleteTopicsResponse,
    describe_acls: DescribeAclsRequest DescribeAclsResponse,
    describe_client_quotas: DescribeClientQuotasRequest DescribeClientQuotasResponse,
    describe_cluster: DescribeClusterRequest DescribeClusterResponse,
    describe_configs: DescribeConfigsRequest DescribeConfigsResponse,
    describe_groups: DescribeGroupsRequest DescribeGroupsResponse,
    describe_log_dirs: DescribeLogDirsRequest DescribeLogDirsResponse,
    describe_producers: DescribeProducersRequest DescribeProducersResponse,
    describe_quorum: DescribeQuorumRequest DescribeQuorumResponse,
    describe_topic_partitions: DescribeTopicPartitionsRequest DescribeTopicPartitionsResponse,
    describe_transactions: DescribeTransactionsRequest DescribeTransactionsResponse,
    describe_user_scram_credentials: DescribeUserScramCredentialsRequest DescribeUserScramCredentialsResponse,
    elect_leaders: ElectLeadersRequest ElectLeadersResponse,
    fetch: FetchRequest FetchResponse,
    find_coordinator: FindCoordinatorRequest FindCoordinatorResponse,
    heartbeat: HeartbeatRequest HeartbeatResponse,
    incremental_alter_configs: IncrementalAlterConfigsRequest IncrementalAlterConfigsResponse,
    init_producer_id: InitProducerIdRequest InitProducerIdResponse,
    join_group: JoinGroupRequest JoinGroupResponse,
    leave_group: LeaveGroupRequest LeaveGroupResponse,
    list_config_resources: ListConfigResourcesRequest ListConfigResourcesResponse,
    list_groups: ListGroupsRequest ListGroupsResponse,
    list_offsets: ListOffsetsRequest ListOffsetsResponse,
    list_partition_reassignments: ListPartitionReassignmentsRequest ListPartitionReassignmentsResponse,
    list_transactions: ListTransactionsRequest ListTransactionsResponse,
    metadata: MetadataRequest MetadataResponse,
    offset_commit: OffsetCommitRequest OffsetCommitResponse,
    offset_delete: OffsetDeleteRequest OffsetDeleteResponse,
    offset_fetch: OffsetFetchRequest OffsetFetchResponse,
    offset_for_leader_epoch: OffsetForLeaderEpochRequest OffsetForLeaderEpochResponse,
    produce: ProduceRequest ProduceResponse,
    sync_group: SyncGroupRequest SyncGroupResponse,
}

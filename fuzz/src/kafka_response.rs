//! Reading any bytes as a response frame, the first two of which name the API and the version: what is read means the same
//! when it is written and read again.

use std::fmt::Debug;

use bytes::{Bytes, BytesMut};
use firth_kafka_codec::*;

pub fn run(bytes: &[u8]) {
    let &[row, version, ref frame @ ..] = bytes else {
        return;
    };
    let served = SERVED[usize::from(row) % SERVED.len()];
    let versions = served.version_max - served.version_min + 1;
    let version = served.version_min + i16::from(version) % versions;
    let frame = Bytes::copy_from_slice(frame);
    match served.api_key {
        ApiKey::Produce => round_trip::<ProduceRequest>(version, &frame),
        ApiKey::Fetch => round_trip::<FetchRequest>(version, &frame),
        ApiKey::ListOffsets => round_trip::<ListOffsetsRequest>(version, &frame),
        ApiKey::FindCoordinator => round_trip::<FindCoordinatorRequest>(version, &frame),
        ApiKey::Metadata => round_trip::<MetadataRequest>(version, &frame),
        ApiKey::ApiVersions => round_trip::<ApiVersionsRequest>(version, &frame),
        ApiKey::CreateTopics => round_trip::<CreateTopicsRequest>(version, &frame),
        ApiKey::DeleteTopics => round_trip::<DeleteTopicsRequest>(version, &frame),
        ApiKey::DeleteRecords => round_trip::<DeleteRecordsRequest>(version, &frame),
        ApiKey::DescribeConfigs => round_trip::<DescribeConfigsRequest>(version, &frame),
        ApiKey::AlterConfigs => round_trip::<AlterConfigsRequest>(version, &frame),
        ApiKey::IncrementalAlterConfigs => round_trip::<IncrementalAlterConfigsRequest>(version, &frame),
        ApiKey::ListConfigResources => round_trip::<ListConfigResourcesRequest>(version, &frame),
        ApiKey::CreatePartitions => round_trip::<CreatePartitionsRequest>(version, &frame),
        ApiKey::DescribeCluster => round_trip::<DescribeClusterRequest>(version, &frame),
        ApiKey::DescribeTopicPartitions => round_trip::<DescribeTopicPartitionsRequest>(version, &frame),
        ApiKey::DescribeLogDirs => round_trip::<DescribeLogDirsRequest>(version, &frame),
        ApiKey::DescribeProducers => round_trip::<DescribeProducersRequest>(version, &frame),
        ApiKey::OffsetForLeaderEpoch => round_trip::<OffsetForLeaderEpochRequest>(version, &frame),
        ApiKey::ElectLeaders => round_trip::<ElectLeadersRequest>(version, &frame),
        ApiKey::DescribeClientQuotas => round_trip::<DescribeClientQuotasRequest>(version, &frame),
        ApiKey::AlterClientQuotas => round_trip::<AlterClientQuotasRequest>(version, &frame),
        ApiKey::AlterPartitionReassignments => {
            round_trip::<AlterPartitionReassignmentsRequest>(version, &frame)
        }
        ApiKey::ListPartitionReassignments => {
            round_trip::<ListPartitionReassignmentsRequest>(version, &frame)
        }
        ApiKey::DescribeAcls => round_trip::<DescribeAclsRequest>(version, &frame),
        ApiKey::CreateAcls => round_trip::<CreateAclsRequest>(version, &frame),
        ApiKey::DeleteAcls => round_trip::<DeleteAclsRequest>(version, &frame),
        ApiKey::DescribeQuorum => round_trip::<DescribeQuorumRequest>(version, &frame),
        ApiKey::DescribeTransactions => round_trip::<DescribeTransactionsRequest>(version, &frame),
        ApiKey::ListTransactions => round_trip::<ListTransactionsRequest>(version, &frame),
        ApiKey::DescribeUserScramCredentials => {
            round_trip::<DescribeUserScramCredentialsRequest>(version, &frame)
        }
        ApiKey::InitProducerId => round_trip::<InitProducerIdRequest>(version, &frame),
        ApiKey::DeleteGroups => round_trip::<DeleteGroupsRequest>(version, &frame),
        ApiKey::DescribeGroups => round_trip::<DescribeGroupsRequest>(version, &frame),
        ApiKey::Heartbeat => round_trip::<HeartbeatRequest>(version, &frame),
        ApiKey::JoinGroup => round_trip::<JoinGroupRequest>(version, &frame),
        ApiKey::LeaveGroup => round_trip::<LeaveGroupRequest>(version, &frame),
        ApiKey::ListGroups => round_trip::<ListGroupsRequest>(version, &frame),
        ApiKey::OffsetCommit => round_trip::<OffsetCommitRequest>(version, &frame),
        ApiKey::OffsetDelete => round_trip::<OffsetDeleteRequest>(version, &frame),
        ApiKey::OffsetFetch => round_trip::<OffsetFetchRequest>(version, &frame),
        ApiKey::SyncGroup => round_trip::<SyncGroupRequest>(version, &frame),
    }
}

fn round_trip<R: RequestMessage>(version: i16, frame: &Bytes)
where
    R::Response: Debug + PartialEq,
{
    // The refusal of an ApiVersions request is in version 0, whatever was asked.
    let refused = R::API_KEY == ApiKey::ApiVersions && frame.get(4..6) == Some(&[0, 35]);
    let version = if refused { 0 } else { version };
    let Ok((id, response)) = decode_response::<R>(version, frame) else {
        return;
    };
    let written = encode_response(&mut BytesMut::new(), version, id, &response);
    let written = written
        .expect("what was read can be written")
        .into_parts()
        .flatten();
    let again: Bytes = written.skip(SIZE_BYTES).collect();
    assert_eq!(decode_response::<R>(version, &again), Ok((id, response)));
}

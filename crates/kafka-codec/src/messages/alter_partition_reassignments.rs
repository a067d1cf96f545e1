//! AlterPartitionReassignments (KIP-455).

use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::ByteStr;

message! {
    pub struct AlterPartitionReassignmentsRequest {
        pub timeout_ms: i32 [..] = 60_000,
        pub allow_replication_factor_change: bool [1..] = true,
        pub topics: Vec<ReassignableTopic> [..],
    }
}

message! {
    pub struct ReassignableTopic {
        pub name: ByteStr [..],
        pub partitions: Vec<ReassignablePartition> [..],
    }
}

message! {
    pub struct ReassignablePartition {
        pub partition_index: i32 [..],
        /// Null to cancel what is under way.
        pub replicas: Option<Vec<i32>> [..],
    }
}

message! {
    pub struct AlterPartitionReassignmentsResponse {
        pub throttle_time_ms: i32 [..],
        pub allow_replication_factor_change: bool [1..] = true,
        pub error_code: ErrorCode [..],
        pub error_message: Option<ByteStr> [..] = Some(ByteStr::default()),
        pub responses: Vec<ReassignableTopicResponse> [..],
    }
}

message! {
    pub struct ReassignableTopicResponse {
        pub name: ByteStr [..],
        pub partitions: Vec<ReassignablePartitionResponse> [..],
    }
}

message! {
    pub struct ReassignablePartitionResponse {
        pub partition_index: i32 [..],
        pub error_code: ErrorCode [..],
        pub error_message: Option<ByteStr> [..] = Some(ByteStr::default()),
    }
}

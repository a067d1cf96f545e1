//! ListPartitionReassignments (KIP-455): which partitions are being moved.

use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::ByteStr;

message! {
    pub struct ListPartitionReassignmentsRequest {
        pub timeout_ms: i32 [..] = 60_000,
        /// Null for all topics.
        pub topics: Option<Vec<ListPartitionReassignmentsTopics>> [..],
    }
}

message! {
    pub struct ListPartitionReassignmentsTopics {
        pub name: ByteStr [..],
        pub partition_indexes: Vec<i32> [..],
    }
}

message! {
    pub struct ListPartitionReassignmentsResponse {
        pub throttle_time_ms: i32 [..],
        pub error_code: ErrorCode [..],
        pub error_message: Option<ByteStr> [..] = Some(ByteStr::default()),
        pub topics: Vec<OngoingTopicReassignment> [..],
    }
}

message! {
    pub struct OngoingTopicReassignment {
        pub name: ByteStr [..],
        pub partitions: Vec<OngoingPartitionReassignment> [..],
    }
}

message! {
    pub struct OngoingPartitionReassignment {
        pub partition_index: i32 [..],
        pub replicas: Vec<i32> [..],
        pub adding_replicas: Vec<i32> [..],
        pub removing_replicas: Vec<i32> [..],
    }
}

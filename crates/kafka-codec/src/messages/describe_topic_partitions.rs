//! DescribeTopicPartitions (KIP-966): as Metadata, a page at a time.

use super::AUTHORIZED_OPERATIONS_UNKNOWN;
use crate::error_code::ErrorCode;
use crate::message::{message, nullable};
use crate::primitives::{ByteStr, Uuid};

message! {
    pub struct DescribeTopicPartitionsRequest {
        /// Empty for all topics.
        pub topics: Vec<DescribeTopicPartitionsTopicRequest> [..],
        pub response_partition_limit: i32 [..] = 2000,
        /// Where to go on, as the last answer said; null to begin.
        pub cursor: Option<Cursor> [..],
    }
}

message! {
    pub struct DescribeTopicPartitionsTopicRequest {
        pub name: ByteStr [..],
    }
}

message! {
    /// The first partition that is not described yet.
    pub struct Cursor {
        pub topic_name: ByteStr [..],
        pub partition_index: i32 [..],
    }
}

nullable!(Cursor);

message! {
    pub struct DescribeTopicPartitionsResponse {
        pub throttle_time_ms: i32 [..],
        pub topics: Vec<DescribeTopicPartitionsResponseTopic> [..],
        /// Null at the end.
        pub next_cursor: Option<Cursor> [..],
    }
}

message! {
    pub struct DescribeTopicPartitionsResponseTopic {
        pub error_code: ErrorCode [..],
        pub name: Option<ByteStr> [..] = Some(ByteStr::default()),
        pub topic_id: Uuid [..],
        pub is_internal: bool [..],
        pub partitions: Vec<DescribeTopicPartitionsResponsePartition> [..],
        pub topic_authorized_operations: i32 [..] = AUTHORIZED_OPERATIONS_UNKNOWN,
    }
}

message! {
    pub struct DescribeTopicPartitionsResponsePartition {
        pub error_code: ErrorCode [..],
        pub partition_index: i32 [..],
        pub leader_id: i32 [..],
        pub leader_epoch: i32 [..] = -1,
        pub replica_nodes: Vec<i32> [..],
        pub isr_nodes: Vec<i32> [..],
        pub eligible_leader_replicas: Option<Vec<i32>> [..],
        pub last_known_elr: Option<Vec<i32>> [..],
        pub offline_replicas: Vec<i32> [..],
    }
}

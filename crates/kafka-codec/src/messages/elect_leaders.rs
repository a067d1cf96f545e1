//! ElectLeaders (KIP-183, KIP-460).

use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::ByteStr;

message! {
    pub struct ElectLeadersRequest {
        /// 0 the preferred replica, 1 any replica, be it one that lacks records.
        pub election_type: i8 [1..],
        /// Null for all partitions.
        pub topic_partitions: Option<Vec<ElectLeadersTopicPartitions>> [..] = Some(Vec::new()),
        pub timeout_ms: i32 [..] = 60_000,
    }
}

message! {
    pub struct ElectLeadersTopicPartitions {
        pub topic: ByteStr [..],
        pub partitions: Vec<i32> [..],
    }
}

message! {
    pub struct ElectLeadersResponse {
        pub throttle_time_ms: i32 [..],
        pub error_code: ErrorCode [1..],
        pub replica_election_results: Vec<ReplicaElectionResult> [..],
    }
}

message! {
    pub struct ReplicaElectionResult {
        pub topic: ByteStr [..],
        pub partition_result: Vec<ElectLeadersPartitionResult> [..],
    }
}

message! {
    pub struct ElectLeadersPartitionResult {
        pub partition_id: i32 [..],
        pub error_code: ErrorCode [..],
        pub error_message: Option<ByteStr> [..] = Some(ByteStr::default()),
    }
}

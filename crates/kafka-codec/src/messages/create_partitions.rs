//! CreatePartitions (KIP-195).

use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::ByteStr;

message! {
    pub struct CreatePartitionsRequest {
        pub topics: Vec<CreatePartitionsTopic> [..],
        pub timeout_ms: i32 [..],
        /// Check that it can be done, but do nothing.
        pub validate_only: bool [..],
    }
}

message! {
    pub struct CreatePartitionsTopic {
        pub name: ByteStr [..],
        /// How many there shall be, with those that there are.
        pub count: i32 [..],
        /// The replicas of the new partitions, in their order; null where the broker chooses.
        pub assignments: Option<Vec<CreatePartitionsAssignment>> [..] = Some(Vec::new()),
    }
}

message! {
    pub struct CreatePartitionsAssignment {
        pub broker_ids: Vec<i32> [..],
    }
}

message! {
    pub struct CreatePartitionsResponse {
        pub throttle_time_ms: i32 [..],
        pub results: Vec<CreatePartitionsTopicResult> [..],
    }
}

message! {
    pub struct CreatePartitionsTopicResult {
        pub name: ByteStr [..],
        pub error_code: ErrorCode [..],
        pub error_message: Option<ByteStr> [..],
    }
}

//! OffsetForLeaderEpoch (KIP-101, KIP-320): where the records of a leader's epoch end.

use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::ByteStr;

message! {
    pub struct OffsetForLeaderEpochRequest {
        /// -1 from a consumer, -2 from whoever does not say.
        pub replica_id: i32 [3..] = -2,
        pub topics: Vec<OffsetForLeaderTopic> [..],
    }
}

message! {
    pub struct OffsetForLeaderTopic {
        pub topic: ByteStr [..],
        pub partitions: Vec<OffsetForLeaderPartition> [..],
    }
}

message! {
    pub struct OffsetForLeaderPartition {
        pub partition: i32 [..],
        /// -1 if the client does not know it.
        pub current_leader_epoch: i32 [..] = -1,
        pub leader_epoch: i32 [..],
    }
}

message! {
    pub struct OffsetForLeaderEpochResponse {
        pub throttle_time_ms: i32 [..],
        pub topics: Vec<OffsetForLeaderTopicResult> [..],
    }
}

message! {
    pub struct OffsetForLeaderTopicResult {
        pub topic: ByteStr [..],
        pub partitions: Vec<OffsetForLeaderPartitionResult> [..],
    }
}

message! {
    /// Kafka's schema calls it `EpochEndOffset`, as it calls something else in Fetch.
    pub struct OffsetForLeaderPartitionResult {
        pub error_code: ErrorCode [..],
        pub partition: i32 [..],
        /// The largest epoch that is not after the one asked for; -1 if there is none.
        pub leader_epoch: i32 [..] = -1,
        pub end_offset: i64 [..] = -1,
    }
}

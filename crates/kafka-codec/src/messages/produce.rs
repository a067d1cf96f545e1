//! Produce. The hot path: of one topic and one partition, a request is read without allocating.
//!
//! The records are a slice of the frame, and nobody looked at them.

use bytes::Bytes;
use smallvec::SmallVec;

use super::{LeaderIdAndEpoch, NodeEndpoint};
use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::{ByteStr, Uuid};

message! {
    pub struct ProduceRequest {
        pub transactional_id: Option<ByteStr> [3..],
        /// 0 for no answer at all, 1 for the leader alone, -1 for all in-sync replicas.
        pub acks: i16 [..],
        pub timeout_ms: i32 [..],
        pub topic_data: SmallVec<[TopicProduceData; 1]> [..],
    }
}

message! {
    /// Named by `name` up to version 12 and by `topic_id` from version 13 on (KIP-516); the other one is empty.
    pub struct TopicProduceData {
        pub name: ByteStr [..=12],
        pub topic_id: Uuid [13..],
        pub partition_data: SmallVec<[PartitionProduceData; 1]> [..],
    }
}

message! {
    pub struct PartitionProduceData {
        pub index: i32 [..],
        pub records: Option<Bytes> [..],
    }
}

message! {
    pub struct ProduceResponse {
        pub responses: SmallVec<[TopicProduceResponse; 1]> [..],
        pub throttle_time_ms: i32 [1..],
    }
    tagged {
        /// The leaders that partitions name as `current_leader`.
        0 => pub node_endpoints: Vec<NodeEndpoint> [10..],
    }
}

message! {
    /// Named as in the request.
    pub struct TopicProduceResponse {
        pub name: ByteStr [..=12],
        pub topic_id: Uuid [13..],
        pub partition_responses: SmallVec<[PartitionProduceResponse; 1]> [..],
    }
}

message! {
    pub struct PartitionProduceResponse {
        pub index: i32 [..],
        pub error_code: ErrorCode [..],
        /// -1 after an error.
        pub base_offset: i64 [..],
        /// -1 unless the topic's timestamps are those of the append.
        pub log_append_time_ms: i64 [2..] = -1,
        pub log_start_offset: i64 [5..] = -1,
        /// The records for which the batch was refused (KIP-467).
        pub record_errors: Vec<BatchIndexAndErrorMessage> [8..],
        pub error_message: Option<ByteStr> [8..],
    }
    tagged {
        /// Set with `NOT_LEADER_OR_FOLLOWER`.
        0 => pub current_leader: LeaderIdAndEpoch [10..],
    }
}

message! {
    pub struct BatchIndexAndErrorMessage {
        pub batch_index: i32 [..],
        pub batch_index_error_message: Option<ByteStr> [..],
    }
}

//! DescribeProducers (KIP-664): the producers that a partition knows.

use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::ByteStr;

message! {
    pub struct DescribeProducersRequest {
        pub topics: Vec<DescribeProducersTopicRequest> [..],
    }
}

message! {
    pub struct DescribeProducersTopicRequest {
        pub name: ByteStr [..],
        pub partition_indexes: Vec<i32> [..],
    }
}

message! {
    pub struct DescribeProducersResponse {
        pub throttle_time_ms: i32 [..],
        pub topics: Vec<DescribeProducersTopicResponse> [..],
    }
}

message! {
    pub struct DescribeProducersTopicResponse {
        pub name: ByteStr [..],
        pub partitions: Vec<DescribeProducersPartitionResponse> [..],
    }
}

message! {
    pub struct DescribeProducersPartitionResponse {
        pub partition_index: i32 [..],
        pub error_code: ErrorCode [..],
        pub error_message: Option<ByteStr> [..],
        pub active_producers: Vec<ProducerState> [..],
    }
}

message! {
    pub struct ProducerState {
        pub producer_id: i64 [..],
        pub producer_epoch: i32 [..],
        pub last_sequence: i32 [..] = -1,
        /// Of its last batch; -1 if that is unknown.
        pub last_timestamp: i64 [..] = -1,
        /// Of the coordinator that wrote the last marker; -1 if there was none.
        pub coordinator_epoch: i32 [..],
        /// -1 if no transaction is open.
        pub current_txn_start_offset: i64 [..] = -1,
    }
}

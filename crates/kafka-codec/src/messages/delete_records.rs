//! DeleteRecords (KIP-107): trim a partition's beginning.

use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::ByteStr;

message! {
    pub struct DeleteRecordsRequest {
        pub topics: Vec<DeleteRecordsTopic> [..],
        pub timeout_ms: i32 [..],
    }
}

message! {
    pub struct DeleteRecordsTopic {
        pub name: ByteStr [..],
        pub partitions: Vec<DeleteRecordsPartition> [..],
    }
}

message! {
    pub struct DeleteRecordsPartition {
        pub partition_index: i32 [..],
        /// The first offset to keep; -1 means the high watermark.
        pub offset: i64 [..],
    }
}

message! {
    pub struct DeleteRecordsResponse {
        pub throttle_time_ms: i32 [..],
        pub topics: Vec<DeleteRecordsTopicResult> [..],
    }
}

message! {
    pub struct DeleteRecordsTopicResult {
        pub name: ByteStr [..],
        pub partitions: Vec<DeleteRecordsPartitionResult> [..],
    }
}

message! {
    pub struct DeleteRecordsPartitionResult {
        pub partition_index: i32 [..],
        /// The first offset that is left.
        pub low_watermark: i64 [..],
        pub error_code: ErrorCode [..],
    }
}

//! ListOffsets (KIP-79): the offset of a timestamp, or of a named place in a partition. Apache Kafka 4
//! begins at version 1; older clients send version 0, which asks for boundaries of segments.

use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::ByteStr;

/// The end of the log: the last stable offset for `READ_COMMITTED`, else the high watermark.
pub const LATEST_TIMESTAMP: i64 = -1;
/// The log start offset.
pub const EARLIEST_TIMESTAMP: i64 = -2;
/// The record with the largest timestamp (version 7+, KIP-734).
pub const MAX_TIMESTAMP: i64 = -3;
/// The first offset that lies on the broker itself (version 8+, KIP-405).
pub const EARLIEST_LOCAL_TIMESTAMP: i64 = -4;
/// The last offset in tiered storage (version 9+, KIP-1005); -1 without tiered storage.
pub const LATEST_TIERED_TIMESTAMP: i64 = -5;
/// The first offset that is not in tiered storage yet (version 11+, KIP-1023); -1 without tiered storage.
pub const EARLIEST_PENDING_UPLOAD_TIMESTAMP: i64 = -6;

message! {
    pub struct ListOffsetsRequest {
        /// -1 from a consumer.
        pub replica_id: i32 [..] = -1,
        /// 0 `READ_UNCOMMITTED`, 1 `READ_COMMITTED`.
        pub isolation_level: i8 [2..],
        pub topics: Vec<ListOffsetsTopic> [..],
        /// How long to wait for tiered storage.
        pub timeout_ms: i32 [10..],
    }
}

message! {
    pub struct ListOffsetsTopic {
        pub name: ByteStr [..],
        pub partitions: Vec<ListOffsetsPartition> [..],
    }
}

message! {
    pub struct ListOffsetsPartition {
        pub partition_index: i32 [..],
        /// -1 if the client does not know it (KIP-320).
        pub current_leader_epoch: i32 [4..] = -1,
        /// Milliseconds since 1970, or one of the constants above.
        pub timestamp: i64 [..],
        pub max_num_offsets: i32 [..=0] = 1,
    }
}

message! {
    pub struct ListOffsetsResponse {
        pub throttle_time_ms: i32 [2..],
        pub topics: Vec<ListOffsetsTopicResponse> [..],
    }
}

message! {
    pub struct ListOffsetsTopicResponse {
        pub name: ByteStr [..],
        pub partitions: Vec<ListOffsetsPartitionResponse> [..],
    }
}

message! {
    pub struct ListOffsetsPartitionResponse {
        pub partition_index: i32 [..],
        pub error_code: ErrorCode [..],
        /// Offsets at which segments begin that may hold the timestamp, the latest first.
        pub old_style_offsets: Vec<i64> [..=0],
        /// -1 where a named place was asked for, or nothing was found.
        pub timestamp: i64 [1..] = -1,
        /// -1 if there is no such record.
        pub offset: i64 [1..] = -1,
        pub leader_epoch: i32 [4..] = -1,
    }
}

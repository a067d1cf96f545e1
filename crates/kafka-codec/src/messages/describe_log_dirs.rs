//! DescribeLogDirs (KIP-113, KIP-827).

use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::ByteStr;

message! {
    pub struct DescribeLogDirsRequest {
        /// Null for all topics.
        pub topics: Option<Vec<DescribableLogDirTopic>> [..] = Some(Vec::new()),
    }
}

message! {
    pub struct DescribableLogDirTopic {
        pub topic: ByteStr [..],
        pub partitions: Vec<i32> [..],
    }
}

message! {
    pub struct DescribeLogDirsResponse {
        pub throttle_time_ms: i32 [..],
        pub error_code: ErrorCode [3..],
        pub results: Vec<DescribeLogDirsResult> [..],
    }
}

message! {
    pub struct DescribeLogDirsResult {
        pub error_code: ErrorCode [..],
        pub log_dir: ByteStr [..],
        pub topics: Vec<DescribeLogDirsTopic> [..],
        /// Of the file system; -1 if that is unknown.
        pub total_bytes: i64 [4..] = -1,
        pub usable_bytes: i64 [4..] = -1,
    }
}

message! {
    pub struct DescribeLogDirsTopic {
        pub name: ByteStr [..],
        pub partitions: Vec<DescribeLogDirsPartition> [..],
    }
}

message! {
    pub struct DescribeLogDirsPartition {
        pub partition_index: i32 [..],
        pub partition_size: i64 [..],
        /// How far a replica is behind the high watermark.
        pub offset_lag: i64 [..],
        /// Whether this is a copy that is to replace the log in another directory.
        pub is_future_key: bool [..],
    }
}

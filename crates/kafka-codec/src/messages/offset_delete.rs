//! OffsetDelete (KIP-496).

use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::ByteStr;

message! {
    pub struct OffsetDeleteRequest {
        pub group_id: ByteStr [..],
        pub topics: Vec<OffsetDeleteRequestTopic> [..],
    }
}

message! {
    pub struct OffsetDeleteRequestTopic {
        pub name: ByteStr [..],
        pub partitions: Vec<OffsetDeleteRequestPartition> [..],
    }
}

message! {
    pub struct OffsetDeleteRequestPartition {
        pub partition_index: i32 [..],
    }
}

message! {
    pub struct OffsetDeleteResponse {
        pub error_code: ErrorCode [..],
        pub throttle_time_ms: i32 [..],
        pub topics: Vec<OffsetDeleteResponseTopic> [..],
    }
}

message! {
    pub struct OffsetDeleteResponseTopic {
        pub name: ByteStr [..],
        pub partitions: Vec<OffsetDeleteResponsePartition> [..],
    }
}

message! {
    pub struct OffsetDeleteResponsePartition {
        pub partition_index: i32 [..],
        pub error_code: ErrorCode [..],
    }
}

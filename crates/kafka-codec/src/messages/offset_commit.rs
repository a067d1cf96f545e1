//! OffsetCommit. Apache Kafka 4 begins at version 2; older clients send versions 0 and 1.

use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::{ByteStr, Uuid};

message! {
    pub struct OffsetCommitRequest {
        pub group_id: ByteStr [..],
        /// -1 from a client that assigns partitions itself. The epoch is that of KIP-848.
        pub generation_id_or_member_epoch: i32 [1..] = -1,
        /// Empty from a client that assigns partitions itself.
        pub member_id: ByteStr [1..],
        pub group_instance_id: Option<ByteStr> [7..],
        /// -1 for as long as the broker keeps offsets.
        pub retention_time_ms: i64 [2..=4] = -1,
        pub topics: Vec<OffsetCommitRequestTopic> [..],
    }
}

message! {
    /// Named by `name` up to version 9 and by `topic_id` from version 10 on; the other one is empty.
    pub struct OffsetCommitRequestTopic {
        pub name: ByteStr [..=9],
        pub topic_id: Uuid [10..],
        pub partitions: Vec<OffsetCommitRequestPartition> [..],
    }
}

message! {
    pub struct OffsetCommitRequestPartition {
        pub partition_index: i32 [..],
        pub committed_offset: i64 [..],
        /// The epoch of the leader that the record before the offset came from (KIP-320); -1 if that is unknown.
        pub committed_leader_epoch: i32 [6..] = -1,
        /// In milliseconds since 1970; -1 for when the request is received.
        pub commit_timestamp: i64 [1..=1] = -1,
        pub committed_metadata: Option<ByteStr> [..] = Some(ByteStr::default()),
    }
}

message! {
    pub struct OffsetCommitResponse {
        pub throttle_time_ms: i32 [3..],
        pub topics: Vec<OffsetCommitResponseTopic> [..],
    }
}

message! {
    /// Named as in the request.
    pub struct OffsetCommitResponseTopic {
        pub name: ByteStr [..=9],
        pub topic_id: Uuid [10..],
        pub partitions: Vec<OffsetCommitResponsePartition> [..],
    }
}

message! {
    pub struct OffsetCommitResponsePartition {
        pub partition_index: i32 [..],
        pub error_code: ErrorCode [..],
    }
}

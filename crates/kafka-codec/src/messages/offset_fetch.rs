//! OffsetFetch: of one group up to version 7, of several from version 8 on (KIP-709). Apache Kafka 4 begins at version 1;
//! version 0, of older clients, is the same on the wire.

use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::{ByteStr, Uuid};

message! {
    pub struct OffsetFetchRequest {
        pub group_id: ByteStr [..=7],
        /// Null for all topics that the group has offsets of.
        pub topics: Option<Vec<OffsetFetchRequestTopic>> [..=7, null 2..=7] = Some(Vec::new()),
        pub groups: Vec<OffsetFetchRequestGroup> [8..],
        /// Refuse partitions of which a transaction holds an offset that is not committed yet (KIP-447).
        pub require_stable: bool [7..],
    }
}

message! {
    pub struct OffsetFetchRequestTopic {
        pub name: ByteStr [..],
        pub partition_indexes: Vec<i32> [..],
    }
}

message! {
    pub struct OffsetFetchRequestGroup {
        pub group_id: ByteStr [..],
        /// Null, with an epoch of -1, from whoever is no member of a group of KIP-848.
        pub member_id: Option<ByteStr> [9..],
        pub member_epoch: i32 [9..] = -1,
        /// Null for all topics that the group has offsets of.
        pub topics: Option<Vec<OffsetFetchRequestTopics>> [..] = Some(Vec::new()),
    }
}

message! {
    /// Named by `name` up to version 9 and by `topic_id` from version 10 on; the other one is empty.
    pub struct OffsetFetchRequestTopics {
        pub name: ByteStr [..=9],
        pub topic_id: Uuid [10..],
        pub partition_indexes: Vec<i32> [..],
    }
}

message! {
    pub struct OffsetFetchResponse {
        pub throttle_time_ms: i32 [3..],
        pub topics: Vec<OffsetFetchResponseTopic> [..=7],
        pub error_code: ErrorCode [2..=7],
        pub groups: Vec<OffsetFetchResponseGroup> [8..],
    }
}

message! {
    pub struct OffsetFetchResponseTopic {
        pub name: ByteStr [..],
        pub partitions: Vec<OffsetFetchResponsePartition> [..],
    }
}

message! {
    pub struct OffsetFetchResponsePartition {
        pub partition_index: i32 [..],
        /// -1 if the group has none.
        pub committed_offset: i64 [..],
        pub committed_leader_epoch: i32 [5..] = -1,
        pub metadata: Option<ByteStr> [..] = Some(ByteStr::default()),
        pub error_code: ErrorCode [..],
    }
}

message! {
    pub struct OffsetFetchResponseGroup {
        pub group_id: ByteStr [..],
        pub topics: Vec<OffsetFetchResponseTopics> [..],
        pub error_code: ErrorCode [..],
    }
}

message! {
    /// Named as in the request.
    pub struct OffsetFetchResponseTopics {
        pub name: ByteStr [..=9],
        pub topic_id: Uuid [10..],
        pub partitions: Vec<OffsetFetchResponsePartitions> [..],
    }
}

message! {
    pub struct OffsetFetchResponsePartitions {
        pub partition_index: i32 [..],
        /// -1 if the group has none.
        pub committed_offset: i64 [..],
        pub committed_leader_epoch: i32 [..] = -1,
        pub metadata: Option<ByteStr> [..] = Some(ByteStr::default()),
        pub error_code: ErrorCode [..],
    }
}

//! CreateTopics (KIP-4, KIP-464, KIP-525).

use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::{ByteStr, Uuid};

message! {
    pub struct CreateTopicsRequest {
        pub topics: Vec<CreatableTopic> [..],
        pub timeout_ms: i32 [..] = 60_000,
        /// Check that the topics can be created, but create nothing.
        pub validate_only: bool [1..],
    }
}

message! {
    pub struct CreatableTopic {
        pub name: ByteStr [..],
        /// -1 for the broker's default, or where the replicas are assigned below.
        pub num_partitions: i32 [..],
        /// -1 for the broker's default, or where the replicas are assigned below.
        pub replication_factor: i16 [..],
        pub assignments: Vec<CreatableReplicaAssignment> [..],
        pub configs: Vec<CreatableTopicConfig> [..],
    }
}

message! {
    pub struct CreatableReplicaAssignment {
        pub partition_index: i32 [..],
        pub broker_ids: Vec<i32> [..],
    }
}

message! {
    pub struct CreatableTopicConfig {
        pub name: ByteStr [..],
        pub value: Option<ByteStr> [..],
    }
}

message! {
    pub struct CreateTopicsResponse {
        pub throttle_time_ms: i32 [2..],
        pub topics: Vec<CreatableTopicResult> [..],
    }
}

message! {
    pub struct CreatableTopicResult {
        pub name: ByteStr [..],
        pub topic_id: Uuid [7..],
        pub error_code: ErrorCode [..],
        pub error_message: Option<ByteStr> [1..],
        pub num_partitions: i32 [5..] = -1,
        pub replication_factor: i16 [5..] = -1,
        /// Null if the configuration may not be seen; `topic_config_error_code` says why.
        pub configs: Option<Vec<CreatableTopicConfigs>> [5..] = Some(Vec::new()),
    }
    tagged {
        0 => pub topic_config_error_code: ErrorCode [5..],
    }
}

message! {
    pub struct CreatableTopicConfigs {
        pub name: ByteStr [..],
        pub value: Option<ByteStr> [..],
        pub read_only: bool [..],
        /// 0 unknown, 1 topic, 4 static broker, 5 default (KIP-226).
        pub config_source: i8 [..] = -1,
        pub is_sensitive: bool [..],
    }
}

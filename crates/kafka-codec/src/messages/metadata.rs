//! Metadata: the brokers, the topics and who leads their partitions.

use smallvec::SmallVec;

use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::{ByteStr, Uuid};

/// Authorized operations that were not asked for.
pub const AUTHORIZED_OPERATIONS_UNKNOWN: i32 = i32::MIN;

message! {
    pub struct MetadataRequest {
        /// Null for all topics. See [`MetadataRequest::wants_all_topics`] for version 0.
        pub topics: Option<Vec<MetadataRequestTopic>> [.., null 1..],
        pub allow_auto_topic_creation: bool [4..] = true,
        pub include_cluster_authorized_operations: bool [8..=10],
        pub include_topic_authorized_operations: bool [8..],
    }
}

message! {
    pub struct MetadataRequestTopic {
        /// Asked by id where it is not zero; the name is null then (version 12+).
        pub topic_id: Uuid [10..],
        pub name: Option<ByteStr> [.., null 10..],
    }
}

impl MetadataRequest {
    /// Null asks for all topics, an empty array for none; in version 0, which has no null, empty asks for all.
    pub fn wants_all_topics(&self, version: i16) -> bool {
        self.topics
            .as_ref()
            .is_none_or(|topics| version == 0 && topics.is_empty())
    }
}

message! {
    pub struct MetadataResponse {
        pub throttle_time_ms: i32 [3..],
        pub brokers: Vec<MetadataResponseBroker> [..],
        pub cluster_id: Option<ByteStr> [2..],
        pub controller_id: i32 [1..] = -1,
        pub topics: Vec<MetadataResponseTopic> [..],
        pub cluster_authorized_operations: i32 [8..=10] = AUTHORIZED_OPERATIONS_UNKNOWN,
        pub error_code: ErrorCode [13..],
    }
}

message! {
    pub struct MetadataResponseBroker {
        pub node_id: i32 [..],
        pub host: ByteStr [..],
        pub port: i32 [..],
        pub rack: Option<ByteStr> [1..],
    }
}

message! {
    pub struct MetadataResponseTopic {
        pub error_code: ErrorCode [..],
        /// Null only in answer to an id that is not known.
        pub name: Option<ByteStr> [.., null 12..],
        pub topic_id: Uuid [10..],
        pub is_internal: bool [1..],
        pub partitions: Vec<MetadataResponsePartition> [..],
        pub topic_authorized_operations: i32 [8..] = AUTHORIZED_OPERATIONS_UNKNOWN,
    }
}

message! {
    pub struct MetadataResponsePartition {
        pub error_code: ErrorCode [..],
        pub partition_index: i32 [..],
        /// -1 if there is no leader.
        pub leader_id: i32 [..],
        pub leader_epoch: i32 [7..] = -1,
        pub replica_nodes: SmallVec<[i32; 1]> [..],
        pub isr_nodes: SmallVec<[i32; 1]> [..],
        pub offline_replicas: Vec<i32> [5..],
    }
}

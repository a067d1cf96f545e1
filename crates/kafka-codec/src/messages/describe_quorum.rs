//! DescribeQuorum (KIP-595, KIP-836, KIP-853).

use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::{ByteStr, Uuid};

message! {
    pub struct DescribeQuorumRequest {
        pub topics: Vec<DescribeQuorumRequestTopic> [..],
    }
}

message! {
    pub struct DescribeQuorumRequestTopic {
        pub topic_name: ByteStr [..],
        pub partitions: Vec<DescribeQuorumRequestPartition> [..],
    }
}

message! {
    pub struct DescribeQuorumRequestPartition {
        pub partition_index: i32 [..],
    }
}

message! {
    pub struct DescribeQuorumResponse {
        /// No version has a place for it.
        pub throttle_time_ms: i32 [..0],
        pub error_code: ErrorCode [..],
        pub error_message: Option<ByteStr> [2..] = Some(ByteStr::default()),
        pub topics: Vec<DescribeQuorumTopic> [..],
        pub nodes: Vec<QuorumNode> [2..],
    }
}

message! {
    pub struct DescribeQuorumTopic {
        pub topic_name: ByteStr [..],
        pub partitions: Vec<DescribeQuorumPartition> [..],
    }
}

message! {
    pub struct DescribeQuorumPartition {
        pub partition_index: i32 [..],
        pub error_code: ErrorCode [..],
        pub error_message: Option<ByteStr> [2..] = Some(ByteStr::default()),
        /// -1 if the leader is unknown.
        pub leader_id: i32 [..],
        pub leader_epoch: i32 [..],
        pub high_watermark: i64 [..],
        pub current_voters: Vec<QuorumReplica> [..],
        pub observers: Vec<QuorumReplica> [..],
    }
}

message! {
    /// What the schema calls `ReplicaState`, as it calls what a replica sends with Fetch.
    pub struct QuorumReplica {
        pub replica_id: i32 [..],
        pub replica_directory_id: Uuid [2..],
        pub log_end_offset: i64 [..],
        /// In milliseconds since 1970; -1 if it is unknown, as the next.
        pub last_fetch_timestamp: i64 [1..] = -1,
        pub last_caught_up_timestamp: i64 [1..] = -1,
    }
}

message! {
    pub struct QuorumNode {
        pub node_id: i32 [..],
        pub listeners: Vec<QuorumListener> [..],
    }
}

message! {
    pub struct QuorumListener {
        pub name: ByteStr [..],
        pub host: ByteStr [..],
        pub port: u16 [..],
    }
}

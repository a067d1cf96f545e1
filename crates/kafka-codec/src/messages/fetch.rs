//! Fetch, with sessions (KIP-227) and topic ids (KIP-516). The response is a chain: its records stay where they are.

use super::{LeaderIdAndEpoch, NodeEndpoint};
use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::{ByteStr, Records, Uuid};

message! {
    pub struct FetchRequest {
        /// -1 from a consumer. From version 15 on a follower says it in `replica_state`.
        pub replica_id: i32 [..=14] = -1,
        pub max_wait_ms: i32 [..],
        pub min_bytes: i32 [..],
        pub max_bytes: i32 [3..] = i32::MAX,
        /// 0 `READ_UNCOMMITTED`, 1 `READ_COMMITTED`.
        pub isolation_level: i8 [4..],
        /// 0 where there is no session yet.
        pub session_id: i32 [7..],
        /// 0 asks for a new session, -1 closes one or asks for none.
        pub session_epoch: i32 [7..] = -1,
        pub topics: Vec<FetchTopic> [..],
        /// Partitions that leave the session.
        pub forgotten_topics_data: Vec<ForgottenTopic> [7..],
        pub rack_id: ByteStr [11..],
    }
    tagged {
        0 => pub cluster_id: Option<ByteStr> [12..],
        1 => pub replica_state: ReplicaState [15..],
    }
}

message! {
    /// KIP-903.
    pub struct ReplicaState {
        /// -1 from a consumer.
        pub replica_id: i32 [..] = -1,
        pub replica_epoch: i64 [..] = -1,
    }
}

message! {
    /// Named by `topic` up to version 12 and by `topic_id` from version 13 on (KIP-516); the other one is empty.
    pub struct FetchTopic {
        pub topic: ByteStr [..=12],
        pub topic_id: Uuid [13..],
        pub partitions: Vec<FetchPartition> [..],
    }
}

message! {
    pub struct FetchPartition {
        pub partition: i32 [..],
        /// -1 if the client does not know it (KIP-320).
        pub current_leader_epoch: i32 [9..] = -1,
        pub fetch_offset: i64 [..],
        /// -1 if there is none; else the broker checks it and may answer with `diverging_epoch` (KIP-595).
        pub last_fetched_epoch: i32 [12..] = -1,
        /// -1 from a consumer.
        pub log_start_offset: i64 [5..] = -1,
        pub partition_max_bytes: i32 [..],
    }
    tagged {
        0 => pub replica_directory_id: Uuid [17..],
    }
}

message! {
    pub struct ForgottenTopic {
        pub topic: ByteStr [..=12],
        pub topic_id: Uuid [13..],
        pub partitions: Vec<i32> [..],
    }
}

message! {
    pub struct FetchResponse {
        pub throttle_time_ms: i32 [1..],
        pub error_code: ErrorCode [7..],
        /// 0 where there is no session.
        pub session_id: i32 [7..],
        pub responses: Vec<FetchableTopicResponse> [..],
    }
    tagged {
        /// The leaders that partitions name as `current_leader`.
        0 => pub node_endpoints: Vec<NodeEndpoint> [16..],
    }
}

message! {
    /// Named as in the request.
    pub struct FetchableTopicResponse {
        pub topic: ByteStr [..=12],
        pub topic_id: Uuid [13..],
        pub partitions: Vec<PartitionData> [..],
    }
}

message! {
    pub struct PartitionData {
        pub partition_index: i32 [..],
        pub error_code: ErrorCode [..],
        pub high_watermark: i64 [..],
        pub last_stable_offset: i64 [4..] = -1,
        pub log_start_offset: i64 [5..] = -1,
        /// Null for `READ_UNCOMMITTED`; else ascending by first offset.
        pub aborted_transactions: Option<Vec<AbortedTransaction>> [4..],
        /// -1 for the leader itself (KIP-392).
        pub preferred_read_replica: i32 [11..] = -1,
        /// Whole batches, of which the first may begin before the offset that was asked for. Not null from this
        /// broker: some clients take an empty slice only.
        pub records: Option<Records> [..] = Some(Records::default()),
    }
    tagged {
        /// Where the log of the client parts from ours (KIP-595).
        0 => pub diverging_epoch: EpochEndOffset [12..],
        /// Set with `NOT_LEADER_OR_FOLLOWER` and `FENCED_LEADER_EPOCH`.
        1 => pub current_leader: LeaderIdAndEpoch [12..],
        2 => pub snapshot_id: SnapshotId [12..],
    }
}

message! {
    pub struct AbortedTransaction {
        pub producer_id: i64 [..],
        pub first_offset: i64 [..],
    }
}

message! {
    pub struct EpochEndOffset {
        pub epoch: i32 [..] = -1,
        pub end_offset: i64 [..] = -1,
    }
}

message! {
    /// Of the metadata log of a cluster (KIP-630).
    pub struct SnapshotId {
        pub end_offset: i64 [..] = -1,
        pub epoch: i32 [..] = -1,
    }
}

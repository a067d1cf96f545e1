//! SyncGroup: the leader of a group brings what it assigned, and each member gets its part.

use bytes::Bytes;

use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::ByteStr;

message! {
    pub struct SyncGroupRequest {
        pub group_id: ByteStr [..],
        pub generation_id: i32 [..],
        pub member_id: ByteStr [..],
        pub group_instance_id: Option<ByteStr> [3..],
        /// What the member takes the group's protocol for (KIP-559); null if it does not say.
        pub protocol_type: Option<ByteStr> [5..],
        pub protocol_name: Option<ByteStr> [5..],
        /// Empty except from the leader.
        pub assignments: Vec<SyncGroupRequestAssignment> [..],
    }
}

message! {
    pub struct SyncGroupRequestAssignment {
        pub member_id: ByteStr [..],
        /// For the member alone to read.
        pub assignment: Bytes [..],
    }
}

message! {
    pub struct SyncGroupResponse {
        pub throttle_time_ms: i32 [1..],
        pub error_code: ErrorCode [..],
        pub protocol_type: Option<ByteStr> [5..],
        pub protocol_name: Option<ByteStr> [5..],
        pub assignment: Bytes [..],
    }
}

//! LeaveGroup: one member up to version 2, several from version 3 on (KIP-345).

use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::ByteStr;

message! {
    pub struct LeaveGroupRequest {
        pub group_id: ByteStr [..],
        pub member_id: ByteStr [..=2],
        pub members: Vec<MemberIdentity> [3..],
    }
}

message! {
    pub struct MemberIdentity {
        /// Empty where an administrator removes a static member by its `group_instance_id`.
        pub member_id: ByteStr [..],
        pub group_instance_id: Option<ByteStr> [..],
        /// Why the member leaves (KIP-800).
        pub reason: Option<ByteStr> [5..],
    }
}

message! {
    pub struct LeaveGroupResponse {
        pub throttle_time_ms: i32 [1..],
        pub error_code: ErrorCode [..],
        pub members: Vec<MemberResponse> [3..],
    }
}

message! {
    pub struct MemberResponse {
        pub member_id: ByteStr [..],
        pub group_instance_id: Option<ByteStr> [..],
        pub error_code: ErrorCode [..],
    }
}

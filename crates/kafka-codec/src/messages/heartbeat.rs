//! Heartbeat of a member of a classic group.

use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::ByteStr;

message! {
    pub struct HeartbeatRequest {
        pub group_id: ByteStr [..],
        pub generation_id: i32 [..],
        pub member_id: ByteStr [..],
        pub group_instance_id: Option<ByteStr> [3..],
    }
}

message! {
    pub struct HeartbeatResponse {
        pub throttle_time_ms: i32 [1..],
        pub error_code: ErrorCode [..],
    }
}

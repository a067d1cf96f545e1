//! FindCoordinator up to version 3, which asks for one coordinator (KIP-699 made it several).

use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::ByteStr;

message! {
    pub struct FindCoordinatorRequest {
        /// The id of the group, or the transactional id.
        pub key: ByteStr [..],
        /// 0 for a group, 1 for a transactional id.
        pub key_type: i8 [1..],
    }
}

message! {
    pub struct FindCoordinatorResponse {
        pub throttle_time_ms: i32 [1..],
        pub error_code: ErrorCode [..],
        pub error_message: Option<ByteStr> [1..] = Some(ByteStr::default()),
        /// -1 if there is no coordinator.
        pub node_id: i32 [..],
        pub host: ByteStr [..],
        pub port: i32 [..],
    }
}

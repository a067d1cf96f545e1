//! FindCoordinator: one coordinator up to version 3, several from version 4 on (KIP-699).

use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::ByteStr;

message! {
    pub struct FindCoordinatorRequest {
        /// The id of the group, or the transactional id.
        pub key: ByteStr [..=3],
        /// 0 for groups, 1 for transactional ids, 2 for partitions of share groups (version 6+, KIP-932).
        pub key_type: i8 [1..],
        /// As `key`.
        pub coordinator_keys: Vec<ByteStr> [4..],
    }
}

message! {
    /// The answer is `coordinators` from version 4 on, and the fields beside it before.
    pub struct FindCoordinatorResponse {
        pub throttle_time_ms: i32 [1..],
        pub error_code: ErrorCode [..=3],
        pub error_message: Option<ByteStr> [1..=3] = Some(ByteStr::default()),
        /// -1 if there is no coordinator.
        pub node_id: i32 [..=3],
        pub host: ByteStr [..=3],
        pub port: i32 [..=3],
        pub coordinators: Vec<Coordinator> [4..],
    }
}

message! {
    pub struct Coordinator {
        pub key: ByteStr [..],
        /// -1 if there is no coordinator.
        pub node_id: i32 [..],
        pub host: ByteStr [..],
        pub port: i32 [..],
        pub error_code: ErrorCode [..],
        pub error_message: Option<ByteStr> [..] = Some(ByteStr::default()),
    }
}

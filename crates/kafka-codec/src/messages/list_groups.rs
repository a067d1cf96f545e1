//! ListGroups, by state (KIP-518) and by type (KIP-848).

use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::ByteStr;

message! {
    pub struct ListGroupsRequest {
        /// Empty for all states.
        pub states_filter: Vec<ByteStr> [4..],
        /// Empty for all types.
        pub types_filter: Vec<ByteStr> [5..],
    }
}

message! {
    pub struct ListGroupsResponse {
        pub throttle_time_ms: i32 [1..],
        pub error_code: ErrorCode [..],
        pub groups: Vec<ListedGroup> [..],
    }
}

message! {
    pub struct ListedGroup {
        pub group_id: ByteStr [..],
        /// Empty for a group that was never joined.
        pub protocol_type: ByteStr [..],
        pub group_state: ByteStr [4..],
        pub group_type: ByteStr [5..],
    }
}

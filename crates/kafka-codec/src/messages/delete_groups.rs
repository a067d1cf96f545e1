//! DeleteGroups (KIP-229).

use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::ByteStr;

message! {
    pub struct DeleteGroupsRequest {
        pub groups_names: Vec<ByteStr> [..],
    }
}

message! {
    pub struct DeleteGroupsResponse {
        pub throttle_time_ms: i32 [..],
        pub results: Vec<DeletableGroupResult> [..],
    }
}

message! {
    pub struct DeletableGroupResult {
        pub group_id: ByteStr [..],
        pub error_code: ErrorCode [..],
    }
}

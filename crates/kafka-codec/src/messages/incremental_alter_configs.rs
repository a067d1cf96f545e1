//! IncrementalAlterConfigs (KIP-339): changes of a configuration; what is not named stays.

use super::AlterConfigsResourceResponse;
use crate::message::message;
use crate::primitives::ByteStr;

/// What is done to a setting (`AlterConfigOp.OpType`).
pub const OPERATION_SET: i8 = 0;
pub const OPERATION_DELETE: i8 = 1;
pub const OPERATION_APPEND: i8 = 2;
pub const OPERATION_SUBTRACT: i8 = 3;

message! {
    pub struct IncrementalAlterConfigsRequest {
        pub resources: Vec<IncrementalAlterConfigsResource> [..],
        /// Check that it can be done, but do nothing.
        pub validate_only: bool [..],
    }
}

message! {
    pub struct IncrementalAlterConfigsResource {
        pub resource_type: i8 [..],
        pub resource_name: ByteStr [..],
        pub configs: Vec<IncrementalAlterableConfig> [..],
    }
}

message! {
    pub struct IncrementalAlterableConfig {
        pub name: ByteStr [..],
        /// One of the constants above.
        pub config_operation: i8 [..],
        /// Of no meaning for a deletion.
        pub value: Option<ByteStr> [..] = Some(ByteStr::default()),
    }
}

message! {
    pub struct IncrementalAlterConfigsResponse {
        pub throttle_time_ms: i32 [..],
        pub responses: Vec<AlterConfigsResourceResponse> [..],
    }
}

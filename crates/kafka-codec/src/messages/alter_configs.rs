//! AlterConfigs (KIP-133): the whole configuration of a resource; what is not named gets its default.

use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::ByteStr;

message! {
    pub struct AlterConfigsRequest {
        pub resources: Vec<AlterConfigsResource> [..],
        /// Check that it can be done, but do nothing.
        pub validate_only: bool [..],
    }
}

message! {
    pub struct AlterConfigsResource {
        pub resource_type: i8 [..],
        pub resource_name: ByteStr [..],
        pub configs: Vec<AlterableConfig> [..],
    }
}

message! {
    pub struct AlterableConfig {
        pub name: ByteStr [..],
        pub value: Option<ByteStr> [..] = Some(ByteStr::default()),
    }
}

message! {
    pub struct AlterConfigsResponse {
        pub throttle_time_ms: i32 [..],
        pub responses: Vec<AlterConfigsResourceResponse> [..],
    }
}

message! {
    /// Of IncrementalAlterConfigs too.
    pub struct AlterConfigsResourceResponse {
        pub error_code: ErrorCode [..],
        pub error_message: Option<ByteStr> [..] = Some(ByteStr::default()),
        pub resource_type: i8 [..],
        pub resource_name: ByteStr [..],
    }
}

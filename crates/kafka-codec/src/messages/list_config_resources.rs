//! ListConfigResources (KIP-1142); version 0 is ListClientMetricsResources (KIP-714).

use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::ByteStr;

message! {
    pub struct ListConfigResourcesRequest {
        /// Empty for all types.
        pub resource_types: Vec<i8> [1..],
    }
}

message! {
    pub struct ListConfigResourcesResponse {
        pub throttle_time_ms: i32 [..],
        pub error_code: ErrorCode [..],
        pub config_resources: Vec<ConfigResource> [..],
    }
}

message! {
    pub struct ConfigResource {
        pub resource_name: ByteStr [..],
        pub resource_type: i8 [1..] = super::RESOURCE_CLIENT_METRICS,
    }
}

//! CreateAcls (KIP-140, KIP-290). As of DescribeAcls, version 0 is older than Apache Kafka 4.

use super::PATTERN_LITERAL;
use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::ByteStr;

message! {
    pub struct CreateAclsRequest {
        pub creations: Vec<AclCreation> [..],
    }
}

message! {
    pub struct AclCreation {
        pub resource_type: i8 [..],
        pub resource_name: ByteStr [..],
        pub resource_pattern_type: i8 [1..] = PATTERN_LITERAL,
        pub principal: ByteStr [..],
        pub host: ByteStr [..],
        pub operation: i8 [..],
        pub permission_type: i8 [..],
    }
}

message! {
    pub struct CreateAclsResponse {
        pub throttle_time_ms: i32 [..],
        /// In the order of the creations.
        pub results: Vec<AclCreationResult> [..],
    }
}

message! {
    pub struct AclCreationResult {
        pub error_code: ErrorCode [..],
        pub error_message: Option<ByteStr> [..] = Some(ByteStr::default()),
    }
}

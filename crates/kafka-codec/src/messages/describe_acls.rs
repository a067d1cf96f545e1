//! DescribeAcls (KIP-140, KIP-290). Apache Kafka 4 begins at version 1; version 0, of older clients, knows literal patterns alone.

use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::ByteStr;

/// The pattern is the name of one resource.
pub const PATTERN_LITERAL: i8 = 3;

message! {
    pub struct DescribeAclsRequest {
        pub resource_type_filter: i8 [..],
        /// Null is any, as in those below.
        pub resource_name_filter: Option<ByteStr> [..] = Some(ByteStr::default()),
        pub pattern_type_filter: i8 [1..] = PATTERN_LITERAL,
        pub principal_filter: Option<ByteStr> [..] = Some(ByteStr::default()),
        pub host_filter: Option<ByteStr> [..] = Some(ByteStr::default()),
        pub operation: i8 [..],
        pub permission_type: i8 [..],
    }
}

message! {
    pub struct DescribeAclsResponse {
        pub throttle_time_ms: i32 [..],
        pub error_code: ErrorCode [..],
        pub error_message: Option<ByteStr> [..] = Some(ByteStr::default()),
        pub resources: Vec<DescribeAclsResource> [..],
    }
}

message! {
    pub struct DescribeAclsResource {
        pub resource_type: i8 [..],
        pub resource_name: ByteStr [..],
        pub pattern_type: i8 [1..] = PATTERN_LITERAL,
        pub acls: Vec<AclDescription> [..],
    }
}

message! {
    pub struct AclDescription {
        pub principal: ByteStr [..],
        pub host: ByteStr [..],
        pub operation: i8 [..],
        pub permission_type: i8 [..],
    }
}

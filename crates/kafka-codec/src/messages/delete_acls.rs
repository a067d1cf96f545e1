//! DeleteAcls (KIP-140, KIP-290). As of DescribeAcls, version 0 is older than Apache Kafka 4.

use super::PATTERN_LITERAL;
use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::ByteStr;

message! {
    pub struct DeleteAclsRequest {
        pub filters: Vec<DeleteAclsFilter> [..],
    }
}

message! {
    pub struct DeleteAclsFilter {
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
    pub struct DeleteAclsResponse {
        pub throttle_time_ms: i32 [..],
        /// In the order of the filters.
        pub filter_results: Vec<DeleteAclsFilterResult> [..],
    }
}

message! {
    pub struct DeleteAclsFilterResult {
        pub error_code: ErrorCode [..],
        pub error_message: Option<ByteStr> [..] = Some(ByteStr::default()),
        pub matching_acls: Vec<DeleteAclsMatchingAcl> [..],
    }
}

message! {
    pub struct DeleteAclsMatchingAcl {
        pub error_code: ErrorCode [..],
        pub error_message: Option<ByteStr> [..] = Some(ByteStr::default()),
        pub resource_type: i8 [..],
        pub resource_name: ByteStr [..],
        pub pattern_type: i8 [1..] = PATTERN_LITERAL,
        pub principal: ByteStr [..],
        pub host: ByteStr [..],
        pub operation: i8 [..],
        pub permission_type: i8 [..],
    }
}

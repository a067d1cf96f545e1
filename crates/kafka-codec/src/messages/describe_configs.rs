//! DescribeConfigs (KIP-133, KIP-226, KIP-569). Apache Kafka 4 begins at version 1; older clients send version 0.

use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::ByteStr;

/// What a resource is, in all APIs that configure (`ConfigResource.Type`).
pub const RESOURCE_TOPIC: i8 = 2;
pub const RESOURCE_BROKER: i8 = 4;
pub const RESOURCE_BROKER_LOGGER: i8 = 8;
pub const RESOURCE_CLIENT_METRICS: i8 = 16;
pub const RESOURCE_GROUP: i8 = 32;

/// Where a value comes from (`DescribeConfigsResponse.ConfigSource`).
pub const SOURCE_TOPIC: i8 = 1;
pub const SOURCE_STATIC_BROKER: i8 = 4;
pub const SOURCE_DEFAULT: i8 = 5;
pub const SOURCE_BROKER_LOGGER: i8 = 6;

/// The type of a value (`DescribeConfigsResponse.ConfigType`).
pub const TYPE_BOOLEAN: i8 = 1;
pub const TYPE_STRING: i8 = 2;
pub const TYPE_INT: i8 = 3;
pub const TYPE_LONG: i8 = 5;
pub const TYPE_DOUBLE: i8 = 6;
pub const TYPE_LIST: i8 = 7;

message! {
    pub struct DescribeConfigsRequest {
        pub resources: Vec<DescribeConfigsResource> [..],
        /// Say of each value also what it would be if it were not set there.
        pub include_synonyms: bool [1..],
        pub include_documentation: bool [3..],
    }
}

message! {
    pub struct DescribeConfigsResource {
        pub resource_type: i8 [..],
        pub resource_name: ByteStr [..],
        /// Null for all.
        pub configuration_keys: Option<Vec<ByteStr>> [..] = Some(Vec::new()),
    }
}

message! {
    pub struct DescribeConfigsResponse {
        pub throttle_time_ms: i32 [..],
        pub results: Vec<DescribeConfigsResult> [..],
    }
}

message! {
    pub struct DescribeConfigsResult {
        pub error_code: ErrorCode [..],
        pub error_message: Option<ByteStr> [..] = Some(ByteStr::default()),
        pub resource_type: i8 [..],
        pub resource_name: ByteStr [..],
        pub configs: Vec<DescribeConfigsResourceResult> [..],
    }
}

message! {
    pub struct DescribeConfigsResourceResult {
        pub name: ByteStr [..],
        /// Null if there is none, or if it is sensitive.
        pub value: Option<ByteStr> [..] = Some(ByteStr::default()),
        pub read_only: bool [..],
        /// What later versions say by `config_source`.
        pub is_default: bool [..=0],
        pub config_source: i8 [1..] = -1,
        pub is_sensitive: bool [..],
        /// The first one is in force.
        pub synonyms: Vec<DescribeConfigsSynonym> [1..],
        pub config_type: i8 [3..],
        pub documentation: Option<ByteStr> [3..] = Some(ByteStr::default()),
    }
}

message! {
    pub struct DescribeConfigsSynonym {
        pub name: ByteStr [..],
        pub value: Option<ByteStr> [..] = Some(ByteStr::default()),
        pub source: i8 [..],
    }
}

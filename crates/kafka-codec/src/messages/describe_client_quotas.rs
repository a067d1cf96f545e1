//! DescribeClientQuotas (KIP-546).

use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::{ByteStr, Float64};

/// The entity has exactly this name.
pub const MATCH_EXACT: i8 = 0;
/// The entity is the default of its type.
pub const MATCH_DEFAULT: i8 = 1;
/// The entity has this type, whatever its name.
pub const MATCH_SPECIFIED: i8 = 2;

message! {
    pub struct DescribeClientQuotasRequest {
        pub components: Vec<ComponentData> [..],
        /// Whether an entity must have no other parts than those that are named.
        pub strict: bool [..],
    }
}

message! {
    pub struct ComponentData {
        pub entity_type: ByteStr [..],
        pub match_type: i8 [..],
        /// Null but for an exact match.
        pub r#match: Option<ByteStr> [..] = Some(ByteStr::default()),
    }
}

message! {
    pub struct DescribeClientQuotasResponse {
        pub throttle_time_ms: i32 [..],
        pub error_code: ErrorCode [..],
        pub error_message: Option<ByteStr> [..] = Some(ByteStr::default()),
        /// Null with an error.
        pub entries: Option<Vec<DescribeClientQuotasEntry>> [..] = Some(Vec::new()),
    }
}

message! {
    pub struct DescribeClientQuotasEntry {
        pub entity: Vec<DescribeClientQuotasEntity> [..],
        pub values: Vec<ValueData> [..],
    }
}

message! {
    pub struct DescribeClientQuotasEntity {
        pub entity_type: ByteStr [..],
        /// Null for the default.
        pub entity_name: Option<ByteStr> [..] = Some(ByteStr::default()),
    }
}

message! {
    pub struct ValueData {
        pub key: ByteStr [..],
        pub value: Float64 [..],
    }
}

//! AlterClientQuotas (KIP-546).

use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::{ByteStr, Float64};

message! {
    pub struct AlterClientQuotasRequest {
        pub entries: Vec<AlterClientQuotasEntry> [..],
        pub validate_only: bool [..],
    }
}

message! {
    pub struct AlterClientQuotasEntry {
        pub entity: Vec<AlterClientQuotasEntity> [..],
        pub ops: Vec<OpData> [..],
    }
}

message! {
    pub struct AlterClientQuotasEntity {
        pub entity_type: ByteStr [..],
        /// Null for the default.
        pub entity_name: Option<ByteStr> [..] = Some(ByteStr::default()),
    }
}

message! {
    pub struct OpData {
        pub key: ByteStr [..],
        pub value: Float64 [..],
        /// Whether the quota is removed; then its value means nothing.
        pub remove: bool [..],
    }
}

message! {
    pub struct AlterClientQuotasResponse {
        pub throttle_time_ms: i32 [..],
        pub entries: Vec<AlterClientQuotasEntryResponse> [..],
    }
}

message! {
    pub struct AlterClientQuotasEntryResponse {
        pub error_code: ErrorCode [..],
        pub error_message: Option<ByteStr> [..] = Some(ByteStr::default()),
        pub entity: Vec<AlterClientQuotasEntity> [..],
    }
}

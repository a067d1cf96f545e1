//! InitProducerId (KIP-98, KIP-360). Version 6 (KIP-939) is unstable in Apache Kafka and not served.

use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::ByteStr;

message! {
    pub struct InitProducerIdRequest {
        /// Null for an idempotent producer without transactions.
        pub transactional_id: Option<ByteStr> [..],
        pub transaction_timeout_ms: i32 [..],
        /// With `producer_epoch`, asks to bump the epoch of this producer; -1 asks for a new one.
        pub producer_id: i64 [3..] = -1,
        pub producer_epoch: i16 [3..] = -1,
    }
}

message! {
    pub struct InitProducerIdResponse {
        pub throttle_time_ms: i32 [..],
        pub error_code: ErrorCode [..],
        pub producer_id: i64 [..] = -1,
        pub producer_epoch: i16 [..],
    }
}

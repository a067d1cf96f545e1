//! DescribeTransactions (KIP-664).

use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::ByteStr;

message! {
    pub struct DescribeTransactionsRequest {
        pub transactional_ids: Vec<ByteStr> [..],
    }
}

message! {
    pub struct DescribeTransactionsResponse {
        pub throttle_time_ms: i32 [..],
        pub transaction_states: Vec<TransactionDescription> [..],
    }
}

message! {
    /// What the schema calls `TransactionState`, as it calls that of ListTransactions.
    pub struct TransactionDescription {
        pub error_code: ErrorCode [..],
        pub transactional_id: ByteStr [..],
        pub transaction_state: ByteStr [..],
        pub transaction_timeout_ms: i32 [..],
        pub transaction_start_time_ms: i64 [..],
        pub producer_id: i64 [..],
        pub producer_epoch: i16 [..],
        pub topics: Vec<TransactionTopic> [..],
    }
}

message! {
    pub struct TransactionTopic {
        pub topic: ByteStr [..],
        pub partitions: Vec<i32> [..],
    }
}

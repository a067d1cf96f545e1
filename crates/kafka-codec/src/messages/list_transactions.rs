//! ListTransactions (KIP-664, KIP-994, KIP-1152).

use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::ByteStr;

message! {
    pub struct ListTransactionsRequest {
        /// None is all, as in the next.
        pub state_filters: Vec<ByteStr> [..],
        pub producer_id_filters: Vec<i64> [..],
        /// Milliseconds that a transaction runs for at least; negative for any.
        pub duration_filter: i64 [1..] = -1,
        /// A regular expression.
        pub transactional_id_pattern: Option<ByteStr> [2..],
    }
}

message! {
    pub struct ListTransactionsResponse {
        pub throttle_time_ms: i32 [..],
        pub error_code: ErrorCode [..],
        /// Those that were asked for and do not exist.
        pub unknown_state_filters: Vec<ByteStr> [..],
        pub transaction_states: Vec<ListedTransaction> [..],
    }
}

message! {
    /// What the schema calls `TransactionState`.
    pub struct ListedTransaction {
        pub transactional_id: ByteStr [..],
        pub producer_id: i64 [..],
        pub transaction_state: ByteStr [..],
    }
}

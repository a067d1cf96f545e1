//! DeleteTopics (KIP-4, KIP-516).

use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::{ByteStr, Uuid};

message! {
    /// Names the topics in `topics` from version 6 on, and in `topic_names` before.
    pub struct DeleteTopicsRequest {
        pub topics: Vec<DeleteTopicState> [6..],
        pub topic_names: Vec<ByteStr> [..=5],
        pub timeout_ms: i32 [..],
    }
}

message! {
    pub struct DeleteTopicState {
        /// Null where the topic is meant by id.
        pub name: Option<ByteStr> [..],
        pub topic_id: Uuid [..],
    }
}

message! {
    pub struct DeleteTopicsResponse {
        pub throttle_time_ms: i32 [1..],
        pub responses: Vec<DeletableTopicResult> [..],
    }
}

message! {
    pub struct DeletableTopicResult {
        /// Null only in answer to an id that is not known.
        pub name: Option<ByteStr> [.., null 6..],
        pub topic_id: Uuid [6..],
        pub error_code: ErrorCode [..],
        pub error_message: Option<ByteStr> [5..],
    }
}

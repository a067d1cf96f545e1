//! Bytes to typed Kafka requests and responses, and back.
//!
//! Invariants:
//! - Sans-IO: no socket, no clock, no runtime, no logging. Bytes in, messages out.
//! - A length is believed only when that many bytes are there, so what is allocated is bounded by what was received.
//!   The arrays of one message have at most 1,000,000 elements together, one struct at most 10,000 tagged fields.
//! - Decoding never panics. It ends in a message, or in [`Error::Incomplete`] or [`Error::Malformed`].
//! - Nothing recurses on what the bytes say.
//! - Payloads are not copied: strings and records of a request are slices of its frame, and records of a response are
//!   sent from where they lie, as parts of a [`Chain`].
//!
//! Absent: what lies inside of records (that is `firth-batch`), and what a request means.
//!
//! An API is one file in `messages/` and one row in the table of `api.rs`. The path of a request:
//!
//! ```text
//! split_frame -> decode_header -> decode_request -> (handler) -> encode_response -> Chain
//! ```

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

mod api;
#[cfg(test)]
mod arbitrary;
mod chain;
mod error;
mod error_code;
mod frame;
mod header;
mod message;
mod messages;
#[cfg(test)]
mod oracle_tests;
mod primitives;
#[cfg(test)]
mod robustness_tests;

pub use self::api::{
    ApiKey, Request, RequestMessage, ResponseMessage, SERVED, Served, decode_request, decode_response,
    encode_request, encode_response,
};
pub use self::chain::Chain;
pub use self::error::Error;
pub use self::error_code::ErrorCode;
pub use self::frame::{Frame, SIZE_BYTES, frame_size, split_frame};
pub use self::header::{RequestHeader, decode_header};
pub use self::messages::*;
pub use self::primitives::{
    ARRAY_ELEMENTS_MAX, ByteStr, Float64, Reader, Records, TAGGED_FIELDS_MAX, Uuid, Wire, Writer,
};

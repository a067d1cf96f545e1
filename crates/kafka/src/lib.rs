//! The Kafka protocol: connections, and a handler for each API.
//!
//! Invariants:
//! - A connection is one task. Requests are answered in their order; what is answered as stored is durable.
//! - What a connection holds is bounded, and reserved in the broker's memory budget before it is read, from the socket
//!   and from the log. Nothing is allocated because a length says so. An idle connection has no buffers.
//! - Records are never decoded or copied: a batch is a slice of the frame it came in and of the block it is read from.
//! - Whatever bytes a client sends, its own connection at most is closed, with one line in the log that says why.
//! - Every code that a client sees comes from `error.rs` or from the handler that names it; never
//!   `UNKNOWN_SERVER_ERROR`.
//! - A group is a state machine that knows no clock, lock or task ([`groups`]). What a member is told of it rests on
//!   nothing that a crash takes back.
//!
//! Absent: transactions, authentication, authorization, and TLS.
//!
//! The paths of the two main requests, file by file:
//!
//! ```text
//! Produce  connection/input -> connection -> handlers/produce -> (append) -> connection/replies -> connection/output
//! Fetch    connection/input -> connection -> handlers/fetch -> fetch_session -> handlers/fetch/{poll,room} -> connection/output
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

mod closed;
mod config;
mod connection;
mod error;
mod fetch_session;
#[doc(hidden)]
pub mod fuzzing;
mod groups;
mod handlers;
mod metrics;
mod reply_memory;
mod server;
#[cfg(test)]
mod tests;

pub use config::Config;
pub use groups::{Cause, GroupSettings, ObservedGroup, unreadable};
pub use metrics::{ApiMetrics, Latency, Metrics};
pub use server::Server;

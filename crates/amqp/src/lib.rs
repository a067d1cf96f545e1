//! AMQP 0-9-1: connections, channels, and a handler for each class.
//!
//! Invariants:
//! - A connection is one task. The methods of a channel take effect in their order, and their answers leave in it.
//! - What is confirmed is durable, and so is what a synchronous reply says. An answer waits for that, and what follows it
//!   waits with it; confirms wait for themselves alone.
//! - What one reading of the socket published is stored together.
//! - What a connection holds is bounded and reserved in the broker's memory budget. Nothing is allocated because a length says
//!   so. An idle connection has no buffers. Before the login it holds at most 32 KiB.
//! - Every operation on an exchange or a queue asks the authorizer first.
//! - Whatever bytes a client sends, its own connection at most is closed, with one line in the log that says why.
//! - Reply codes and texts are RabbitMQ's, and come from `exception.rs` or from the handler that names them.
//!
//! Absent: what a queue does with its messages, where an exchange routes them, and who may do what (`firth-broker`).
//!
//! ```text
//! publish  connection/input -> connection -> assembler -> handlers/basic/publish -> (route, store) -> confirms -> outgoing
//! deliver  (mailbox) -> connection -> handlers/basic/deliver -> (read) -> outgoing -> socket
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

mod administration;
mod arguments;
mod channel;
mod closed;
mod config;
mod connection;
mod exception;
mod handlers;
mod metrics;
mod properties;
mod replies;
mod server;
mod session;

pub use administration::{Change, Refused};
pub use config::Config;
pub use metrics::Metrics;
pub use server::Server;

//! The HTTP listener: `/healthz` and `/metrics`.
//!
//! Invariants:
//! - It only looks: nothing here changes a topic, a record or a setting.
//! - It stays answering when the engine has failed, and says so.
//! - Connections, their headers and their lives are bounded; a slow client costs one of few slots.
//!
//! Absent: authentication (the binary refuses to listen off loopback without `--insecure`), TLS, an API to change
//! anything, a console.

pub mod archive;
mod health;
mod metrics;
mod server;

pub use health::Health;
pub use server::{Admin, serve};

//! The HTTP listener: `/healthz`, `/metrics`, `/backup` and `/api`; and the archive that a backup is.
//!
//! Invariants:
//! - All but `/api` only looks. A backup seals what is durable, as time would.
//! - `/api` is for users who have logged in. What they do there takes the permissions that it takes in any protocol, and no answer
//!   has what is kept of a password.
//! - It stays answering when the engine has failed, and says so.
//! - A scrape locks one partition, or a page of one group's offsets, at a time, and its text is made while it is sent: its memory is
//!   a few pieces, and the lists of topics and groups, however many there are.
//! - Connections, their headers and their lives are bounded; a slow client costs one of few slots. A backup may take long,
//!   but there is one at a time, and its client has to read.
//! - What an archive holds is not trusted: every length is bounded before it allocates, every byte is under a checksum.
//!
//! Absent: authentication outside of `/api` (the binary refuses to listen off loopback without `--insecure`), TLS, a console.

mod api;
pub mod archive;
mod backup;
mod health;
mod metrics;
mod query;
mod server;

pub use backup::Backup;
pub use health::Health;
pub use server::{Admin, BackupSlot, Kafka, serve};

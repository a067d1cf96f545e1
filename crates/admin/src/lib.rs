//! The HTTP listener: `/healthz`, `/metrics` and `/backup`; and the archive that a backup is.
//!
//! Invariants:
//! - It only looks: nothing here changes a topic, a record or a setting. A backup seals what is durable, as time would.
//! - It stays answering when the engine has failed, and says so.
//! - A scrape locks one partition, or a page of one group's offsets, at a time, and its text is made while it is sent: its memory is
//!   a few pieces, and the lists of topics and groups, however many there are.
//! - Connections, their headers and their lives are bounded; a slow client costs one of few slots. A backup may take long,
//!   but there is one at a time, and its client has to read.
//! - What an archive holds is not trusted: every length is bounded before it allocates, every byte is under a checksum.
//!
//! Absent: authentication (the binary refuses to listen off loopback without `--insecure`), TLS, an API to change
//! anything, a console.

pub mod archive;
mod backup;
mod health;
mod metrics;
mod server;

pub use backup::Backup;
pub use health::Health;
pub use server::{Admin, BackupSlot, Kafka, serve};

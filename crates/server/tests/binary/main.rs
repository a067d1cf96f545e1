//! The real binary, as its users meet it.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its broker has failed"
)]

mod backup;
mod bench;
mod broker;
mod commands;
mod crash;
mod doctor;
mod full_disk;
mod groups;
mod logging;
mod memory;
mod metrics;
mod mount;
mod profiles;
mod records;
mod scale;
mod serve;
mod slow_consumer;
mod slow_senders;
mod storms;
mod tail;
mod topics;
mod users;

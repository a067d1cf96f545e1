//! The subcommands, one file each.

pub(crate) mod backup;
pub(crate) mod bench;
pub(crate) mod bind;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod consume;
pub(crate) mod doctor;
pub(crate) mod exchange;
pub(crate) mod group;
pub(crate) mod permission;
pub(crate) mod produce;
pub(crate) mod profile;
pub(crate) mod queue;
pub(crate) mod reference;
pub(crate) mod restore;
pub(crate) mod serve;
pub(crate) mod settings;
pub(crate) mod tail;
pub(crate) mod topic;
pub(crate) mod user;

use std::future::Future;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

/// Runs what a client command does, on this thread.
fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime
        .context("the system refuses what an event loop needs")?
        .block_on(work)
}

/// Resolves when the process is asked to end, as a command that goes on until then usually is.
async fn stopped() -> Result<()> {
    let mut terminated = signal(SignalKind::terminate()).context("signals cannot be received")?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.context("signals cannot be received"),
        _ = terminated.recv() => Ok(()),
    }
}

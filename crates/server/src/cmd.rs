//! The subcommands, one file each.

pub(crate) mod backup;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod consume;
pub(crate) mod doctor;
pub(crate) mod group;
pub(crate) mod produce;
pub(crate) mod restore;
pub(crate) mod serve;
pub(crate) mod settings;
pub(crate) mod topic;

use std::future::Future;

use anyhow::{Context, Result};

/// Where a command finds its broker.
#[derive(clap::Args)]
pub(crate) struct Server {
    /// The broker to talk to
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = "FIRTH_SERVER",
        default_value = "localhost:9092"
    )]
    pub(crate) server: String,
}

/// Runs what a client command does, on this thread.
fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime
        .context("the system refuses what an event loop needs")?
        .block_on(work)
}

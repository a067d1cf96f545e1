pub(crate) mod delete;
pub(crate) mod describe;
pub(crate) mod lag;
pub(crate) mod list;
pub(crate) mod reset_offsets;

use std::process::ExitCode;

use anyhow::Result;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// List the consumer groups
    List(list::Args),
    /// Show a group's members, its offsets, and how far it is behind
    Describe(describe::Args),
    /// Delete a group that nobody is in, with its offsets
    Delete(delete::Args),
    /// Move the offsets of a group that nobody is in; only with --execute
    ResetOffsets(reset_offsets::Args),
}

pub(crate) fn run(command: Command) -> Result<ExitCode> {
    super::block_on(async {
        match command {
            Command::List(args) => list::run(args).await,
            Command::Describe(args) => describe::run(args).await,
            Command::Delete(args) => delete::run(args).await,
            Command::ResetOffsets(args) => reset_offsets::run(args).await,
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

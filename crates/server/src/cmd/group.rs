pub(crate) mod assignment;
pub(crate) mod delete;
pub(crate) mod delete_offsets;
pub(crate) mod describe;
pub(crate) mod lag;
pub(crate) mod list;
pub(crate) mod reset_offsets;
pub(crate) mod scope;

use std::process::ExitCode;

use anyhow::Result;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// List the consumer groups
    List(list::Args),
    /// Show the members of groups, their offsets, and how far they are behind
    Describe(describe::Args),
    /// Delete groups that nobody is in, with their offsets
    Delete(delete::Args),
    /// Delete offsets of a group in topics that nobody in it reads
    DeleteOffsets(delete_offsets::Args),
    /// Move the offsets of a group that nobody is in; only with --execute
    ResetOffsets(reset_offsets::Args),
}

pub(crate) fn run(command: Command) -> Result<ExitCode> {
    super::block_on(async {
        match command {
            Command::List(args) => list::run(args).await,
            Command::Describe(args) => describe::run(args).await,
            Command::Delete(args) => delete::run(args).await,
            Command::DeleteOffsets(args) => delete_offsets::run(args).await,
            Command::ResetOffsets(args) => reset_offsets::run(args).await,
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

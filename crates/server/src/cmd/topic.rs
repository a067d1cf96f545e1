pub(crate) mod alter;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod describe;
pub(crate) mod list;

use std::process::ExitCode;

use anyhow::Result;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Create a topic
    Create(create::Args),
    /// Give a topic more partitions
    Alter(alter::Args),
    /// List the topics
    List(list::Args),
    /// Show a topic's partitions and offsets
    Describe(describe::Args),
    /// Delete a topic with all its records
    Delete(delete::Args),
}

pub(crate) fn run(command: Command) -> Result<ExitCode> {
    super::block_on(async {
        match command {
            Command::Create(args) => create::run(args).await,
            Command::Alter(args) => alter::run(args).await,
            Command::List(args) => list::run(args).await,
            Command::Describe(args) => describe::run(args).await,
            Command::Delete(args) => delete::run(args).await,
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

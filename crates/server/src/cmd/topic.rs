pub(crate) mod alter;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod delete_records;
pub(crate) mod describe;
pub(crate) mod figures;
pub(crate) mod list;

use std::process::ExitCode;

use anyhow::Result;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Create a topic
    Create(create::Args),
    /// Give a topic more partitions, or another configuration
    Alter(alter::Args),
    /// List the topics
    List(list::Args),
    /// Show the partitions of topics, their offsets and sizes, and what is configured
    Describe(describe::Args),
    /// Delete topics with all their records
    Delete(delete::Args),
    /// Delete the oldest records of a topic
    DeleteRecords(delete_records::Args),
}

pub(crate) fn run(command: Command) -> Result<ExitCode> {
    super::block_on(async {
        match command {
            Command::Create(args) => create::run(args).await,
            Command::Alter(args) => alter::run(args).await,
            Command::List(args) => list::run(args).await,
            Command::Describe(args) => describe::run(args).await,
            Command::Delete(args) => delete::run(args).await,
            Command::DeleteRecords(args) => delete_records::run(args).await,
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

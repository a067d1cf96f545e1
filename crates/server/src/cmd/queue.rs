pub(crate) mod declare;
pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod purge;

use std::process::ExitCode;

use anyhow::Result;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Declare a queue, unless there is one like it
    Declare(declare::Args),
    /// List the queues
    List(list::Args),
    /// Delete the messages of queues that nobody has taken yet
    Purge(purge::Args),
    /// Delete queues with all their messages
    Delete(delete::Args),
}

pub(crate) fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Declare(args) => declare::run(&args),
        Command::List(args) => list::run(&args),
        Command::Purge(args) => purge::run(&args),
        Command::Delete(args) => delete::run(&args),
    }?;
    Ok(ExitCode::SUCCESS)
}

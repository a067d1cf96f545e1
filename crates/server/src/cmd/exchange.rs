pub(crate) mod declare;
pub(crate) mod delete;
pub(crate) mod list;

use std::process::ExitCode;

use anyhow::Result;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Declare an exchange, unless there is one like it
    Declare(declare::Args),
    /// List the exchanges
    List(list::Args),
    /// Delete exchanges with the bindings from them and to them
    Delete(delete::Args),
}

pub(crate) fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Declare(args) => declare::run(&args),
        Command::List(args) => list::run(&args),
        Command::Delete(args) => delete::run(&args),
    }?;
    Ok(ExitCode::SUCCESS)
}

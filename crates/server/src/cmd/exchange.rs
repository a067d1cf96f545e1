pub(crate) mod delete;
pub(crate) mod list;

use std::process::ExitCode;

use anyhow::Result;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// List the exchanges
    List(list::Args),
    /// Delete exchanges with the bindings from them and to them
    Delete(delete::Args),
}

pub(crate) fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::List(args) => list::run(&args),
        Command::Delete(args) => delete::run(&args),
    }?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) mod add;
pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod password;
pub(crate) mod tag;

use std::process::ExitCode;

use anyhow::Result;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Add a user, whose password is the first line of standard input, or is asked for
    Add(add::Args),
    /// List the users
    List(list::Args),
    /// Give a user another password: the first line of standard input, or what is asked for
    Password(password::Args),
    /// Give a user other tags
    Tag(tag::Args),
    /// Delete users, with what they may do
    Delete(delete::Args),
}

pub(crate) fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Add(args) => add::run(&args),
        Command::List(args) => list::run(&args),
        Command::Password(args) => password::run(&args),
        Command::Tag(args) => tag::run(&args),
        Command::Delete(args) => delete::run(&args),
    }?;
    Ok(ExitCode::SUCCESS)
}

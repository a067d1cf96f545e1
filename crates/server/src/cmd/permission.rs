pub(crate) mod clear;
pub(crate) mod list;
pub(crate) mod set;
pub(crate) mod topic;

use std::process::ExitCode;

use anyhow::Result;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// List what users may do
    List(list::Args),
    /// Say with which exchanges and queues of a virtual host a user may do what
    Set(set::Args),
    /// Take from a user all that it may do in a virtual host
    Clear(clear::Args),
    /// Say with which routing keys a user may publish to a topic exchange, and bind it
    SetTopic(topic::SetArgs),
    /// Let a user use all routing keys
    ClearTopic(topic::ClearArgs),
}

pub(crate) fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::List(args) => list::run(&args),
        Command::Set(args) => set::run(&args),
        Command::Clear(args) => clear::run(&args),
        Command::SetTopic(args) => topic::set(&args),
        Command::ClearTopic(args) => topic::clear(&args),
    }?;
    Ok(ExitCode::SUCCESS)
}

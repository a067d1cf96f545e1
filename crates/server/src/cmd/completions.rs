use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::Result;
use clap_complete::Shell;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The shell that reads it, as in `source <(firth completions bash)`
    shell: Shell,
}

/// Prints what makes a shell complete the command line of `command`.
pub(crate) fn run(args: &Args, mut command: clap::Command) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "firth", &mut script);
    stdout().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}

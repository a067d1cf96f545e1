use std::io::{Write, stdout};

use anyhow::{Context, Result};

use crate::api::{Server, path};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(value_name = "USER")]
    user: String,
    #[arg(long, value_name = "NAME", default_value = "/")]
    vhost: String,
    #[command(flatten)]
    server: Server,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let Args { user, vhost, .. } = args;
    let deleted = args.server.api()?.delete(&path(["permissions", vhost, user]));
    deleted.with_context(|| format!("permissions of {user} in {vhost}"))?;
    writeln!(stdout(), "cleared the permissions of {user} in {vhost}")?;
    Ok(())
}

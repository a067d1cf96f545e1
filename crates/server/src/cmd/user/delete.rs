use std::io::{Write, stdout};

use anyhow::{Context, Result};

use crate::api::{Server, path};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    server: Server,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let api = args.server.api()?;
    for name in &args.names {
        api.delete(&path(["users", name]))
            .with_context(|| format!("user {name}"))?;
        writeln!(stdout(), "deleted {name}")?;
    }
    Ok(())
}

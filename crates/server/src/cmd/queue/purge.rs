use std::io::{Write, stdout};

use anyhow::{Context, Result};

use crate::api::{Server, path};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    #[arg(long, value_name = "NAME", default_value = "/")]
    vhost: String,
    #[command(flatten)]
    server: Server,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let api = args.server.api()?;
    for name in &args.names {
        let deleted = api.delete(&path(["queues", &args.vhost, name, "contents"]));
        deleted.with_context(|| format!("queue {name} in {}", args.vhost))?;
        writeln!(stdout(), "purged {name}")?;
    }
    Ok(())
}

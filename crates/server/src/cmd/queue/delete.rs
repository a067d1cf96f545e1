use std::io::{Write, stdout};

use anyhow::{Context, Result};

use crate::api::{Server, path};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Only those that nobody consumes
    #[arg(long)]
    if_unused: bool,
    /// Only those without messages
    #[arg(long)]
    if_empty: bool,
    #[arg(long, value_name = "NAME", default_value = "/")]
    vhost: String,
    #[command(flatten)]
    server: Server,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let api = args.server.api()?;
    let query = format!("?if-unused={}&if-empty={}", args.if_unused, args.if_empty);
    for name in &args.names {
        let path = path(["queues", &args.vhost, name]) + &query;
        api.delete(&path)
            .with_context(|| format!("queue {name} in {}", args.vhost))?;
        writeln!(stdout(), "deleted {name}")?;
    }
    Ok(())
}

use std::io::{Write, stdout};

use anyhow::{Context, Result};

use crate::api::{Server, path};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Only those from which no binding leads
    #[arg(long)]
    if_unused: bool,
    #[arg(long, value_name = "NAME", default_value = "/")]
    vhost: String,
    #[command(flatten)]
    server: Server,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let api = args.server.api()?;
    let query = format!("?if-unused={}", args.if_unused);
    for name in &args.names {
        let path = path(["exchanges", &args.vhost, name]) + &query;
        api.delete(&path)
            .with_context(|| format!("exchange {name} in {}", args.vhost))?;
        writeln!(stdout(), "deleted {name}")?;
    }
    Ok(())
}

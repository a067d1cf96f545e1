use std::io::{Write, stdout};

use anyhow::{Context, Result};
use serde_json::json;

use crate::api::{Server, path};
use crate::password;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    server: Server,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let api = args.server.api()?;
    let path = path(["users", &args.name]);
    let user = api.get(&path).with_context(|| format!("user {}", args.name))?;
    let body = json!({ "tags": user["tags"], "password": password::new(&args.name)? });
    api.put(&path, &body)?;
    writeln!(stdout(), "changed the password of {}", args.name)?;
    Ok(())
}

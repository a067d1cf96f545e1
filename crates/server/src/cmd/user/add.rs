use std::io::{Write, stdout};

use anyhow::{Result, bail};
use serde_json::json;

use crate::api::{Server, path};
use crate::password;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(value_name = "NAME")]
    name: String,
    /// What the user is to the administration: administrator, monitoring, policymaker or management; others mean nothing
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// The user has no password, and so cannot log in by one
    #[arg(long)]
    no_password: bool,
    #[command(flatten)]
    server: Server,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let api = args.server.api()?;
    let users = api.list("/api/users?columns=name")?;
    if users.iter().any(|user| user["name"] == *args.name) {
        bail!("user {} exists already", args.name);
    }
    let body = match args.no_password {
        true => json!({ "tags": args.tag, "password_hash": "" }),
        false => json!({ "tags": args.tag, "password": password::new(&args.name)? }),
    };
    api.put(&path(["users", &args.name]), &body)?;
    writeln!(stdout(), "added {}", args.name)?;
    Ok(())
}

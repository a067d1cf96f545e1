use std::io::{Write, stdout};

use anyhow::Result;
use serde_json::json;

use crate::api::{Server, path};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(value_name = "USER")]
    user: String,
    /// What of the virtual host it may declare and delete, by a regular expression: .* is all, and an empty one nothing
    #[arg(long, value_name = "REGEX")]
    configure: String,
    /// To what it may publish, and bind
    #[arg(long, value_name = "REGEX")]
    write: String,
    /// From what it may consume, and bind
    #[arg(long, value_name = "REGEX")]
    read: String,
    #[arg(long, value_name = "NAME", default_value = "/")]
    vhost: String,
    #[command(flatten)]
    server: Server,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let body = json!({ "configure": args.configure, "write": args.write, "read": args.read });
    args.server
        .api()?
        .put(&path(["permissions", &args.vhost, &args.user]), &body)?;
    writeln!(stdout(), "set the permissions of {} in {}", args.user, args.vhost)?;
    Ok(())
}

use std::io::{Write, stdout};

use anyhow::{Context, Result};
use serde_json::json;

use crate::api::{Server, path};

#[derive(clap::Args)]
pub(crate) struct SetArgs {
    #[arg(value_name = "USER")]
    user: String,
    #[arg(value_name = "EXCHANGE")]
    exchange: String,
    /// With which keys it may publish, by a regular expression; {username}, {vhost} and {client_id} stand for what they name
    #[arg(long, value_name = "REGEX")]
    write: String,
    /// With which keys it may bind queues to the exchange
    #[arg(long, value_name = "REGEX")]
    read: String,
    #[arg(long, value_name = "NAME", default_value = "/")]
    vhost: String,
    #[command(flatten)]
    server: Server,
}

pub(super) fn set(args: &SetArgs) -> Result<()> {
    let body = json!({ "exchange": args.exchange, "write": args.write, "read": args.read });
    args.server
        .api()?
        .put(&path(["topic-permissions", &args.vhost, &args.user]), &body)?;
    writeln!(
        stdout(),
        "set the topic permissions of {} for {} in {}",
        args.user,
        args.exchange,
        args.vhost
    )?;
    Ok(())
}

#[derive(clap::Args)]
pub(crate) struct ClearArgs {
    #[arg(value_name = "USER")]
    user: String,
    #[arg(long, value_name = "NAME", default_value = "/")]
    vhost: String,
    #[command(flatten)]
    server: Server,
}

pub(super) fn clear(args: &ClearArgs) -> Result<()> {
    let ClearArgs { user, vhost, .. } = args;
    let deleted = args
        .server
        .api()?
        .delete(&path(["topic-permissions", vhost, user]));
    deleted.with_context(|| format!("topic permissions of {user} in {vhost}"))?;
    writeln!(stdout(), "cleared the topic permissions of {user} in {vhost}")?;
    Ok(())
}

use std::io::{Write, stdout};

use anyhow::{Context, Result};
use serde_json::json;

use crate::api::{Argument, Server, arguments, path};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(value_name = "NAME")]
    name: String,
    /// How it finds where a message goes: direct, fanout, topic, headers, x-consistent-hash or x-delayed-message
    #[arg(long = "type", value_name = "TYPE", default_value = "direct")]
    kind: String,
    /// It is gone after a restart
    #[arg(long)]
    transient: bool,
    /// It goes with the last binding that leads from it
    #[arg(long)]
    auto_delete: bool,
    /// Nobody may publish to it
    #[arg(long)]
    internal: bool,
    /// As alternate-exchange=others; a value that is JSON is taken as that
    #[arg(long, value_name = "NAME=VALUE", value_parser = Argument::parse)]
    argument: Vec<Argument>,
    #[arg(long, value_name = "NAME", default_value = "/")]
    vhost: String,
    #[command(flatten)]
    server: Server,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let body = json!({
        "type": args.kind,
        "durable": !args.transient,
        "auto_delete": args.auto_delete,
        "internal": args.internal,
        "arguments": arguments(&args.argument),
    });
    let declared = args
        .server
        .api()?
        .put(&path(["exchanges", &args.vhost, &args.name]), &body);
    declared.with_context(|| format!("exchange {} in {}", args.name, args.vhost))?;
    writeln!(stdout(), "declared {}", args.name)?;
    Ok(())
}

use std::io::{Write, stdout};

use anyhow::{Context, Result};
use serde_json::json;

use crate::api::{Argument, Server, arguments, path};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(value_name = "NAME")]
    name: String,
    /// The queue and its messages are gone after a restart
    #[arg(long)]
    transient: bool,
    /// It goes with its last consumer
    #[arg(long)]
    auto_delete: bool,
    /// As x-max-length=1000 or x-queue-type=quorum; a value that is JSON is taken as that
    #[arg(long, value_name = "NAME=VALUE", value_parser = Argument::parse)]
    argument: Vec<Argument>,
    #[arg(long, value_name = "NAME", default_value = "/")]
    vhost: String,
    #[command(flatten)]
    server: Server,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let body = json!({
        "durable": !args.transient,
        "auto_delete": args.auto_delete,
        "arguments": arguments(&args.argument),
    });
    let declared = args
        .server
        .api()?
        .put(&path(["queues", &args.vhost, &args.name]), &body);
    declared.with_context(|| format!("queue {} in {}", args.name, args.vhost))?;
    writeln!(stdout(), "declared {}", args.name)?;
    Ok(())
}

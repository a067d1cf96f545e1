use std::io::{Write, stdout};

use anyhow::Result;

use crate::api::{Server, path, shown};
use crate::table::table;

const FIELDS: [&str; 7] = [
    "name",
    "vhost",
    "type",
    "durable",
    "messages_ready",
    "messages_unacknowledged",
    "consumers",
];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only those in this virtual host
    #[arg(long, value_name = "NAME")]
    vhost: Option<String>,
    /// Print one JSON object for each queue
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let path = match &args.vhost {
        None => path(["queues"]),
        Some(vhost) => path(["queues", vhost]),
    };
    let all = args.server.api()?.list(&path)?;
    if args.json {
        for item in all {
            writeln!(stdout(), "{item}")?;
        }
        return Ok(());
    }
    let rows: Vec<_> = all
        .iter()
        .map(|item| FIELDS.map(|field| shown(item, field)).to_vec())
        .collect();
    write!(
        stdout(),
        "{}",
        table(
            &[
                "name",
                "vhost",
                "type",
                "durable",
                "ready",
                "unacknowledged",
                "consumers"
            ],
            &rows
        )
    )?;
    Ok(())
}

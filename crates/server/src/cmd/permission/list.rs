use std::io::{Write, stdout};

use anyhow::Result;
use serde_json::Value;

use crate::api::{Server, shown};
use crate::table::table;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only those of this user
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only those in this virtual host
    #[arg(long, value_name = "NAME")]
    vhost: Option<String>,
    /// Those for the routing keys of topic exchanges
    #[arg(long)]
    topic: bool,
    /// Print one JSON object for each
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let (path, fields): (_, &[&str]) = match args.topic {
        true => (
            "/api/topic-permissions",
            &["user", "vhost", "exchange", "write", "read"],
        ),
        false => (
            "/api/permissions",
            &["user", "vhost", "configure", "write", "read"],
        ),
    };
    let mut all = args.server.api()?.list(path)?;
    let is = |item: &Value, field: &str, wanted: &Option<String>| {
        wanted.as_ref().is_none_or(|wanted| item[field] == *wanted)
    };
    all.retain(|item| is(item, "user", &args.user) && is(item, "vhost", &args.vhost));
    if args.json {
        for item in all {
            writeln!(stdout(), "{item}")?;
        }
        return Ok(());
    }
    let row = |item| fields.iter().map(|field| shown(item, field)).collect();
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    write!(stdout(), "{}", table(fields, &rows))?;
    Ok(())
}

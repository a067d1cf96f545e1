use std::io::{Write, stdout};

use anyhow::Result;

use crate::api::{Server, shown};
use crate::table::table;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print one JSON object for each user
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let users = args.server.api()?.list("/api/users")?;
    if args.json {
        for user in users {
            writeln!(stdout(), "{user}")?;
        }
        return Ok(());
    }
    let row = |user| {
        ["name", "tags", "has_password"]
            .map(|field| shown(user, field))
            .to_vec()
    };
    let rows: Vec<_> = users.iter().map(row).collect();
    write!(stdout(), "{}", table(&["name", "tags", "password"], &rows))?;
    Ok(())
}

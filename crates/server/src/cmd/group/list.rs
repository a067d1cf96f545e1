use std::io::{Write, stdout};

use anyhow::Result;
use firth_kafka_codec::{ListGroupsRequest, ListedGroup};
use serde_json::json;

use crate::client::check;
use crate::table::table;
use crate::target::Server;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print one JSON object for each group
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn run(args: Args) -> Result<()> {
    let mut client = args.server.connect().await?;
    let response = client.call(&ListGroupsRequest::default()).await?;
    check(response.error_code, None)?;
    let mut groups = response.groups;
    groups.sort_by(|a, b| a.group_id.as_str().cmp(b.group_id.as_str()));
    if args.json {
        for group in &groups {
            let (name, state) = (group.group_id.as_str(), group.group_state.as_str());
            let line = json!({ "name": name, "state": state, "protocol_type": group.protocol_type.as_str() });
            writeln!(stdout(), "{line}")?;
        }
        return Ok(());
    }
    let row = |group: &ListedGroup| {
        let cells = [&group.group_id, &group.group_state, &group.protocol_type];
        cells.map(|cell| cell.to_string()).to_vec()
    };
    let rows: Vec<_> = groups.iter().map(row).collect();
    write!(stdout(), "{}", table(&["name", "state", "protocol type"], &rows))?;
    Ok(())
}

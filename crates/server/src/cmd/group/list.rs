use std::io::{Write, stdout};

use anyhow::Result;
use firth_kafka_codec::{ListGroupsRequest, ListedGroup};
use serde_json::json;

use crate::client::{Client, check};
use crate::pattern::Pattern;
use crate::table::table;
use crate::target::Server;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these; * stands for any characters and ? for one
    #[arg(value_name = "NAME", value_parser = |text: &str| anyhow::Ok(Pattern::new(text)))]
    names: Vec<Pattern>,
    /// Only groups in this state: Empty, PreparingRebalance, CompletingRebalance, Stable or Dead; may be repeated
    #[arg(long, value_name = "STATE")]
    state: Vec<String>,
    /// Print one JSON object for each group
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn run(args: Args) -> Result<()> {
    let mut client = args.server.connect().await?;
    let groups = groups(&mut client, &args.names, &args.state).await?;
    if args.json {
        for group in &groups {
            let line = json!({
                "name": group.group_id.as_str(),
                "state": group.group_state.as_str(),
                "type": group.group_type.as_str(),
                "protocol_type": group.protocol_type.as_str(),
            });
            writeln!(stdout(), "{line}")?;
        }
        return Ok(());
    }
    let row = |group: &ListedGroup| {
        let cells = [
            &group.group_id,
            &group.group_state,
            &group.group_type,
            &group.protocol_type,
        ];
        cells.map(|cell| cell.to_string()).to_vec()
    };
    let rows: Vec<_> = groups.iter().map(row).collect();
    let head = ["name", "state", "type", "protocol type"];
    write!(stdout(), "{}", table(&head, &rows))?;
    Ok(())
}

/// The groups that a pattern stands for, or all without one, sorted by name.
pub(super) async fn groups(
    client: &mut Client,
    names: &[Pattern],
    states: &[String],
) -> Result<Vec<ListedGroup>> {
    let request = ListGroupsRequest {
        states_filter: states.iter().map(|state| state.as_str().into()).collect(),
        ..Default::default()
    };
    let response = client.call(&request).await?;
    check(response.error_code, None)?;
    let mut groups = response.groups;
    if !names.is_empty() {
        groups.retain(|group| names.iter().any(|name| name.matches(&group.group_id)));
    }
    groups.sort_by(|a, b| a.group_id.as_str().cmp(b.group_id.as_str()));
    Ok(groups)
}

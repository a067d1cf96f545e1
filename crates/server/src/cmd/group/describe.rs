use std::io::{Write, stdout};

use anyhow::{Context, Result, bail};
use firth_kafka_codec::{DescribeGroupsRequest, DescribedGroup, DescribedGroupMember, ErrorCode};
use serde_json::json;

use super::lag::{self, Place};
use crate::client::{Client, check};
use crate::table::table;
use crate::target::Server;

/// The state in which older brokers say that a group does not exist.
const DEAD: &str = "Dead";

#[derive(clap::Args)]
pub(crate) struct Args {
    name: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn run(args: Args) -> Result<()> {
    let mut client = args.server.connect().await?;
    let group = group(&mut client, &args.name).await?;
    let places = lag::places(&mut client, &args.name).await?;
    match args.json {
        true => print_json(&group, &places),
        false => print_tables(&group, &places),
    }
}

/// A group that exists.
pub(super) async fn group(client: &mut Client, name: &str) -> Result<DescribedGroup> {
    let request = DescribeGroupsRequest {
        groups: vec![name.into()],
        ..Default::default()
    };
    let response = client.call(&request).await?;
    let group = response.groups.into_iter().next();
    let group = group.context("the broker's answer names no group")?;
    let code = match group.error_code {
        ErrorCode::None if group.group_state.as_str() == DEAD => ErrorCode::GroupIdNotFound,
        code => code,
    };
    check_group(code).with_context(|| format!("group {name}"))?;
    Ok(group)
}

/// Turns an error code about a group into an error for people.
pub(super) fn check_group(code: ErrorCode) -> Result<()> {
    match code {
        ErrorCode::GroupIdNotFound => bail!("this group does not exist (GROUP_ID_NOT_FOUND)"),
        ErrorCode::NonEmptyGroup => bail!("it has members; stop them first (NON_EMPTY_GROUP)"),
        code => check(code, None),
    }
}

fn print_json(group: &DescribedGroup, places: &[Place]) -> Result<()> {
    let member = |member: &DescribedGroupMember| {
        json!({
            "id": member.member_id.as_str(),
            "instance_id": member.group_instance_id.as_deref(),
            "client_id": member.client_id.as_str(),
            "host": member.client_host.as_str(),
        })
    };
    let place = |place: &Place| {
        json!({
            "topic": place.topic,
            "partition": place.partition,
            "offset": place.offset,
            "next_offset": place.next,
            "lag": place.lag(),
        })
    };
    let described = json!({
        "name": group.group_id.as_str(),
        "state": group.group_state.as_str(),
        "protocol_type": group.protocol_type.as_str(),
        "protocol": group.protocol_data.as_str(),
        "members": group.members.iter().map(member).collect::<Vec<_>>(),
        "offsets": places.iter().map(place).collect::<Vec<_>>(),
        "lag": places.iter().map(Place::lag).sum::<i64>(),
    });
    writeln!(stdout(), "{described}")?;
    Ok(())
}

fn print_tables(group: &DescribedGroup, places: &[Place]) -> Result<()> {
    let lag: i64 = places.iter().map(Place::lag).sum();
    let (name, state) = (&group.group_id, &group.group_state);
    writeln!(
        stdout(),
        "{name} ({state}, {} members, lag {lag})",
        group.members.len()
    )?;
    if !group.members.is_empty() {
        let row = |member: &DescribedGroupMember| {
            let instance = member.group_instance_id.as_deref().unwrap_or("-");
            let cells = [
                &*member.member_id,
                instance,
                &*member.client_id,
                &*member.client_host,
            ];
            cells.map(str::to_owned).to_vec()
        };
        let rows: Vec<_> = group.members.iter().map(row).collect();
        write!(
            stdout(),
            "\n{}",
            table(&["member", "instance", "client", "host"], &rows)
        )?;
    }
    if !places.is_empty() {
        let row = |place: &Place| {
            let numbers = [i64::from(place.partition), place.offset, place.next, place.lag()];
            let numbers = numbers.map(|number| number.to_string());
            std::iter::once(place.topic.clone()).chain(numbers).collect()
        };
        let rows: Vec<_> = places.iter().map(row).collect();
        write!(
            stdout(),
            "\n{}",
            table(&["topic", "partition", "offset", "next", "lag"], &rows)
        )?;
    }
    Ok(())
}

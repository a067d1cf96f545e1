use std::io::{Write, stdout};

use anyhow::{Context, Result, anyhow, bail};
use firth_kafka_codec::{DescribeGroupsRequest, DescribedGroup, DescribedGroupMember, ErrorCode};
use serde_json::json;

use super::assignment::{Assignment, CONSUMER, assignment, text};
use super::lag::{self, Place, lag};
use super::list::groups;
use crate::client::{Client, check};
use crate::nearest::similar;
use crate::pattern::Pattern;
use crate::table::table;
use crate::target::Server;

/// The state in which brokers say of a group that it does not exist, with or without an error.
const DEAD: &str = "Dead";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Groups; * stands for any characters and ? for one
    #[arg(required = true, value_name = "NAME", value_parser = |text: &str| anyhow::Ok(Pattern::new(text)))]
    names: Vec<Pattern>,
    /// Print one JSON object for each group
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn run(args: Args) -> Result<()> {
    let mut client = args.server.connect().await?;
    let mut names = Vec::new();
    for pattern in &args.names {
        match pattern.is_wild() {
            true => {
                let found = groups(&mut client, std::slice::from_ref(pattern), &[]).await?;
                names.extend(found.into_iter().map(|group| group.group_id.to_string()));
            }
            false => names.push(pattern.as_str().to_owned()),
        }
    }
    for (index, name) in names.iter().enumerate() {
        let group = group(&mut client, name).await?;
        let is_consumers = group.protocol_type.as_str() == CONSUMER;
        let assigned = |member: &DescribedGroupMember| match is_consumers {
            true => assignment(&member.member_assignment).unwrap_or_default(),
            false => Assignment::new(),
        };
        let assignments: Vec<_> = group.members.iter().map(assigned).collect();
        let described = Described {
            places: lag::places(&mut client, name, &assignments).await?,
            group,
            assignments,
        };
        if args.json {
            writeln!(stdout(), "{}", described.as_json())?;
        } else {
            let between = if index > 0 { "\n" } else { "" };
            write!(stdout(), "{between}{}", described.tables())?;
        }
    }
    Ok(())
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
    check_named(client, code, name).await?;
    Ok(group)
}

/// Turns an error code about a group into an error for people, which names the group that may have been meant.
pub(super) async fn check_named(client: &mut Client, code: ErrorCode, name: &str) -> Result<()> {
    let context = || format!("group {name}");
    if code != ErrorCode::GroupIdNotFound {
        return check_group(code).with_context(context);
    }
    // What the broker does not tell now is only a hint that is missing.
    let there = groups(client, &[], &[]).await.unwrap_or_default();
    match similar(name, there.iter().map(|group| group.group_id.to_string())) {
        Some(similar) => {
            let problem = anyhow!(
                "this group does not exist ({}): did you mean {similar}?",
                code.name()
            );
            Err(problem).with_context(context)
        }
        None => check_group(code).with_context(context),
    }
}

pub(super) fn check_group(code: ErrorCode) -> Result<()> {
    match code {
        ErrorCode::GroupIdNotFound => {
            bail!("this group does not exist (GROUP_ID_NOT_FOUND); `firth group list` lists those that do")
        }
        ErrorCode::NonEmptyGroup => bail!("it has members; stop them first (NON_EMPTY_GROUP)"),
        ErrorCode::GroupSubscribedToTopic => {
            bail!("members of the group read this topic; stop them first (GROUP_SUBSCRIBED_TO_TOPIC)")
        }
        code => check(code, None),
    }
}

struct Described {
    group: DescribedGroup,
    /// Of each member.
    assignments: Vec<Assignment>,
    places: Vec<Place>,
}

impl Described {
    fn members(&self) -> impl Iterator<Item = (&DescribedGroupMember, &Assignment)> {
        self.group.members.iter().zip(&self.assignments)
    }

    fn as_json(&self) -> serde_json::Value {
        let member = |(member, assigned): (&DescribedGroupMember, &Assignment)| {
            json!({
                "id": member.member_id.as_str(),
                "instance_id": member.group_instance_id.as_deref(),
                "client_id": member.client_id.as_str(),
                "host": member.client_host.as_str(),
                "assignment": assigned,
            })
        };
        let place = |place: &Place| {
            let member = place.member.and_then(|member| self.group.members.get(member));
            json!({
                "topic": place.topic,
                "partition": place.partition,
                "offset": place.offset,
                "next_offset": place.next,
                "lag": place.lag(),
                "member_id": member.map(|member| member.member_id.as_str()),
            })
        };
        let group = &self.group;
        json!({
            "name": group.group_id.as_str(),
            "state": group.group_state.as_str(),
            "protocol_type": group.protocol_type.as_str(),
            "protocol": group.protocol_data.as_str(),
            "members": self.members().map(member).collect::<Vec<_>>(),
            "offsets": self.places.iter().map(place).collect::<Vec<_>>(),
            "lag": lag(&self.places),
        })
    }

    fn tables(&self) -> String {
        let group = &self.group;
        let mut text = format!(
            "{} ({}, {} members, lag {})\n",
            group.group_id,
            group.group_state,
            group.members.len(),
            lag(&self.places)
        );
        if !group.members.is_empty() {
            text += &format!("\n{}", self.members_table());
        }
        if !self.places.is_empty() {
            text += &format!("\n{}", self.places_table());
        }
        text
    }

    fn members_table(&self) -> String {
        let row = |(member, assigned): (&DescribedGroupMember, &Assignment)| {
            let instance = member.group_instance_id.as_deref().unwrap_or("-");
            let assigned = text(assigned);
            let cells = [
                &*member.member_id,
                instance,
                &*member.client_id,
                &*member.client_host,
                &assigned,
            ];
            cells.map(str::to_owned).to_vec()
        };
        let rows: Vec<_> = self.members().map(row).collect();
        table(&["member", "instance", "client", "host", "assigned"], &rows)
    }

    fn places_table(&self) -> String {
        let number = |number: Option<i64>| number.map_or("-".to_owned(), |number| number.to_string());
        let row = |place: &Place| {
            let member = place.member.and_then(|member| self.group.members.get(member));
            vec![
                place.topic.clone(),
                place.partition.to_string(),
                number(place.offset),
                number(place.next),
                number(place.lag()),
                member.map_or("-".to_owned(), |member| member.member_id.to_string()),
            ]
        };
        let rows: Vec<_> = self.places.iter().map(row).collect();
        table(&["topic", "partition", "offset", "next", "lag", "member"], &rows)
    }
}

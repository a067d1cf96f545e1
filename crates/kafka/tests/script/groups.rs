//! Requests about groups, and what is answered.

use bytes::Bytes;
use firth_kafka_codec::*;

use super::Sent;
use super::print::{Names, error, message};
use super::request::{Words, one, partition};
use crate::support::TestClient;

pub(super) fn encode(words: &Words<'_>, names: &Names, client: &mut TestClient) -> (Sent, Bytes) {
    let version = |default| words.number("v", default);
    match words.words[0] {
        "coordinator" => one(client, version(4), &find(words, version(4))),
        "join" => one(client, version(9), &join(words, names)),
        "sync" => one(client, version(5), &sync(words, names)),
        "heartbeat" => {
            let request = HeartbeatRequest {
                group_id: group(words),
                generation_id: words.number("gen", 0),
                member_id: member(words, names),
                group_instance_id: instance(words),
            };
            one(client, version(4), &request)
        }
        "leave" => one(client, version(5), &leave(words, names)),
        "commit" => one(client, version(9), &commit(words, names, version(9))),
        "committed" => one(client, version(9), &committed(words, names, version(9))),
        "uncommit" => one(client, 0, &uncommit(words)),
        "groups" => {
            let filter = |name| {
                let filter = words.text(name).unwrap_or_default().split_terminator(',');
                filter.map(ByteStr::from).collect()
            };
            let request = ListGroupsRequest {
                states_filter: filter("states"),
                types_filter: filter("types"),
            };
            one(client, version(5), &request)
        }
        "group" => {
            let request = DescribeGroupsRequest {
                groups: words.words[1..]
                    .iter()
                    .filter(|word| **word != "operations")
                    .map(|id| (*id).into())
                    .collect(),
                include_authorized_operations: words.has("operations"),
            };
            one(client, version(6), &request)
        }
        "remove" => {
            let request = DeleteGroupsRequest {
                groups_names: words.words[1..].iter().map(|id| (*id).into()).collect(),
            };
            one(client, version(2), &request)
        }
        other => panic!("unknown request {other}"),
    }
}

/// The group `none` is one without a name.
fn group(words: &Words<'_>) -> ByteStr {
    match words.words[1] {
        "none" => ByteStr::default(),
        id => id.into(),
    }
}

fn member(words: &Words<'_>, names: &Names) -> ByteStr {
    words
        .text("member")
        .map(|name| names.member(name))
        .unwrap_or_default()
}

fn instance(words: &Words<'_>) -> Option<ByteStr> {
    words.text("instance").map(ByteStr::from)
}

fn find(words: &Words<'_>, version: i16) -> FindCoordinatorRequest {
    let key_type = words.number("type", 0);
    match version {
        4.. => FindCoordinatorRequest {
            key_type,
            coordinator_keys: words.words[1..].iter().map(|key| (*key).into()).collect(),
            ..Default::default()
        },
        _ => FindCoordinatorRequest {
            key_type,
            key: words.words[1].into(),
            ..Default::default()
        },
    }
}

fn join(words: &Words<'_>, names: &Names) -> JoinGroupRequest {
    let protocols = words.text("protocols").unwrap_or("range").split_terminator(',');
    let protocols = protocols.map(|name| JoinGroupRequestProtocol {
        name: name.into(),
        metadata: match words.text("topics") {
            Some(topics) => subscription(topics),
            None => words.text("meta").unwrap_or(name).to_owned().into(),
        },
    });
    JoinGroupRequest {
        group_id: group(words),
        session_timeout_ms: words.number("session", 10_000),
        rebalance_timeout_ms: words.number("rebalance", 60_000),
        member_id: member(words, names),
        group_instance_id: instance(words),
        protocol_type: words.text("type").unwrap_or("consumer").into(),
        protocols: protocols.collect(),
        reason: words.text("reason").map(ByteStr::from),
    }
}

/// What a consumer says that it wants to read.
fn subscription(topics: &str) -> Bytes {
    let topics: Vec<_> = topics.split_terminator(',').collect();
    let mut bytes = vec![0, 0];
    bytes.extend_from_slice(&i32::try_from(topics.len()).unwrap().to_be_bytes());
    for topic in topics {
        bytes.extend_from_slice(&i16::try_from(topic.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(topic.as_bytes());
    }
    bytes.extend_from_slice(&[0xff; 4]);
    bytes.into()
}

fn sync(words: &Words<'_>, names: &Names) -> SyncGroupRequest {
    let assignments = words.text("assign").unwrap_or_default().split_terminator(',');
    let assignments = assignments.map(|word| {
        let (member, assignment) = word.split_once(':').unwrap();
        SyncGroupRequestAssignment {
            member_id: names.member(member),
            assignment: assignment.to_owned().into(),
        }
    });
    let said = |name, usual: &'static str| match words.text(name).unwrap_or(usual) {
        "null" => None,
        said => Some(ByteStr::from(said)),
    };
    SyncGroupRequest {
        group_id: group(words),
        generation_id: words.number("gen", 0),
        member_id: member(words, names),
        group_instance_id: instance(words),
        protocol_type: said("type", "consumer"),
        protocol_name: said("protocol", "range"),
        assignments: assignments.collect(),
    }
}

fn leave(words: &Words<'_>, names: &Names) -> LeaveGroupRequest {
    let members = words.words[2..].iter().map(|word| {
        // `member`, `member/instance` or `/instance`.
        let (id, instance) = word
            .split_once('/')
            .map_or((*word, None), |(id, instance)| (id, Some(instance)));
        MemberIdentity {
            member_id: names.member(id),
            group_instance_id: instance.map(ByteStr::from),
            reason: words.text("reason").map(ByteStr::from),
        }
    });
    LeaveGroupRequest {
        group_id: group(words),
        member_id: member(words, names),
        members: members.collect(),
    }
}

fn commit(words: &Words<'_>, names: &Names, version: i16) -> OffsetCommitRequest {
    let topics = words.words[2..].iter().map(|word| {
        let (place, offset) = word.split_once('@').unwrap();
        let (topic, partition_index) = partition(place);
        let metadata = match words.text("meta") {
            Some("null") => None,
            Some(text) => match text.split_once('*') {
                Some((text, times)) => Some(text.repeat(times.parse().unwrap()).into()),
                None => Some(text.into()),
            },
            None => Some(ByteStr::default()),
        };
        let partition = OffsetCommitRequestPartition {
            partition_index,
            committed_offset: offset.parse().unwrap(),
            committed_leader_epoch: words.number("epoch", -1),
            commit_timestamp: words.number("time", -1),
            committed_metadata: metadata,
        };
        OffsetCommitRequestTopic {
            name: topic.into(),
            topic_id: if version >= 10 {
                names.id(topic)
            } else {
                Uuid::ZERO
            },
            partitions: vec![partition],
        }
    });
    OffsetCommitRequest {
        group_id: group(words),
        generation_id_or_member_epoch: words.number("gen", -1),
        member_id: member(words, names),
        group_instance_id: instance(words),
        retention_time_ms: words.number("retention", -1),
        topics: topics.collect(),
    }
}

fn committed(words: &Words<'_>, names: &Names, version: i16) -> OffsetFetchRequest {
    let places = words.words[2..]
        .iter()
        .filter(|word| **word != "all")
        .map(|word| partition(word));
    let topics = (!words.has("all")).then(|| places.collect::<Vec<_>>());
    if version < 8 {
        let topic = |(name, index): (&str, i32)| OffsetFetchRequestTopic {
            name: name.into(),
            partition_indexes: vec![index],
        };
        return OffsetFetchRequest {
            group_id: group(words),
            topics: topics.map(|topics| topics.into_iter().map(topic).collect()),
            ..Default::default()
        };
    }
    let topic = |(name, index): (&str, i32)| OffsetFetchRequestTopics {
        name: name.into(),
        topic_id: if version >= 10 { names.id(name) } else { Uuid::ZERO },
        partition_indexes: vec![index],
    };
    let group = OffsetFetchRequestGroup {
        group_id: group(words),
        topics: topics.map(|topics| topics.into_iter().map(topic).collect()),
        ..Default::default()
    };
    OffsetFetchRequest {
        groups: vec![group],
        require_stable: words.has("stable"),
        ..Default::default()
    }
}

fn uncommit(words: &Words<'_>) -> OffsetDeleteRequest {
    let topics = words.words[2..].iter().map(|word| {
        let (topic, partition_index) = partition(word);
        OffsetDeleteRequestTopic {
            name: topic.into(),
            partitions: vec![OffsetDeleteRequestPartition { partition_index }],
        }
    });
    OffsetDeleteRequest {
        group_id: group(words),
        topics: topics.collect(),
    }
}

pub(super) fn response(api: ApiKey, version: i16, frame: &Bytes, names: &mut Names) -> Vec<String> {
    fn read<R: RequestMessage>(version: i16, frame: &Bytes) -> R::Response {
        decode_response::<R>(version, frame).unwrap().1
    }
    match api {
        ApiKey::FindCoordinator => found(&read::<FindCoordinatorRequest>(version, frame), version),
        ApiKey::JoinGroup => joined(&read::<JoinGroupRequest>(version, frame), names),
        ApiKey::SyncGroup => {
            let response = read::<SyncGroupRequest>(version, frame);
            let protocol = response
                .protocol_name
                .map_or(String::new(), |name| format!(" protocol={name}"));
            let error = error(response.error_code);
            vec![format!(
                "synced{error}{protocol} [{}]",
                text(&response.assignment)
            )]
        }
        ApiKey::Heartbeat => {
            let response = read::<HeartbeatRequest>(version, frame);
            vec![format!("heartbeat{}", error(response.error_code))]
        }
        ApiKey::LeaveGroup => left(&read::<LeaveGroupRequest>(version, frame), names),
        ApiKey::ListGroups => listed(&read::<ListGroupsRequest>(version, frame)),
        ApiKey::DescribeGroups => described(&read::<DescribeGroupsRequest>(version, frame), names),
        ApiKey::DeleteGroups => {
            let response = read::<DeleteGroupsRequest>(version, frame);
            let lines = response.results.iter();
            lines
                .map(|it| format!("{} removed{}", it.group_id, error(it.error_code)))
                .collect()
        }
        ApiKey::OffsetCommit => {
            let response = read::<OffsetCommitRequest>(version, frame);
            let lines = response.topics.iter().flat_map(|topic| {
                let name = names.name(&topic.name, &topic.topic_id);
                topic.partitions.iter().map(move |partition| {
                    format!(
                        "{name}/{} committed{}",
                        partition.partition_index,
                        error(partition.error_code)
                    )
                })
            });
            lines.collect()
        }
        ApiKey::OffsetFetch => offsets(&read::<OffsetFetchRequest>(version, frame), version, names),
        ApiKey::OffsetDelete => uncommitted(&read::<OffsetDeleteRequest>(version, frame)),
        other => panic!("nothing prints {other:?}"),
    }
}

fn left(response: &LeaveGroupResponse, names: &mut Names) -> Vec<String> {
    let first = format!("left{}", error(response.error_code));
    let members = response.members.iter().map(|member| {
        let instance = member.group_instance_id.as_ref();
        let instance = instance.map_or(String::new(), |id| format!("/{id}"));
        let (name, code) = (names.member_name(&member.member_id), error(member.error_code));
        format!("  {name}{instance}{code}")
    });
    std::iter::once(first).chain(members).collect()
}

fn uncommitted(response: &OffsetDeleteResponse) -> Vec<String> {
    let first = format!("uncommitted{}", error(response.error_code));
    let lines = response.topics.iter().flat_map(|topic| {
        let lines = topic.partitions.iter();
        lines.map(|it| format!("  {}/{}{}", topic.name, it.partition_index, error(it.error_code)))
    });
    std::iter::once(first).chain(lines).collect()
}

fn listed(response: &ListGroupsResponse) -> Vec<String> {
    let groups = response.groups.iter();
    let mut lines: Vec<_> = groups
        .map(|it| {
            format!(
                "{} {:?} {} {}",
                it.group_id, &*it.protocol_type, it.group_state, it.group_type
            )
        })
        .collect();
    lines.sort();
    lines.insert(0, format!("groups{}", error(response.error_code)));
    lines
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn found(response: &FindCoordinatorResponse, version: i16) -> Vec<String> {
    let line = |key: &str, node, host: &str, code, said: Option<&ByteStr>| {
        let said = said.filter(|said| !said.is_empty());
        format!("{key} at {node} {host:?}{}{}", error(code), message(said))
    };
    if version < 4 {
        let FindCoordinatorResponse {
            node_id,
            host,
            error_code,
            error_message,
            ..
        } = response;
        return vec![line("it", node_id, host, *error_code, error_message.as_ref())];
    }
    let lines = response.coordinators.iter();
    let lines = lines.map(|it| {
        line(
            &it.key,
            &it.node_id,
            &it.host,
            it.error_code,
            it.error_message.as_ref(),
        )
    });
    lines.collect()
}

fn joined(response: &JoinGroupResponse, names: &mut Names) -> Vec<String> {
    let me = names.member_name(&response.member_id);
    if response.error_code.is_error() {
        assert_eq!(response.generation_id, -1);
        return vec![format!("joined {me}{}", error(response.error_code))];
    }
    let members = response.members.iter().map(|member| {
        let instance = member
            .group_instance_id
            .as_ref()
            .map_or(String::new(), |id| format!("/{id}"));
        format!(
            "{}{instance}[{}]",
            names.member_name(&member.member_id),
            text(&member.metadata).escape_debug()
        )
    });
    let members: Vec<_> = members.collect();
    vec![
        format!(
            "joined {me} gen={} protocol={} leader={}{} {}",
            response.generation_id,
            response.protocol_name.clone().unwrap_or_default(),
            names.member_name(&response.leader),
            if response.skip_assignment { " skip" } else { "" },
            members.join(" ")
        )
        .trim_end()
        .to_owned(),
    ]
}

fn offsets(response: &OffsetFetchResponse, version: i16, names: &Names) -> Vec<String> {
    let line = |topic: &str, index: i32, offset: i64, epoch: i32, metadata: Option<&ByteStr>, code| {
        let epoch = if epoch == -1 {
            String::new()
        } else {
            format!(" epoch={epoch}")
        };
        let metadata = metadata.filter(|text| !text.is_empty());
        let metadata = metadata.map_or(String::new(), |text| format!(" {:?}", &**text));
        format!("{topic}/{index} at {offset}{epoch}{metadata}{}", error(code))
    };
    let mut lines = Vec::new();
    if version < 8 {
        lines.extend(response.error_code.is_error().then(|| error(response.error_code)));
        for topic in &response.topics {
            lines.extend(topic.partitions.iter().map(|it| {
                let (offset, epoch) = (it.committed_offset, it.committed_leader_epoch);
                line(
                    &topic.name,
                    it.partition_index,
                    offset,
                    epoch,
                    it.metadata.as_ref(),
                    it.error_code,
                )
            }));
        }
    }
    for group in &response.groups {
        lines.extend(group.error_code.is_error().then(|| error(group.error_code)));
        for topic in &group.topics {
            let name = names.name(&topic.name, &topic.topic_id);
            lines.extend(topic.partitions.iter().map(|it| {
                let (offset, epoch) = (it.committed_offset, it.committed_leader_epoch);
                line(
                    name,
                    it.partition_index,
                    offset,
                    epoch,
                    it.metadata.as_ref(),
                    it.error_code,
                )
            }));
        }
    }
    match lines.is_empty() {
        true => vec!["no offsets".to_owned()],
        false => lines,
    }
}

fn described(response: &DescribeGroupsResponse, names: &mut Names) -> Vec<String> {
    let mut lines = Vec::new();
    for group in &response.groups {
        let operations = match group.authorized_operations {
            AUTHORIZED_OPERATIONS_UNKNOWN => String::new(),
            operations => format!(" operations={operations}"),
        };
        lines.push(format!(
            "{} {} {:?} {:?}{operations}{}{}",
            group.group_id,
            group.group_state,
            &*group.protocol_type,
            &*group.protocol_data,
            error(group.error_code),
            message(group.error_message.as_ref()),
        ));
        let mut members: Vec<_> = group.members.iter().collect();
        members.sort_by_key(|member| names.member_name(&member.member_id));
        lines.extend(members.into_iter().map(|member| {
            let instance = member
                .group_instance_id
                .as_ref()
                .map_or(String::new(), |id| format!("/{id}"));
            format!(
                "  {}{instance} {} {} [{}] [{}]",
                names.member_name(&member.member_id),
                member.client_id,
                member.client_host,
                text(&member.member_metadata).escape_debug(),
                text(&member.member_assignment),
            )
        }));
    }
    lines
}

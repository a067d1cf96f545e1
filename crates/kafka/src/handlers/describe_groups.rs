use firth_kafka_codec::{
    ByteStr, DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember, ErrorCode,
};

use super::{Answer, Commits, Durable, message};
use crate::groups::Described;
use crate::server::Client;

/// Everything that can be done to a group, as bits of the protocol's operations: nobody is refused anything yet.
const GROUP_OPERATIONS: i32 = 0x0d48;
/// The first version that says of a group that it does not exist; before, it is dead.
const NOT_FOUND_MIN: i16 = 6;
const DEAD: &str = "Dead";

pub(super) async fn handle(
    client: Client,
    version: i16,
    request: DescribeGroupsRequest,
) -> Durable<DescribeGroupsResponse> {
    let mut commits = Commits::new();
    let groups = request.groups.into_iter().map(|id| {
        let found = client.server.groups.with(&id, |group, _| group.describe());
        let mut described = match found {
            Some((found, commit)) => {
                commits.push(commit);
                described(id, found)
            }
            None => unknown(id, version),
        };
        if request.include_authorized_operations && described.error_code == ErrorCode::None {
            described.authorized_operations = GROUP_OPERATIONS;
        }
        described
    });
    let response = DescribeGroupsResponse {
        groups: groups.collect(),
        ..Default::default()
    };
    (response, commits)
}

fn unknown(group_id: ByteStr, version: i16) -> DescribedGroup {
    let said = message(&format!("Group {group_id} not found."));
    DescribedGroup {
        error_code: match version {
            NOT_FOUND_MIN.. => ErrorCode::GroupIdNotFound,
            _ => ErrorCode::None,
        },
        error_message: said,
        group_id,
        group_state: ByteStr::from_static(DEAD),
        ..Default::default()
    }
}

fn described(group_id: ByteStr, found: Described) -> DescribedGroup {
    let text = |text: Option<&str>| text.map(ByteStr::from).unwrap_or_default();
    let members = found.members.iter().map(|member| DescribedGroupMember {
        member_id: ByteStr::from(&*member.id),
        group_instance_id: member.instance_id.as_deref().map(ByteStr::from),
        client_id: ByteStr::from(&*member.client_id),
        client_host: ByteStr::from(&*member.client_host),
        member_metadata: member.metadata.clone(),
        member_assignment: member.assignment.clone(),
    });
    DescribedGroup {
        group_id,
        group_state: ByteStr::from_static(found.state.name()),
        protocol_type: text(found.protocol_type.as_deref()),
        protocol_data: text(found.protocol.as_deref()),
        members: members.collect(),
        ..Default::default()
    }
}

impl Answer for DescribeGroupsResponse {
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        self.groups.iter().map(|group| group.error_code)
    }
}

use std::iter;

use firth_kafka_codec::{ErrorCode, LeaveGroupRequest, LeaveGroupResponse, MemberIdentity, MemberResponse};
use smallvec::smallvec;

use super::{Answer, Durable, durable, owned};
use crate::groups::Leaving;
use crate::server::Client;

/// Several members can leave from this version on.
const BATCHED_MIN: i16 = 3;

pub(super) async fn handle(
    client: Client,
    version: i16,
    request: LeaveGroupRequest,
) -> Durable<LeaveGroupResponse> {
    if request.group_id.is_empty() {
        return durable(LeaveGroupResponse {
            error_code: ErrorCode::InvalidGroupId,
            ..Default::default()
        });
    }
    let members = match version {
        BATCHED_MIN.. => request.members,
        _ => vec![MemberIdentity {
            member_id: request.member_id,
            ..Default::default()
        }],
    };
    let leaving: Vec<_> = members
        .iter()
        .map(|member| Leaving {
            member_id: owned(&member.member_id),
            instance_id: member.group_instance_id.as_ref().map(owned),
            reason: member.reason.as_ref().map(owned),
        })
        .collect();
    let left = client
        .server
        .groups
        .with(&request.group_id, |group, turn| group.leave(&leaving, turn));
    let (results, commits) = match left {
        Some((results, commit)) => (results, smallvec![commit]),
        None => (vec![ErrorCode::UnknownMemberId; members.len()], smallvec![]),
    };
    (respond(version, members, results), commits)
}

fn respond(version: i16, members: Vec<MemberIdentity>, results: Vec<ErrorCode>) -> LeaveGroupResponse {
    if version < BATCHED_MIN {
        return LeaveGroupResponse {
            error_code: results.first().copied().unwrap_or(ErrorCode::UnknownMemberId),
            ..Default::default()
        };
    }
    let members = members.into_iter().zip(results);
    let members = members.map(|(member, error_code)| MemberResponse {
        member_id: member.member_id,
        group_instance_id: member.group_instance_id,
        error_code,
    });
    LeaveGroupResponse {
        members: members.collect(),
        ..Default::default()
    }
}

impl Answer for LeaveGroupResponse {
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        let members = self.members.iter().map(|member| member.error_code);
        iter::once(self.error_code).chain(members)
    }
}

use std::collections::HashSet;
use std::iter;
use std::sync::Arc;

use bytes::Bytes;
use firth_kafka_codec::{
    ByteStr, ErrorCode, JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse,
    JoinGroupResponseMember, RequestHeader,
};

use super::{Answer, Durable, durable, owned};
use crate::groups::{Join, Joined, Protocol, Reply, Ticket, Waiting};
use crate::server::Client;

/// The first version in which a new member is given its id before it joins (KIP-394).
const ASKS_FOR_ID_MIN: i16 = 4;
/// The first version in which the response may have no protocol.
const NULL_PROTOCOL_MIN: i16 = 7;
/// The first version in which a leader may be told to assign nothing (KIP-814).
const SKIPS_ASSIGNMENT_MIN: i16 = 9;

/// Answered when the members are known, which may take as long as their rebalance timeout.
pub(super) async fn handle(
    client: Client,
    header: RequestHeader,
    request: JoinGroupRequest,
) -> Durable<JoinGroupResponse> {
    let (version, member_id) = (header.api_version, request.member_id.clone());
    let refused = |error_code| {
        durable(respond(
            version,
            JoinGroupResponse {
                error_code,
                member_id: member_id.clone(),
                ..Default::default()
            },
        ))
    };
    let settings = client.server.groups.settings();
    let sessions = settings.session_timeout_ms_min..=settings.session_timeout_ms_max;
    if request.group_id.is_empty() {
        return refused(ErrorCode::InvalidGroupId);
    }
    if !sessions.contains(&request.session_timeout_ms) {
        return refused(ErrorCode::InvalidSessionTimeout);
    }
    let Some(waiting) = park(&client, &header, request) else {
        return refused(ErrorCode::UnknownMemberId);
    };
    let answer = tokio::select! {
        answer = waiting.reply() => answer,
        () = client.server.draining() => None,
    };
    match answer {
        Some((Reply::Joined(joined), commit)) => {
            (respond(version, response(joined)), smallvec::smallvec![commit])
        }
        // The client finds its coordinator again, and joins once more.
        _ => refused(ErrorCode::NotCoordinator),
    }
}

fn park(client: &Client, header: &RequestHeader, request: JoinGroupRequest) -> Option<Waiting> {
    let version = header.api_version;
    let client_id: Arc<str> = header.client_id.as_deref().unwrap_or_default().into();
    let instance_id = request.group_instance_id.as_ref().map(owned);
    // As Apache Kafka composes it.
    let prefix = instance_id.as_ref().unwrap_or(&client_id);
    let new_id = format!("{prefix}-{}", uuid((client.server.broker.environment().random)()));
    let join = |ticket: Ticket| Join {
        ticket,
        member_id: owned(&request.member_id),
        instance_id: instance_id.clone(),
        new_id: new_id.into(),
        client_id: client_id.clone(),
        client_host: format!("/{}", client.peer).into(),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms: match version {
            0 => request.session_timeout_ms,
            _ => request.rebalance_timeout_ms,
        },
        protocol_type: owned(&request.protocol_type),
        protocols: protocols(&request.protocols),
        reason: request.reason.as_ref().map(owned),
        may_ask_for_id: version >= ASKS_FOR_ID_MIN,
        may_skip_assignment: version >= SKIPS_ASSIGNMENT_MIN,
    };
    let is_new = request.member_id.is_empty();
    client.server.groups.join(&request.group_id, is_new, join)
}

/// Copies: what the group keeps is not to keep the whole frame. Of a name that is repeated the first counts.
fn protocols(asked: &[JoinGroupRequestProtocol]) -> Vec<Protocol> {
    let mut names = HashSet::new();
    let once = asked.iter().filter(|protocol| names.insert(&protocol.name));
    let protocols = once.map(|protocol| Protocol {
        name: owned(&protocol.name),
        metadata: Bytes::copy_from_slice(&protocol.metadata),
    });
    protocols.collect()
}

/// 128 random bits as a UUID of version 4.
fn uuid(random: [u8; 16]) -> String {
    let bits = u128::from_be_bytes(random);
    let bits = bits & !(0xf << 76) | (4 << 76);
    let bits = bits & !(0b11 << 62) | (0b10 << 62);
    let hex = format!("{bits:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!(
        "{}-{}-{}-{}-{}",
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32)
    )
}

fn response(joined: Joined) -> JoinGroupResponse {
    let response = JoinGroupResponse {
        error_code: joined.error,
        member_id: ByteStr::from(&*joined.member_id),
        ..Default::default()
    };
    let Some(generation) = joined.generation else {
        return response;
    };
    let members = generation
        .members
        .into_iter()
        .map(|member| JoinGroupResponseMember {
            member_id: ByteStr::from(&*member.id),
            group_instance_id: member.instance_id.as_deref().map(ByteStr::from),
            metadata: member.metadata,
        });
    JoinGroupResponse {
        generation_id: generation.id,
        protocol_type: generation.protocol_type.as_deref().map(ByteStr::from),
        protocol_name: generation.protocol.as_deref().map(ByteStr::from),
        leader: generation
            .leader
            .as_deref()
            .map(ByteStr::from)
            .unwrap_or_default(),
        skip_assignment: generation.skip_assignment,
        members: members.collect(),
        ..response
    }
}

/// Without a generation there is no protocol, which older versions say with an empty one.
fn respond(version: i16, mut response: JoinGroupResponse) -> JoinGroupResponse {
    let is_refused = response.error_code != ErrorCode::None;
    if version >= NULL_PROTOCOL_MIN {
        response.protocol_name = response.protocol_name.filter(|_| !is_refused);
    } else {
        response.protocol_name.get_or_insert_default();
    }
    response
}

impl Answer for JoinGroupResponse {
    /// To be given an id is no error.
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        iter::once(self.error_code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_bits_become_a_uuid_of_version_4() {
        assert_eq!(uuid([0; 16]), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}

use std::iter;

use bytes::Bytes;
use firth_kafka_codec::{ByteStr, ErrorCode, SyncGroupRequest, SyncGroupResponse};
use smallvec::smallvec;

use super::{Answer, Durable, durable, owned};
use crate::groups::{Reply, Sync, Ticket};
use crate::server::Client;

/// From this version on a member says what it takes the group's protocol for (KIP-559).
const SAYS_PROTOCOL_MIN: i16 = 5;

/// Answered when the leader has assigned.
pub(super) async fn handle(
    client: Client,
    version: i16,
    request: SyncGroupRequest,
) -> Durable<SyncGroupResponse> {
    let refused = |error_code| {
        durable(SyncGroupResponse {
            error_code,
            ..Default::default()
        })
    };
    if request.group_id.is_empty() {
        return refused(ErrorCode::InvalidGroupId);
    }
    let says_protocol = request.protocol_type.is_some() && request.protocol_name.is_some();
    if version >= SAYS_PROTOCOL_MIN && !says_protocol {
        return refused(ErrorCode::InconsistentGroupProtocol);
    }
    let sync = |ticket: Ticket| Sync {
        ticket,
        generation: request.generation_id,
        member_id: owned(&request.member_id),
        instance_id: request.group_instance_id.as_ref().map(owned),
        protocol_type: request.protocol_type.as_ref().map(owned),
        protocol: request.protocol_name.as_ref().map(owned),
        assignments: {
            let assigned = request.assignments.iter();
            assigned
                .map(|member| {
                    (
                        owned(&member.member_id),
                        Bytes::copy_from_slice(&member.assignment),
                    )
                })
                .collect()
        },
    };
    let Some(waiting) = client.server.groups.sync(&request.group_id, sync) else {
        return refused(ErrorCode::UnknownMemberId);
    };
    let answer = tokio::select! {
        answer = waiting.reply() => answer,
        () = client.server.draining() => None,
    };
    let Some((Reply::Synced(synced), commit)) = answer else {
        // The client finds its coordinator again, and joins once more.
        return refused(ErrorCode::NotCoordinator);
    };
    let response = SyncGroupResponse {
        error_code: synced.error,
        protocol_type: synced.protocol_type.as_deref().map(ByteStr::from),
        protocol_name: synced.protocol.as_deref().map(ByteStr::from),
        assignment: synced.assignment,
        ..Default::default()
    };
    (response, smallvec![commit])
}

impl Answer for SyncGroupResponse {
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        iter::once(self.error_code)
    }
}

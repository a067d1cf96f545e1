use std::iter;

use firth_kafka_codec::{ErrorCode, HeartbeatRequest, HeartbeatResponse};
use smallvec::smallvec;

use super::{Answer, Durable, durable};
use crate::server::Client;

pub(super) async fn handle(client: Client, request: HeartbeatRequest) -> Durable<HeartbeatResponse> {
    let respond = |error_code| HeartbeatResponse {
        error_code,
        ..Default::default()
    };
    if request.group_id.is_empty() {
        return durable(respond(ErrorCode::InvalidGroupId));
    }
    let heard = client.server.groups.with(&request.group_id, |group, turn| {
        let instance_id = request.group_instance_id.as_deref();
        group.heartbeat(&request.member_id, instance_id, request.generation_id, turn)
    });
    match heard {
        Some((error_code, commit)) => (respond(error_code), smallvec![commit]),
        None => durable(respond(ErrorCode::UnknownMemberId)),
    }
}

impl Answer for HeartbeatResponse {
    /// That a group rebalances is no error, but news.
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        iter::once(self.error_code)
    }
}

//! What a member of a classic consumer group says: FindCoordinator 1, JoinGroup 5, SyncGroup 3, Heartbeat 3, LeaveGroup 1.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::wire::{Decoder, Encoder};

const FIND_COORDINATOR: i16 = 10;
const JOIN_GROUP: i16 = 11;
const HEARTBEAT: i16 = 12;
const LEAVE_GROUP: i16 = 13;
const SYNC_GROUP: i16 = 14;

pub(crate) const COORDINATOR_LOAD_IN_PROGRESS: i16 = 14;
pub(crate) const COORDINATOR_NOT_AVAILABLE: i16 = 15;
pub(crate) const NOT_COORDINATOR: i16 = 16;
pub(crate) const UNKNOWN_MEMBER_ID: i16 = 25;
pub(crate) const REBALANCE_IN_PROGRESS: i16 = 27;
pub(crate) const MEMBER_ID_REQUIRED: i16 = 79;

/// Key type 0 of FindCoordinator.
const GROUP: u8 = 0;
const PROTOCOL_TYPE: &str = "consumer";
const ASSIGNOR: &str = "range";
/// Version 1 of a subscription to one topic, without user data and owned partitions.
const SUBSCRIPTION: &[u8] = b"\0\x01\0\0\0\x01\0\x05bench\xff\xff\xff\xff\0\0\0\0";
/// Version 1 of an assignment of nothing.
const ASSIGNMENT: &[u8] = b"\0\x01\0\0\0\0\xff\xff\xff\xff";

/// Who speaks.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) group: String,
    pub(crate) generation: i32,
    /// Empty until the coordinator has given one.
    pub(crate) member: String,
}

pub(crate) fn find_coordinator(correlation_id: i32, group: &str) -> Vec<u8> {
    let mut request = Encoder::request(FIND_COORDINATOR, 1, correlation_id, false);
    request.string(group).u8(GROUP);
    request.finish()
}

pub(crate) fn join_group(correlation_id: i32, identity: &Identity, session: Duration) -> Vec<u8> {
    let session_ms = session.as_millis() as i32;
    let mut request = Encoder::request(JOIN_GROUP, 5, correlation_id, false);
    request
        .string(&identity.group)
        .i32(session_ms)
        .i32(session_ms)
        .string(&identity.member)
        .i16(-1)
        .string(PROTOCOL_TYPE)
        .i32(1)
        .string(ASSIGNOR)
        .bytes(SUBSCRIPTION);
    request.finish()
}

#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) error_code: i16,
    pub(crate) generation: i32,
    pub(crate) member: String,
    /// All members, if this one leads.
    pub(crate) members: Vec<String>,
}

pub(crate) fn joined(body: &[u8]) -> Result<Joined> {
    let mut decoder = Decoder::new(body);
    decoder.i32()?;
    let error_code = decoder.i16()?;
    let generation = decoder.i32()?;
    // The protocol and the leader.
    decoder.string()?;
    decoder.string()?;
    let member = text(decoder.string()?);
    let mut members = Vec::new();
    for _ in 0..decoder.array_length()? {
        members.push(text(decoder.string()?));
        decoder.string()?;
        decoder.bytes()?;
    }
    Ok(Joined {
        error_code,
        generation,
        member,
        members,
    })
}

/// The leader names all members, others none.
pub(crate) fn sync_group(correlation_id: i32, identity: &Identity, members: &[String]) -> Vec<u8> {
    let mut request = Encoder::request(SYNC_GROUP, 3, correlation_id, false);
    request
        .string(&identity.group)
        .i32(identity.generation)
        .string(&identity.member)
        .i16(-1)
        .i32(members.len() as i32);
    for member in members {
        request.string(member).bytes(ASSIGNMENT);
    }
    request.finish()
}

/// Reads a SyncGroup response: its error code. Without one it holds the assignment.
pub(crate) fn synced(body: &[u8]) -> Result<i16> {
    let mut decoder = Decoder::new(body);
    decoder.i32()?;
    let error_code = decoder.i16()?;
    let assignment = decoder.bytes()?;
    ensure!(
        error_code != 0 || assignment == ASSIGNMENT,
        "a member is assigned {} bytes that the leader did not send",
        assignment.len()
    );
    Ok(error_code)
}

pub(crate) fn heartbeat(correlation_id: i32, identity: &Identity) -> Vec<u8> {
    let mut request = Encoder::request(HEARTBEAT, 3, correlation_id, false);
    request
        .string(&identity.group)
        .i32(identity.generation)
        .string(&identity.member)
        .i16(-1);
    request.finish()
}

pub(crate) fn leave_group(correlation_id: i32, identity: &Identity) -> Vec<u8> {
    let mut request = Encoder::request(LEAVE_GROUP, 1, correlation_id, false);
    request.string(&identity.group).string(&identity.member);
    request.finish()
}

/// The error code of a response that begins with the throttle time and it.
pub(crate) fn error_code(body: &[u8]) -> Result<i16> {
    let mut decoder = Decoder::new(body);
    decoder.i32()?;
    decoder.i16()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leader_learns_of_all_members() {
        let mut response = Encoder::default();
        response
            .i32(0)
            .i16(0)
            .i32(7)
            .string(ASSIGNOR)
            .string("a")
            .string("a");
        response.i32(2);
        for member in ["a", "b"] {
            response.string(member).i16(-1).bytes(SUBSCRIPTION);
        }
        let joined = joined(&response.into_bytes()).unwrap();
        assert_eq!((joined.error_code, joined.generation), (0, 7));
        assert_eq!(
            (&*joined.member, &*joined.members),
            ("a", &["a".to_owned(), "b".to_owned()][..])
        );
    }

    #[test]
    fn an_assignment_is_what_the_leader_sent() {
        let response = |assignment: &[u8]| {
            let mut response = Encoder::default();
            response.i32(0).i16(0).bytes(assignment);
            response.into_bytes()
        };
        assert_eq!(synced(&response(ASSIGNMENT)).unwrap(), 0);
        assert!(synced(&response(b"")).is_err());
    }
}

//! What groups store, as keys and values of the broker's log of groups. All integers are little-endian.
//!
//! ```text
//! key
//! 1 Group   type u8 = 1 | group text
//! 2 Offset  type u8 = 2 | group text | topic id 16 bytes | partition i32
//!
//! value of a group: its last generation that was complete
//! version u8 = 1 | generation i32 | since i64 | protocol type opt | protocol opt | leader opt
//!                | count u32 | member*
//! member := id text | instance id opt | client id text | client host text | session timeout i32
//!                | rebalance timeout i32 | metadata bytes | assignment bytes
//!
//! value of an offset
//! version u8 = 1 | offset i64 | leader epoch i32 | committed i64 | expires i64 | metadata text
//!
//! text := length u32 | UTF-8      bytes := length u32 | bytes      opt := 0 u8, or 1 u8 | text
//! ```
//!
//! Times are in milliseconds since 1970, timeouts in milliseconds. `since` is when the group got into its state,
//! `expires` is -1 for as long as the broker keeps offsets. A group that has offsets alone has no record of its own.

use std::sync::Arc;

use bytes::Bytes;
use firth_broker::fields::{Fields, Malformed, put, put_length, put_optional, put_text};
use firth_broker::{Broker, Replayed, StateLog, StateRecord, TopicId, Unreadable};

use super::offsets::Committed;

const VERSION: u8 = 1;
const GROUP: u8 = 1;
const OFFSET: u8 = 2;
/// Where an offset has no time of its own to expire.
const NO_TIME: i64 = -1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredGroup {
    pub(crate) generation: i32,
    pub(crate) since_ms: i64,
    pub(crate) protocol_type: Option<Arc<str>>,
    pub(crate) protocol: Option<Arc<str>>,
    pub(crate) leader: Option<Arc<str>>,
    pub(crate) members: Vec<StoredMember>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredMember {
    pub(crate) id: Arc<str>,
    pub(crate) instance_id: Option<Arc<str>>,
    pub(crate) client_id: Arc<str>,
    pub(crate) client_host: Arc<str>,
    pub(crate) session_timeout_ms: i32,
    pub(crate) rebalance_timeout_ms: i32,
    /// For the protocol that was chosen.
    pub(crate) metadata: Bytes,
    pub(crate) assignment: Bytes,
}

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    Group(Arc<str>, StoredGroup),
    Offset(Arc<str>, TopicId, i32, Committed),
}

/// Finds what [`crate::Server::open`] would refuse, and takes what the log of groups said for that.
pub fn unreadable(broker: &Broker) -> Vec<Unreadable> {
    let log = broker.groups_log();
    let replayed = log.take_replayed();
    let mut found: Vec<_> = replayed
        .iter()
        .filter_map(|replayed| read(log, replayed).err())
        .collect();
    found.sort_unstable_by_key(|unreadable| unreadable.offsets.start);
    found.dedup_by_key(|unreadable| unreadable.offsets.start);
    found
}

pub(super) fn read(log: &StateLog, replayed: &Replayed) -> Result<Stored, Unreadable> {
    decode(&replayed.record).map_err(|what| log.unreadable(replayed, what))
}

pub(crate) fn group(id: &str, group: &StoredGroup) -> StateRecord {
    let mut value = vec![VERSION];
    value.extend_from_slice(&group.generation.to_le_bytes());
    value.extend_from_slice(&group.since_ms.to_le_bytes());
    for text in [&group.protocol_type, &group.protocol, &group.leader] {
        put_optional(&mut value, text.as_deref(), put_text);
    }
    put_length(&mut value, group.members.len());
    for member in &group.members {
        put(&mut value, member.id.as_bytes());
        put_optional(&mut value, member.instance_id.as_deref(), put_text);
        put(&mut value, member.client_id.as_bytes());
        put(&mut value, member.client_host.as_bytes());
        value.extend_from_slice(&member.session_timeout_ms.to_le_bytes());
        value.extend_from_slice(&member.rebalance_timeout_ms.to_le_bytes());
        put(&mut value, &member.metadata);
        put(&mut value, &member.assignment);
    }
    StateRecord {
        key: group_key(id),
        value: Some(value.into()),
    }
}

pub(crate) fn no_group(id: &str) -> StateRecord {
    StateRecord {
        key: group_key(id),
        value: None,
    }
}

pub(crate) fn offset(id: &str, topic: TopicId, partition: i32, committed: &Committed) -> StateRecord {
    let mut value = vec![VERSION];
    value.extend_from_slice(&committed.offset.to_le_bytes());
    value.extend_from_slice(&committed.leader_epoch.to_le_bytes());
    value.extend_from_slice(&committed.committed_ms.to_le_bytes());
    value.extend_from_slice(&committed.expires_ms.unwrap_or(NO_TIME).to_le_bytes());
    put(&mut value, committed.metadata.as_bytes());
    StateRecord {
        key: offset_key(id, topic, partition),
        value: Some(value.into()),
    }
}

pub(crate) fn no_offset(id: &str, topic: TopicId, partition: i32) -> StateRecord {
    StateRecord {
        key: offset_key(id, topic, partition),
        value: None,
    }
}

fn group_key(id: &str) -> Bytes {
    let mut key = vec![GROUP];
    put(&mut key, id.as_bytes());
    key.into()
}

fn offset_key(id: &str, topic: TopicId, partition: i32) -> Bytes {
    let mut key = vec![OFFSET];
    put(&mut key, id.as_bytes());
    key.extend_from_slice(&topic.0);
    key.extend_from_slice(&partition.to_le_bytes());
    key.into()
}

pub(crate) fn decode(record: &StateRecord) -> Result<Stored, Malformed> {
    let mut key = Fields(&record.key);
    let mut value = Fields(record.value.as_deref().unwrap_or_default());
    let kind = key.u8()?;
    let id = key.text()?;
    if value.u8()? != VERSION {
        return Err(Malformed("version"));
    }
    let stored = match kind {
        GROUP => Stored::Group(id, group_fields(&mut value)?),
        OFFSET => Stored::Offset(
            id,
            TopicId(key.array()?),
            key.i32()?,
            committed_fields(&mut value)?,
        ),
        _ => return Err(Malformed("type")),
    };
    key.end()?;
    value.end()?;
    Ok(stored)
}

fn group_fields(value: &mut Fields<'_>) -> Result<StoredGroup, Malformed> {
    Ok(StoredGroup {
        generation: value.i32()?,
        since_ms: value.i64()?,
        protocol_type: value.optional(Fields::text)?,
        protocol: value.optional(Fields::text)?,
        leader: value.optional(Fields::text)?,
        members: {
            let count = value.length()?;
            (0..count)
                .map(|_| member_fields(value))
                .collect::<Result<_, _>>()?
        },
    })
}

fn member_fields(value: &mut Fields<'_>) -> Result<StoredMember, Malformed> {
    Ok(StoredMember {
        id: value.text()?,
        instance_id: value.optional(Fields::text)?,
        client_id: value.text()?,
        client_host: value.text()?,
        session_timeout_ms: value.i32()?,
        rebalance_timeout_ms: value.i32()?,
        metadata: value.bytes().map(Bytes::copy_from_slice)?,
        assignment: value.bytes().map(Bytes::copy_from_slice)?,
    })
}

fn committed_fields(value: &mut Fields<'_>) -> Result<Committed, Malformed> {
    Ok(Committed {
        offset: value.i64()?,
        leader_epoch: value.i32()?,
        committed_ms: value.i64()?,
        expires_ms: Some(value.i64()?).filter(|expires_ms| *expires_ms != NO_TIME),
        metadata: value.text()?,
    })
}

#[cfg(test)]
mod tests;

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

use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use firth_broker::{Broker, Replayed, StateRecord, TopicId};

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

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {0} of a record is wrong")]
pub(crate) struct Malformed(&'static str);

/// A record that says nothing which can be understood, although it is as it was written. What was stored with it is given
/// up with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} at offsets {first} to {last} of the log of groups: restore a backup, or give up what was stored there with \
     `firth doctor --accept groups:{first}-{last}`",
    first = offsets.start, last = offsets.end.saturating_sub(1)
)]
pub struct Unreadable {
    pub offsets: Range<i64>,
    what: Malformed,
}

impl Unreadable {
    /// Where the record is not said.
    pub fn reason(&self) -> String {
        self.what.to_string()
    }
}

/// Finds what [`crate::Server::open`] would refuse, and takes what the log of groups said for that.
pub fn unreadable(broker: &Broker) -> Vec<Unreadable> {
    let replayed = broker.groups_log().take_replayed();
    let mut found: Vec<_> = replayed
        .iter()
        .filter_map(|replayed| read(replayed).err())
        .collect();
    found.sort_unstable_by_key(|unreadable| unreadable.offsets.start);
    found.dedup_by_key(|unreadable| unreadable.offsets.start);
    found
}

pub(super) fn read(replayed: &Replayed) -> Result<Stored, Unreadable> {
    decode(&replayed.record).map_err(|what| Unreadable {
        offsets: replayed.offsets.clone(),
        what,
    })
}

pub(crate) fn group(id: &str, group: &StoredGroup) -> StateRecord {
    let mut value = vec![VERSION];
    value.extend_from_slice(&group.generation.to_le_bytes());
    value.extend_from_slice(&group.since_ms.to_le_bytes());
    for text in [&group.protocol_type, &group.protocol, &group.leader] {
        put_optional(&mut value, text.as_deref());
    }
    put_length(&mut value, group.members.len());
    for member in &group.members {
        put(&mut value, member.id.as_bytes());
        put_optional(&mut value, member.instance_id.as_deref());
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

/// Bytes after what this version knows are an error: what they mean would be lost with the next record of the key.
pub(crate) fn decode(record: &StateRecord) -> Result<Stored, Malformed> {
    let mut key = Fields(&record.key);
    let mut value = Fields(record.value.as_deref().unwrap_or_default());
    let kind = key.u8()?;
    let id = key.text()?;
    if value.u8()? != VERSION {
        return Err(Malformed("version"));
    }
    let stored = match kind {
        GROUP => Stored::Group(id, value.group()?),
        OFFSET => Stored::Offset(id, TopicId(key.array()?), key.i32()?, value.committed()?),
        _ => return Err(Malformed("type")),
    };
    match (key.0, value.0) {
        ([], []) => Ok(stored),
        _ => Err(Malformed("length")),
    }
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (array, rest) = self.0.split_first_chunk().ok_or(Malformed("length"))?;
        self.0 = rest;
        Ok(*array)
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        self.0.try_get_u8().map_err(|_| Malformed("length"))
    }

    fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_le_bytes)
    }

    fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_le_bytes)
    }

    fn length(&mut self) -> Result<usize, Malformed> {
        let length = self.array().map(u32::from_le_bytes)?;
        usize::try_from(length).map_err(|_| Malformed("length"))
    }

    fn slice(&mut self) -> Result<&[u8], Malformed> {
        let length = self.length()?;
        let (slice, rest) = self.0.split_at_checked(length).ok_or(Malformed("length"))?;
        self.0 = rest;
        Ok(slice)
    }

    fn bytes(&mut self) -> Result<Bytes, Malformed> {
        self.slice().map(Bytes::copy_from_slice)
    }

    fn text(&mut self) -> Result<Arc<str>, Malformed> {
        let text = std::str::from_utf8(self.slice()?);
        text.map(Arc::from).map_err(|_| Malformed("text"))
    }

    fn optional(&mut self) -> Result<Option<Arc<str>>, Malformed> {
        match self.u8()? {
            0 => Ok(None),
            1 => self.text().map(Some),
            _ => Err(Malformed("mark of an optional text")),
        }
    }

    fn group(&mut self) -> Result<StoredGroup, Malformed> {
        Ok(StoredGroup {
            generation: self.i32()?,
            since_ms: self.i64()?,
            protocol_type: self.optional()?,
            protocol: self.optional()?,
            leader: self.optional()?,
            members: {
                let count = self.length()?;
                (0..count).map(|_| self.member()).collect::<Result<_, _>>()?
            },
        })
    }

    fn member(&mut self) -> Result<StoredMember, Malformed> {
        Ok(StoredMember {
            id: self.text()?,
            instance_id: self.optional()?,
            client_id: self.text()?,
            client_host: self.text()?,
            session_timeout_ms: self.i32()?,
            rebalance_timeout_ms: self.i32()?,
            metadata: self.bytes()?,
            assignment: self.bytes()?,
        })
    }

    fn committed(&mut self) -> Result<Committed, Malformed> {
        Ok(Committed {
            offset: self.i64()?,
            leader_epoch: self.i32()?,
            committed_ms: self.i64()?,
            expires_ms: Some(self.i64()?).filter(|expires_ms| *expires_ms != NO_TIME),
            metadata: self.text()?,
        })
    }
}

#[expect(
    clippy::expect_used,
    reason = "a request has less than 2^32 bytes, and all parts of it"
)]
fn put_length(out: &mut Vec<u8>, length: usize) {
    let length = u32::try_from(length).expect("what is stored came in one request");
    out.extend_from_slice(&length.to_le_bytes());
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    put_length(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn put_optional(out: &mut Vec<u8>, text: Option<&str>) {
    out.push(u8::from(text.is_some()));
    if let Some(text) = text {
        put(out, text.as_bytes());
    }
}

#[cfg(test)]
mod tests;

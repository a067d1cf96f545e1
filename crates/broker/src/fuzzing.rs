//! What the fuzz targets call of what is private. No part of the API.

use bytes::Bytes;

use crate::StateRecord;
use crate::dead_letter;
use crate::definitions::record::Entry;
use crate::queue::record as queue;
use crate::topology::record as topology;
use crate::users::record;

/// A value of the definitions log, read and written again. `None` where it is none of this version.
pub fn definition(value: &[u8]) -> Option<Vec<u8>> {
    Entry::decode(value).ok().map(|entry| entry.encode())
}

/// A record of the log of users, read and written again. `None` where it is none of this version.
pub fn user_record(key: &[u8], value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let given = StateRecord {
        key: Bytes::copy_from_slice(key),
        value: Some(Bytes::copy_from_slice(value)),
    };
    let written = record::stored(&record::decode(&given).ok()?);
    Some((written.key.to_vec(), written.value.unwrap_or_default().to_vec()))
}

/// A record of the topology's log, read and written again. `None` where it is none of this version.
pub fn topology_record(key: &[u8], value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let given = StateRecord {
        key: Bytes::copy_from_slice(key),
        value: Some(Bytes::copy_from_slice(value)),
    };
    let written = topology::decode(&given).ok()?.record();
    Some((written.key.to_vec(), written.value.unwrap_or_default().to_vec()))
}

/// A record of the log of queues, read twice: as it is, and as it is written again. `None` where it is none of this version.
pub fn queue_record(key: &[u8], value: &[u8]) -> Option<(String, String)> {
    queue::read_twice(key, value)
}

/// What a message died of, read twice: as it is, and as it is written again.
pub fn deaths(value: &[u8]) -> (Vec<dead_letter::DeathRecord>, Vec<dead_letter::DeathRecord>) {
    let deaths = dead_letter::deaths(value);
    let again = dead_letter::deaths(&dead_letter::encode(&deaths));
    (deaths, again)
}

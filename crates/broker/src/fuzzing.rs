//! What the fuzz targets call of what is private. No part of the API.

use bytes::Bytes;

use crate::StateRecord;
use crate::definitions::record::Entry;
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

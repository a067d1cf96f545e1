//! What the fuzz targets call of what is private. No part of the API.

use bytes::Bytes;
use firth_broker::StateRecord;

use crate::groups::record;

/// A record of the log of groups, read and written again. `None` where it is none of this version.
pub fn group_record(key: &[u8], value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let given = StateRecord {
        key: Bytes::copy_from_slice(key),
        value: Some(Bytes::copy_from_slice(value)),
    };
    let written = match record::decode(&given).ok()? {
        record::Stored::Group(id, stored) => record::group(&id, &stored),
        record::Stored::Offset(id, topic, partition, committed) => {
            record::offset(&id, topic, partition, &committed)
        }
    };
    Some((written.key.to_vec(), written.value.unwrap_or_default().to_vec()))
}

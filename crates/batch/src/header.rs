//! The fixed part of a batch. All integers are big-endian; the CRC covers everything from the attributes to the end.
//!
//! ```text
//!  0        8            12             16    17    21          23
//!  +--------+------------+--------------+-----+-----+-----------+-------------------+
//!  | base   | batch      | partition    | mag | crc | attri-    | last offset delta |
//!  | offset | length i32 | leader epoch | ic  | u32 | butes i16 | i32               |
//!  +--------+------------+--------------+-----+-----+-----------+-------------------+
//!  27               35              43            51               53              57             61
//!  +----------------+---------------+-------------+----------------+---------------+--------------+---------
//!  | base timestamp | max timestamp | producer id | producer epoch | base sequence | record count | records
//!  | i64, ms        | i64, ms       | i64         | i16            | i32           | i32          | ...
//!  +----------------+---------------+-------------+----------------+---------------+--------------+---------
//! ```
//!
//! Batch length counts what follows it, so a whole batch has 12 bytes more. Attributes: bits 0-2 compression, 3
//! timestamp type, 4 transactional, 5 control, 6 the base timestamp is a delete horizon (KIP-534).
//!
//! <https://kafka.apache.org/documentation/#recordbatch>

use bytes::{Buf, BufMut};

use crate::{Compression, Error};

/// Bytes of a batch before its records.
pub const HEADER_LEN: usize = 61;
/// Bytes of a batch that its length field does not count: the base offset and the length itself.
pub const LOG_OVERHEAD: usize = 12;
/// The leader epoch of a batch that no leader has taken yet.
pub const NO_EPOCH: i32 = -1;
/// The producer id of a producer that is neither idempotent nor transactional.
pub const NO_PRODUCER_ID: i64 = -1;
pub const NO_PRODUCER_EPOCH: i16 = -1;
pub const NO_SEQUENCE: i32 = -1;
/// The timestamp of a record that has none.
pub const NO_TIMESTAMP: i64 = -1;

pub(crate) const MAGIC: i8 = 2;
pub(crate) const CRC_AT: usize = 17;
pub(crate) const CRC_COVERS_FROM: usize = 21;
const LEADER_EPOCH_AT: usize = 12;
/// The least value of the length field: a header without records.
const BATCH_LENGTH_MIN: i32 = 49;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub base_offset: i64,
    /// Bytes that follow the length field. See [`Header::total_len`].
    pub batch_length: i32,
    pub partition_leader_epoch: i32,
    pub magic: i8,
    pub crc: u32,
    pub attributes: Attributes,
    pub last_offset_delta: i32,
    /// What the records' timestamp deltas count from. It is the first one's timestamp, unless compaction left that one
    /// out, or it is a delete horizon ([`Header::delete_horizon_ms`]).
    pub base_timestamp: i64,
    /// The greatest timestamp of the records, on the producer's word; or the time of the append.
    pub max_timestamp: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub record_count: i32,
}

impl Header {
    /// Reads the header at the start of `bytes`, which may go on. Checks only what a reader needs to walk on safely:
    /// the magic, a length that holds the header, and a last offset that is not before the base offset.
    #[inline]
    pub fn decode(bytes: &[u8]) -> Result<Header, Error> {
        let Some(fixed) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err(incomplete_header(bytes));
        };
        // Each `get` below is within these 61 bytes, which the compiler can see.
        let mut fields = fixed.as_slice();
        let header = Header {
            base_offset: fields.get_i64(),
            batch_length: fields.get_i32(),
            partition_leader_epoch: fields.get_i32(),
            magic: fields.get_i8(),
            crc: fields.get_u32(),
            attributes: Attributes(fields.get_i16()),
            last_offset_delta: fields.get_i32(),
            base_timestamp: fields.get_i64(),
            max_timestamp: fields.get_i64(),
            producer_id: fields.get_i64(),
            producer_epoch: fields.get_i16(),
            base_sequence: fields.get_i32(),
            record_count: fields.get_i32(),
        };
        if header.magic != MAGIC {
            return Err(Error::UnsupportedMagic(header.magic));
        }
        if header.batch_length < BATCH_LENGTH_MIN {
            return Err(Error::Malformed {
                what: "batch length below 49",
                value: header.batch_length.into(),
            });
        }
        if header.last_offset_delta < 0 {
            return Err(Error::Malformed {
                what: "last offset delta below 0",
                value: header.last_offset_delta.into(),
            });
        }
        Ok(header)
    }

    /// Writes all fields as they are; the checksum is the caller's to compute.
    pub fn encode(&self, out: &mut [u8; HEADER_LEN]) {
        let mut out = out.as_mut_slice();
        out.put_i64(self.base_offset);
        out.put_i32(self.batch_length);
        out.put_i32(self.partition_leader_epoch);
        out.put_i8(self.magic);
        out.put_u32(self.crc);
        out.put_i16(self.attributes.0);
        out.put_i32(self.last_offset_delta);
        out.put_i64(self.base_timestamp);
        out.put_i64(self.max_timestamp);
        out.put_i64(self.producer_id);
        out.put_i16(self.producer_epoch);
        out.put_i32(self.base_sequence);
        out.put_i32(self.record_count);
    }

    /// Bytes of the whole batch: the length field and what is before it included.
    #[inline]
    pub fn total_len(&self) -> usize {
        usize::try_from(self.batch_length)
            .unwrap_or(0)
            .saturating_add(LOG_OVERHEAD)
    }

    /// The offset that the batch's last record has, or had before compaction removed it.
    #[inline]
    pub fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(self.last_offset_delta.into())
    }

    /// The offset after this batch.
    #[inline]
    pub fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    /// Until when compaction keeps the batch's tombstones, in milliseconds since 1970, once it has said so (KIP-534). It
    /// lies where the base timestamp does, and the records' deltas count from it.
    pub fn delete_horizon_ms(&self) -> Option<i64> {
        self.attributes
            .has_delete_horizon()
            .then_some(self.base_timestamp)
    }

    pub fn has_producer_id(&self) -> bool {
        self.producer_id > NO_PRODUCER_ID
    }

    /// The sequence of the last record; after 2^31 - 1 comes 0. [`NO_SEQUENCE`] if the batch has no sequence.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return NO_SEQUENCE;
        }
        // Both are not negative, so the wrapped sum differs from the wanted one by the sign bit alone.
        self.base_sequence.wrapping_add(self.last_offset_delta) & i32::MAX
    }
}

/// Tells a batch of an older format apart even when it is shorter than a v2 header: its magic is at the same place.
#[cold]
fn incomplete_header(bytes: &[u8]) -> Error {
    match bytes.get(16).map(|&magic| i8::from_be_bytes([magic])) {
        Some(magic) if magic != MAGIC => Error::UnsupportedMagic(magic),
        _ => Error::Incomplete {
            needed: HEADER_LEN,
            available: bytes.len(),
        },
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes(pub i16);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampType {
    /// Each record has the time that its producer gave it.
    #[default]
    CreateTime,
    /// All records have the batch's max timestamp, the time at which the broker took them.
    LogAppendTime,
}

impl Attributes {
    const COMPRESSION: i16 = 0x07;
    const LOG_APPEND_TIME: i16 = 0x08;
    const TRANSACTIONAL: i16 = 0x10;
    const CONTROL: i16 = 0x20;
    const DELETE_HORIZON: i16 = 0x40;

    /// [`Error::UnsupportedCompression`] for the codes 5 to 7, which nothing defines.
    pub fn compression(self) -> Result<Compression, Error> {
        let code = self.0 & Attributes::COMPRESSION;
        Compression::from_code(code).ok_or(Error::UnsupportedCompression(code))
    }

    pub fn timestamp_type(self) -> TimestampType {
        if self.0 & Attributes::LOG_APPEND_TIME == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    pub fn is_transactional(self) -> bool {
        self.0 & Attributes::TRANSACTIONAL != 0
    }

    /// A batch that carries a transaction's marker instead of messages.
    pub fn is_control(self) -> bool {
        self.0 & Attributes::CONTROL != 0
    }

    /// The base timestamp is the time after which compaction may drop the batch's tombstones (KIP-534).
    pub fn has_delete_horizon(self) -> bool {
        self.0 & Attributes::DELETE_HORIZON != 0
    }

    #[must_use]
    pub(crate) fn with_delete_horizon(self) -> Attributes {
        Attributes(self.0 | Attributes::DELETE_HORIZON)
    }

    #[must_use]
    pub fn with_compression(self, compression: Compression) -> Attributes {
        Attributes(self.0 & !Attributes::COMPRESSION | compression.code())
    }

    #[must_use]
    pub fn with_timestamp_type(self, timestamp_type: TimestampType) -> Attributes {
        match timestamp_type {
            TimestampType::CreateTime => Attributes(self.0 & !Attributes::LOG_APPEND_TIME),
            TimestampType::LogAppendTime => Attributes(self.0 | Attributes::LOG_APPEND_TIME),
        }
    }

    #[must_use]
    pub fn with_transactional(self, transactional: bool) -> Attributes {
        if transactional {
            Attributes(self.0 | Attributes::TRANSACTIONAL)
        } else {
            Attributes(self.0 & !Attributes::TRANSACTIONAL)
        }
    }
}

/// Gives the batch at the start of `batch` its place in the log: the 12 bytes that its checksum does not cover.
///
/// Panics if `batch` is shorter than [`HEADER_LEN`]: whoever assigns has validated.
#[inline]
pub fn assign(batch: &mut [u8], base_offset: i64, leader_epoch: i32) {
    assert!(
        batch.len() >= HEADER_LEN,
        "assign: {} bytes are no batch",
        batch.len()
    );
    put(batch, 0, &base_offset.to_be_bytes());
    put(batch, LEADER_EPOCH_AT, &leader_epoch.to_be_bytes());
}

/// Overwrites a field within a header whose presence the caller has checked.
pub(crate) fn put(header: &mut [u8], at: usize, field: &[u8]) {
    if let Some(place) = header.get_mut(at..at.saturating_add(field.len())) {
        place.copy_from_slice(field);
    }
}

#[cfg(test)]
mod tests;

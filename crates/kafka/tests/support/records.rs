//! Batches as producers send them, good and bad.

use bytes::{Bytes, BytesMut};
use firth_batch::{Builder, Compression, HEADER_LEN, Header, crc32c};

use super::NOW_MS;

/// A batch of these values, one millisecond after the other.
pub(crate) fn batch(values: &[&str]) -> Bytes {
    build(Builder::new(Compression::None), values)
}

pub(crate) fn compressed(values: &[&str], compression: Compression) -> Bytes {
    build(Builder::new(compression), values)
}

/// A batch of an idempotent producer.
pub(crate) fn sequenced(values: &[&str], producer_id: i64, epoch: i16, sequence: i32) -> Bytes {
    build(
        Builder::new(Compression::None).producer(producer_id, epoch, sequence),
        values,
    )
}

pub(crate) fn build(mut builder: Builder, values: &[&str]) -> Bytes {
    for (at, value) in (0..).zip(values) {
        builder.push(NOW_MS + at, None, Some(value.as_bytes()), &[]);
    }
    builder.build().into_bytes()
}

/// A batch of records `key:value`. One without a colon has no key, and `key:` has no value.
pub(crate) fn keyed(records: &[&str], compression: Compression) -> Bytes {
    let mut builder = Builder::new(compression);
    for (at, record) in (0..).zip(records) {
        let (key, value) = match record.split_once(':') {
            Some((key, value)) => (
                Some(key.as_bytes()),
                Some(value).filter(|value| !value.is_empty()),
            ),
            None => (None, Some(*record)),
        };
        builder.push(NOW_MS + at, key, value.map(str::as_bytes), &[]);
    }
    builder.build().into_bytes()
}

/// A small batch with more in it than is ever opened.
pub(crate) fn bomb(compression: Compression) -> Bytes {
    let zeroes = vec![0; 40 << 20];
    let mut builder = Builder::new(compression);
    builder.push(NOW_MS, Some(b"k"), Some(&zeroes), &[]);
    builder.build().into_bytes()
}

/// The batch with another header and a checksum that is right.
pub(crate) fn with_header(batch: &Bytes, change: impl FnOnce(&mut Header)) -> Bytes {
    let mut header = Header::decode(batch).unwrap();
    change(&mut header);
    let mut bytes = BytesMut::from(batch.as_ref());
    header.encode(bytes.first_chunk_mut::<HEADER_LEN>().unwrap());
    let crc = crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.freeze()
}

/// The batch with one bit of its last byte turned.
pub(crate) fn corrupt(batch: &Bytes) -> Bytes {
    let mut bytes = BytesMut::from(batch.as_ref());
    *bytes.last_mut().unwrap() ^= 1;
    bytes.freeze()
}

/// A message set of the format before batches, which has its magic at the same place.
pub(crate) fn message_format_1() -> Bytes {
    let mut bytes = BytesMut::zeroed(34);
    bytes[8..12].copy_from_slice(&22_i32.to_be_bytes());
    bytes[16] = 1;
    bytes.freeze()
}

//! The checksum around a value: see the layout at the head of [`super`].

use firth_batch::Crc32c;

use super::{Error, VALUE_BYTES_MAX};

const CHECKSUM_LEN: usize = 4;

pub(super) fn encode(key: &[u8], content: &[u8]) -> Vec<u8> {
    assert!(
        content.len() <= VALUE_BYTES_MAX,
        "key {}: {} bytes are too many",
        key.escape_ascii(),
        content.len()
    );
    let mut stored = Vec::with_capacity(CHECKSUM_LEN + content.len());
    stored.extend_from_slice(&checksum(key, content));
    stored.extend_from_slice(content);
    stored
}

pub(super) fn decode<'a>(key: &[u8], stored: &'a [u8]) -> Result<&'a [u8], Error> {
    match stored.split_first_chunk::<CHECKSUM_LEN>() {
        Some((expected, content)) if *expected == checksum(key, content) => Ok(content),
        _ => Err(Error::DamagedValue { key: key.to_vec() }),
    }
}

fn checksum(key: &[u8], content: &[u8]) -> [u8; CHECKSUM_LEN] {
    let mut crc = Crc32c::new();
    crc.update(key);
    crc.update(content);
    crc.value().to_le_bytes()
}

//! RecordBatch v2, as much of it as a driver needs: it encodes one batch and sends the same bytes for ever, since neither the
//! base offset nor the leader epoch is under the CRC, and it walks the heads of batches that it fetched.
//!
//! ```text
//!  0 base_offset i64        8 batch_length i32      12 leader_epoch i32      16 magic i8 = 2       17 crc u32 (of 21..)
//! 21 attributes i16        23 last_offset_delta i32 27 base_timestamp i64    35 max_timestamp i64  43 producer_id i64
//! 51 producer_epoch i16    53 base_sequence i32     57 records_count i32     61 records
//! record: length varint | attributes i8 | timestamp_delta varint | offset_delta varint | key | value | headers varint
//! key, value: length varint, -1 for null | bytes
//! ```

use anyhow::{Context, Result, ensure};

use crate::wire::{Decoder, Encoder};

pub(crate) const HEAD_BYTES: usize = 61;
/// What `batch_length` does not count: itself and the base offset.
const LENGTH_PREFIX_BYTES: usize = 12;
const CRC_AT: usize = 17;
const CRC_FROM: usize = 21;
const BASE_TIMESTAMP_AT: usize = 27;
const MAX_TIMESTAMP_AT: usize = 35;

/// One batch of equal records with a payload that does not compress.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    pub(crate) records: u64,
    pub(crate) payload_bytes: u64,
    last_value_at: usize,
}

impl Batch {
    /// As many records of `record_bytes` as fit into `batch_bytes`, but at least one.
    pub(crate) fn filled(record_bytes: usize, batch_bytes: usize, timestamp_ms: i64) -> Self {
        let value = incompressible(record_bytes);
        let records = std::iter::repeat((None, Some(&value[..])));
        Self::of(records, batch_bytes, timestamp_ms)
    }

    /// As many of these keys as fit into `batch_bytes`, but at least one; those that are kept have a value of
    /// `record_bytes`, the others none, which deletes them.
    pub(crate) fn keyed(
        keys: impl Iterator<Item = (u64, bool)>,
        record_bytes: usize,
        batch_bytes: usize,
        timestamp_ms: i64,
    ) -> Self {
        let value = incompressible(record_bytes);
        let keys: Vec<([u8; 8], bool)> = keys
            .take(batch_bytes / record_bytes.max(1) + 1)
            .map(|(key, is_kept)| (key.to_be_bytes(), is_kept))
            .collect();
        let records = keys
            .iter()
            .map(|(key, is_kept)| (Some(&key[..]), is_kept.then_some(&value[..])));
        Self::of(records, batch_bytes, timestamp_ms)
    }

    /// The first of these keys and values, which are more than fit.
    fn of<'a>(
        pairs: impl Iterator<Item = (Option<&'a [u8]>, Option<&'a [u8]>)>,
        batch_bytes: usize,
        timestamp_ms: i64,
    ) -> Self {
        let mut records = Vec::new();
        let mut count = 0;
        let mut payload_bytes = 0;
        let mut last_value_at = 0;
        for (key, value) in pairs {
            let record = record(count, key, value);
            if count > 0 && HEAD_BYTES + records.len() + record.len() > batch_bytes {
                break;
            }
            records.extend_from_slice(&record);
            let value_bytes = value.map_or(0, <[u8]>::len);
            payload_bytes += value_bytes as u64;
            // The header count, one byte of zero, is behind the value.
            last_value_at = HEAD_BYTES + records.len() - 1 - value_bytes;
            count += 1;
        }
        let mut head = Encoder::default();
        head.i64(0)
            .i32((HEAD_BYTES - LENGTH_PREFIX_BYTES + records.len()) as i32)
            .i32(-1)
            .u8(2)
            .i32(0);
        head.i16(0)
            .i32(count - 1)
            .i64(timestamp_ms)
            .i64(timestamp_ms)
            .i64(-1)
            .i16(-1)
            .i32(-1)
            .i32(count);
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&records);
        let mut batch = Self {
            bytes,
            records: count as u64,
            payload_bytes,
            last_value_at,
        };
        batch.seal();
        batch
    }

    /// Gives all records another time, for which retention takes them.
    pub(crate) fn date(&mut self, timestamp_ms: i64) {
        let timestamp = timestamp_ms.to_be_bytes();
        self.bytes[BASE_TIMESTAMP_AT..BASE_TIMESTAMP_AT + 8].copy_from_slice(&timestamp);
        self.bytes[MAX_TIMESTAMP_AT..MAX_TIMESTAMP_AT + 8].copy_from_slice(&timestamp);
        self.seal();
    }

    /// Puts `stamp` into the first 8 bytes of the last record's value.
    pub(crate) fn stamp(&mut self, stamp: u64) {
        self.bytes[self.last_value_at..self.last_value_at + 8].copy_from_slice(&stamp.to_be_bytes());
        self.seal();
    }

    /// The stamp in `stored`, a batch of the same shape as this one.
    pub(crate) fn stamp_of(&self, stored: &[u8]) -> Result<u64> {
        ensure!(
            stored.len() == self.bytes.len(),
            "a fetched batch has {} bytes",
            stored.len()
        );
        Ok(Decoder::new(&stored[self.last_value_at..]).i64()? as u64)
    }

    fn seal(&mut self) {
        let crc = crc_fast::crc32_iscsi(&self.bytes[CRC_FROM..]);
        self.bytes[CRC_AT..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
    }
}

fn record(offset_delta: i32, key: Option<&[u8]>, value: Option<&[u8]>) -> Vec<u8> {
    let mut body = Encoder::default();
    body.u8(0).varint(0).varint(offset_delta);
    for bytes in [key, value] {
        match bytes {
            Some(bytes) => body.varint(bytes.len() as i32).raw(bytes),
            None => body.varint(-1),
        };
    }
    body.varint(0);
    let body = body.into_bytes();
    let mut record = Encoder::default();
    record.varint(body.len() as i32).raw(&body);
    record.into_bytes()
}

/// xorshift64*: the same bytes in every run, which no compression in a disk's path makes smaller.
fn incompressible(n: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(n + 8);
    while bytes.len() < n {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes());
    }
    bytes.truncate(n);
    bytes
}

/// What a driver checks of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head<'a> {
    pub(crate) base_offset: i64,
    pub(crate) last_offset_delta: i32,
    pub(crate) records: i32,
    pub(crate) bytes: &'a [u8],
}

impl<'a> Head<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self> {
        let mut decoder = Decoder::new(bytes);
        let base_offset = decoder.i64()?;
        let length = decoder.i32()?;
        decoder.i32()?;
        let magic = decoder.u8()?;
        ensure!(magic == 2, "a batch has magic {magic}");
        ensure!(
            length as usize == bytes.len() - LENGTH_PREFIX_BYTES && bytes.len() >= HEAD_BYTES,
            "a batch of {} bytes claims {length}",
            bytes.len()
        );
        let mut decoder = Decoder::new(&bytes[23..]);
        let last_offset_delta = decoder.i32()?;
        let mut decoder = Decoder::new(&bytes[57..]);
        let records = decoder.i32()?;
        Ok(Self {
            base_offset,
            last_offset_delta,
            records,
            bytes,
        })
    }

    pub(crate) fn check_crc(&self) -> Result<()> {
        let stored = Decoder::new(&self.bytes[CRC_AT..]).i32()? as u32;
        let computed = crc_fast::crc32_iscsi(&self.bytes[CRC_FROM..]);
        ensure!(
            stored == computed,
            "a batch carries CRC {stored:08x}, its bytes have {computed:08x}"
        );
        Ok(())
    }
}

/// The whole batches in `records`; a broker may cut the last one off, which ends the walk.
pub(crate) fn walk(mut records: &[u8]) -> impl Iterator<Item = Result<Head<'_>>> {
    std::iter::from_fn(move || {
        let length = i32::from_be_bytes(*records.get(8..12)?.first_chunk()?);
        let Ok(length) = usize::try_from(length).context("a batch has a negative length") else {
            let broken = Head::parse(records);
            records = &[];
            return Some(broken);
        };
        let (batch, rest) = records.split_at_checked(length + LENGTH_PREFIX_BYTES)?;
        records = rest;
        Some(Head::parse(batch))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_filled_up_to_its_bytes_and_checks_out() {
        let batch = Batch::filled(1024, 16 * 1024, 1_700_000_000_000);
        assert_eq!(batch.records, 15);
        assert!(batch.bytes.len() <= 16 * 1024);
        let head = Head::parse(&batch.bytes).unwrap();
        head.check_crc().unwrap();
        assert_eq!((head.records, head.last_offset_delta), (15, 14));
    }

    #[test]
    fn a_stamp_is_read_back_and_keeps_the_crc_right() {
        let mut batch = Batch::filled(100, 0, 0);
        assert_eq!(batch.records, 1);
        batch.stamp(0x0102_0304_0506_0708);
        Head::parse(&batch.bytes).unwrap().check_crc().unwrap();
        assert_eq!(batch.stamp_of(&batch.bytes).unwrap(), 0x0102_0304_0506_0708);
    }

    #[test]
    fn keyed_batches_carry_their_keys_and_another_time_keeps_the_crc_right() {
        let mut batch = Batch::keyed((40..).map(|key| (key, key != 42)), 100, 400, 0);
        assert_eq!((batch.records, batch.payload_bytes), (3, 200));
        let key = 41_u64.to_be_bytes();
        assert!(batch.bytes.windows(8).any(|bytes| bytes == key));
        batch.date(1_700_000_000_000);
        let head = Head::parse(&batch.bytes).unwrap();
        head.check_crc().unwrap();
        assert_eq!(head.records, 3);
    }

    #[test]
    fn a_walk_ends_at_a_batch_that_was_cut_off_and_reports_a_corrupt_one() {
        let batch = Batch::filled(10, 0, 0);
        let mut bytes = batch.bytes.repeat(3);
        bytes.truncate(bytes.len() - 1);
        assert_eq!(walk(&bytes).map(|head| head.unwrap().records).sum::<i32>(), 2);
        bytes[16] = 1;
        assert!(walk(&bytes).next().unwrap().is_err());
    }
}

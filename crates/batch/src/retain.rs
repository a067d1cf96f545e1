//! One batch with some of its records left out: what key compaction does to the batches that it opens.
//!
//! What remains keeps its place: base offset, last offset delta, leader epoch, producer id, epoch and base sequence stay,
//! so that the batch covers the offsets and sequences that it covered, as do the records' own offsets and timestamps. The
//! record count becomes the real one, and so does the greatest timestamp, unless it is the time of the append.
//!
//! The first time that compaction keeps a tombstone it says until when (KIP-534): bit 6 of the attributes is set, the
//! base timestamp holds that moment, the delete horizon, and the records' timestamp deltas count from it. A client
//! adds base and delta without a look at bit 6 and gets the timestamps that the records had.

use std::ops::Range;

use bytes::Bytes;

use crate::batch::seal;
use crate::compression::compress_into;
use crate::varint::{self, read_i32, read_i64};
use crate::{
    Batch, Compression, Error, HEADER_LEN, Header, LOG_OVERHEAD, NO_TIMESTAMP, Record, Records, TimestampType,
};

/// What becomes of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retained {
    /// None of its records stays. It is also the answer for a batch that has none.
    Nothing,
    /// All stay as they are: the batch can be kept byte for byte.
    Unchanged,
    /// Fewer records, or the same ones under a delete horizon that the batch did not have.
    Rewritten(Batch),
}

/// Keeps the records of `batch` for which `keep`, called once for each in their order, says so.
///
/// `delete_horizon_ms` is what a batch gets that keeps a tombstone and has no delete horizon yet; one that has it
/// keeps it ([`Header::delete_horizon_ms`]). None leaves the batch without.
///
/// Control batches are not opened: their records are a transaction's and no messages, so they stay unchanged.
///
/// Compressed records are decompressed to at most `decompressed_bytes_max`. While the batch is rewritten, about twice
/// that is held beside the batch and the result; with the smallest records there are, of seven bytes, up to five times.
///
/// # Errors
/// Those of [`Batch::records`] and of its records; and [`Error::Malformed`] for a timestamp that no delta from the
/// delete horizon reaches. Nothing is known then about the records that could not be read: keep the batch as it is.
pub fn retain(
    batch: &Batch,
    decompressed_bytes_max: usize,
    delete_horizon_ms: Option<i64>,
    keep: impl FnMut(&Record<'_>) -> bool,
) -> Result<Retained, Error> {
    let header = batch.header();
    if header.attributes.is_control() {
        return Ok(Retained::Unchanged);
    }
    let records = batch.records(decompressed_bytes_max)?;
    let kept = Kept::choose(&records, keep)?;
    if kept.count == 0 {
        return Ok(Retained::Nothing);
    }
    let horizon = delete_horizon_ms.filter(|_| kept.tombstone && header.delete_horizon_ms().is_none());
    if kept.count == header.record_count && horizon.is_none() {
        return Ok(Retained::Unchanged);
    }
    kept.into_batch(&records, horizon).map(Retained::Rewritten)
}

/// The records of a batch that stay.
struct Kept {
    /// Where they are in the decompressed records. Neighbours are one run.
    runs: Vec<Range<usize>>,
    count: i32,
    max_timestamp: i64,
    tombstone: bool,
}

impl Kept {
    fn choose(records: &Records, mut keep: impl FnMut(&Record<'_>) -> bool) -> Result<Kept, Error> {
        let mut kept = Kept {
            runs: Vec::new(),
            count: 0,
            max_timestamp: NO_TIMESTAMP,
            tombstone: false,
        };
        let mut iter = records.iter();
        let mut start = 0;
        while let Some(record) = iter.next() {
            let record = record?;
            let end = records.uncompressed_len().saturating_sub(iter.rest().len());
            if keep(&record) {
                kept.add(&record, start..end);
            }
            start = end;
        }
        Ok(kept)
    }

    fn add(&mut self, record: &Record<'_>, place: Range<usize>) {
        match self.runs.last_mut() {
            Some(run) if run.end == place.start => run.end = place.end,
            _ => self.runs.push(place),
        }
        self.count = self.count.saturating_add(1);
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
        self.tombstone |= record.value.is_none();
    }

    fn into_batch(self, records: &Records, new_horizon: Option<i64>) -> Result<Batch, Error> {
        let mut header = *records.header();
        header.record_count = self.count;
        if header.attributes.timestamp_type() == TimestampType::CreateTime {
            header.max_timestamp = self.max_timestamp;
        }
        let mut kept = vec![0; HEADER_LEN];
        for run in self.runs {
            let run = records.bytes().get(run).unwrap_or_default();
            match new_horizon {
                None => kept.extend_from_slice(run),
                Some(horizon) => copy_rebased(run, header.base_timestamp, horizon, &mut kept)?,
            }
        }
        if let Some(horizon) = new_horizon {
            header.attributes = header.attributes.with_delete_horizon();
            header.base_timestamp = horizon;
        }
        assemble(header, kept)
    }
}

/// Copies whole records, which were read before, so that their timestamp deltas count from `to` instead of `from`.
fn copy_rebased(mut records: &[u8], from: i64, to: i64, out: &mut Vec<u8>) -> Result<(), Error> {
    const DELTA: &str = "record timestamp delta";
    while !records.is_empty() {
        let len = usize::try_from(read_i32(&mut records, "record length")?).unwrap_or(0);
        let (mut body, rest) = records.split_at_checked(len).unwrap_or_default();
        records = rest;
        let (attributes, after) = body.split_at_checked(1).unwrap_or_default();
        body = after;
        let delta = read_i64(&mut body, DELTA)?;
        let rebased = from.checked_sub(to).and_then(|shift| delta.checked_add(shift));
        let rebased = rebased.ok_or(Error::Malformed {
            what: "record timestamp delta from the delete horizon",
            value: delta,
        })?;

        let fields = [attributes.len(), varint::len(rebased), body.len()];
        let len = fields.into_iter().fold(0, usize::saturating_add);
        varint::write(out, i32::try_from(len).map_err(too_large)?.into());
        out.extend_from_slice(attributes);
        varint::write(out, rebased);
        out.extend_from_slice(body);
    }
    Ok(())
}

/// A batch of `records`, which lie after room for the header, compressed as the header says.
pub(crate) fn assemble(mut header: Header, records: Vec<u8>) -> Result<Batch, Error> {
    let mut bytes = match header.attributes.compression()? {
        Compression::None => records,
        codec => {
            let (room, records) = records.split_at_checked(HEADER_LEN).unwrap_or_default();
            let mut bytes = room.to_vec();
            compress_into(codec, records, &mut bytes);
            bytes
        }
    };
    header.batch_length = i32::try_from(bytes.len().saturating_sub(LOG_OVERHEAD)).map_err(too_large)?;
    if let Some(place) = bytes.first_chunk_mut::<HEADER_LEN>() {
        header.encode(place);
    }
    header.crc = seal(&mut bytes);
    Ok(Batch::assembled(header, Bytes::from(bytes)))
}

/// What no length field of a batch can hold.
fn too_large(_: std::num::TryFromIntError) -> Error {
    Error::TooLarge {
        limit: i32::MAX as usize,
    }
}

#[cfg(test)]
mod tests;

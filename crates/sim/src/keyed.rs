//! Logs of which the latest record of each key is kept.
//!
//! - A record that is there is the one that was submitted at its offset.
//! - One that is missing lies below what the log is compacted to, and a later one has its key.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use firth_batch::Batch;
use firth_log::Bounds;

use crate::model::LogModel;

/// Far more than a batch of a run has.
const RECORDS_BYTES_MAX: usize = 1 << 20;

type Record = (Option<Vec<u8>>, Option<Vec<u8>>);

/// The keys and values of a batch, by offset.
fn records(batch: Bytes) -> Result<BTreeMap<i64, Record>, String> {
    let batch = Batch::stored(batch).map_err(|error| error.to_string())?;
    let records = batch
        .records(RECORDS_BYTES_MAX)
        .map_err(|error| error.to_string())?;
    let parts = |record: firth_batch::Record<'_>| {
        let owned = |part: Option<&[u8]>| part.map(<[u8]>::to_vec);
        (record.offset, (owned(record.key), owned(record.value)))
    };
    let records = records.iter().map(|record| record.map(parts));
    records
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())
}

/// Whether what is left of a batch is of what was submitted.
pub(crate) fn is_of(submitted: &Bytes, left: &Bytes) -> Result<bool, String> {
    let (submitted, left) = (records(submitted.clone())?, records(left.clone())?);
    Ok(left
        .iter()
        .all(|(offset, record)| submitted.get(offset) == Some(record)))
}

/// Checks all batches that a log has.
pub(crate) fn check(
    log: &LogModel,
    bounds: Bounds,
    compacted_to: i64,
    batches: &BTreeMap<i64, Bytes>,
) -> Result<(), String> {
    let mut there = BTreeMap::new();
    for (base_offset, batch) in batches {
        let records = records(batch.clone()).map_err(|error| format!("offset {base_offset}: {error}"))?;
        there.extend(records);
    }
    let mut later_keys = BTreeSet::new();
    for (base_offset, batch) in log.batches.range(..bounds.end).rev() {
        let submitted =
            records(batch.bytes.clone()).map_err(|error| format!("submitted at {base_offset}: {error}"))?;
        for (offset, record) in submitted.into_iter().rev() {
            let may_be_missing =
                offset < bounds.start || (offset < compacted_to && later_keys.contains(&record.0));
            match there.remove(&offset) {
                Some(found) if found != record => {
                    return Err(format!("offset {offset} has another record than was submitted"));
                }
                None if !may_be_missing => {
                    return Err(format!(
                        "the record at {offset} is missing in {bounds:?}, which is compacted to {compacted_to}"
                    ));
                }
                _ => {}
            }
            later_keys.insert(record.0);
        }
    }
    match there.keys().next() {
        Some(offset) => Err(format!("nothing was submitted at offset {offset}")),
        None => Ok(()),
    }
}

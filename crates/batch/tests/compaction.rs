//! A log that is compacted again and again, as the two passes of key compaction do it, says the same as it did before.
#![allow(clippy::unwrap_used, reason = "this is a test")]

use std::collections::{BTreeMap, HashMap};

use bytes::BytesMut;
use firth_batch::{Batch, Builder, Compression, LatestOffsets, Retained, assign, retain};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const LIMIT: usize = 1024 * 1024;
/// How long tombstones are kept, in the same unit as the times of the passes.
const DELETE_RETENTION: i64 = 50;

/// Key and value; none of them is a tombstone, or has no key.
type Content = (Option<Vec<u8>>, Option<Vec<u8>>);

/// Timestamp, key and value by offset.
type Replay = BTreeMap<i64, (i64, Content)>;

fn content() -> impl Strategy<Value = Content> {
    let key = prop_oneof![9 => (0..6u8).prop_map(|key| Some(vec![key])), 1 => Just(None)];
    let value = prop_oneof![3 => vec(any::<u8>(), 0..40).prop_map(Some), 2 => Just(None)];
    (key, value)
}

/// A log of batches, of which each is at the offset after the one before it.
fn log() -> impl Strategy<Value = Vec<Batch>> {
    let batch = (select(Compression::ALL.as_slice()), vec(content(), 1..8));
    vec(batch, 1..16).prop_map(|batches| {
        let mut next = 1000;
        let mut log = Vec::new();
        for (codec, records) in batches {
            let mut builder = Builder::new(codec);
            for (index, (key, value)) in (0..).zip(&records) {
                builder.push(next + index, key.as_deref(), value.as_deref(), &[]);
            }
            let mut bytes = BytesMut::from(builder.build().bytes().as_ref());
            assign(&mut bytes, next, 0);
            let batch = Batch::stored(bytes.freeze()).unwrap();
            next = batch.header().next_offset();
            log.push(batch);
        }
        log
    })
}

fn replay(log: &[Batch]) -> Replay {
    let mut replay = Replay::new();
    for batch in log {
        for record in &batch.records(LIMIT).unwrap() {
            let record = record.unwrap();
            let content = (record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec));
            replay.insert(record.offset, (record.timestamp, content));
        }
    }
    replay
}

/// What somebody knows who read all of it.
fn table(replay: &Replay) -> HashMap<&[u8], &[u8]> {
    let mut table = HashMap::new();
    for (_, (key, value)) in replay.values() {
        match (key, value) {
            (Some(key), Some(value)) => table.insert(key.as_slice(), value.as_slice()),
            (Some(key), None) => table.remove(key.as_slice()),
            (None, _) => None,
        };
    }
    table
}

/// Compacts what is below the offset `to`; what is below `from` was compacted before.
fn compact(log: &mut Vec<Batch>, from: i64, to: i64, now: i64) {
    let mut latest = LatestOffsets::new(1 << 20, 1000, [3; 16]);
    let dirty = |batch: &&Batch| (from..to).contains(&batch.header().base_offset);
    for batch in log.iter().filter(dirty) {
        for record in &batch.records(LIMIT).unwrap() {
            let record = record.unwrap();
            if let Some(key) = record.key {
                latest.insert(key, record.offset).unwrap();
            }
        }
    }
    let compacted = log.drain(..).filter_map(|batch| {
        if batch.header().base_offset >= to {
            return Some(batch);
        }
        let header = *batch.header();
        let horizon = Some(now + DELETE_RETENTION);
        let retained = retain(&batch, LIMIT, horizon, |record| {
            latest.keeps(&header, record, now)
        });
        match retained.unwrap() {
            Retained::Nothing => None,
            Retained::Unchanged => Some(batch),
            Retained::Rewritten(rewritten) => Some(rewritten),
        }
    });
    *log = compacted.collect();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whoever_reads_the_compacted_log_knows_the_same(original in log(), passes in vec((0..6usize, 1..80i64), 1..6)) {
        let full = replay(&original);
        let (mut log, mut now, mut compacted) = (original.clone(), 1_000_000, 0);
        // When each tombstone was met first.
        let mut met: HashMap<i64, i64> = HashMap::new();
        for (batches, passed) in passes {
            now += passed;
            let (from, before) = (original[compacted].header().base_offset, replay(&log));
            compacted = (compacted + batches).min(original.len() - 1);
            let to = original[compacted].header().base_offset;
            compact(&mut log, from, to, now);

            let after = replay(&log);
            prop_assert_eq!(table(&after), table(&full));
            for (offset, record) in &after {
                prop_assert_eq!(record, &full[offset], "offset {}", offset);
            }
            for (offset, (_, (key, value))) in &before {
                let of_key = |records: &Replay, from: i64| {
                    records.range(from..to).filter(|(_, (_, (other, _)))| other == key).count()
                };
                if *offset >= to {
                    prop_assert!(after.contains_key(offset), "offset {} was not to be compacted", offset);
                } else if key.is_none() || of_key(&full, offset + 1) > 0 {
                    prop_assert!(!after.contains_key(offset), "offset {} is not the latest", offset);
                } else if value.is_some() {
                    prop_assert!(after.contains_key(offset), "offset {} is the latest", offset);
                } else {
                    let stays = now < *met.entry(*offset).or_insert(now) + DELETE_RETENTION;
                    prop_assert_eq!(after.contains_key(offset), stays, "the tombstone {}", offset);
                }
            }
        }
    }
}

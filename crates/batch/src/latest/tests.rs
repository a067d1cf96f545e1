use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::{Batch, Builder, Compression, Retained, retain};

const SEED: [u8; 16] = *b"drawn at random.";

#[derive(Clone, Debug)]
struct Noted {
    key: Vec<u8>,
    offset: i64,
}

fn noted() -> impl Strategy<Value = Vec<Noted>> {
    // Few bytes, so that keys repeat.
    let key = vec(0..3u8, 0..5);
    let offset = prop_oneof![0..100i64, Just(i64::MAX), any::<i64>().prop_map(|n| n & i64::MAX)];
    vec(
        (key, offset).prop_map(|(key, offset)| Noted { key, offset }),
        0..300,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn it_answers_as_a_map_of_keys_does_until_it_is_full(noted in noted(), keys_max in 0..200usize, seed: [u8; 16]) {
        let mut latest = LatestOffsets::new(usize::MAX, keys_max, seed);
        let mut model: HashMap<Vec<u8>, i64> = HashMap::new();
        for Noted { key, offset } in noted {
            match latest.insert(&key, offset) {
                Ok(()) => {
                    let known = model.entry(key).or_insert(offset);
                    *known = offset.max(*known);
                }
                Err(Full) => {
                    prop_assert!(model.len() >= keys_max, "{} of {} keys", model.len(), keys_max);
                    prop_assert!(!model.contains_key(&key));
                }
            }
        }
        prop_assert_eq!(latest.len(), model.len());
        for (key, offset) in &model {
            prop_assert_eq!(latest.latest(key), Some(*offset));
        }
        prop_assert_eq!(latest.latest(b"never noted"), None);
    }

    #[test]
    fn it_keeps_to_its_bytes(bytes_max in 0..100_000usize) {
        let mut latest = LatestOffsets::new(bytes_max, usize::MAX, SEED);
        prop_assert!(latest.bytes() <= bytes_max);
        prop_assert!(latest.bytes() + SLOT_BYTES > bytes_max);
        let fitting = (0u32..).take_while(|key| latest.insert(&key.to_be_bytes(), 7).is_ok()).count();
        prop_assert_eq!(fitting, keys_in(bytes_max / SLOT_BYTES));
        prop_assert_eq!(latest.insert(b"another", 8), Err(Full));
        if fitting > 0 {
            prop_assert_eq!(latest.insert(&0u32.to_be_bytes(), 9), Ok(()), "a known key needs no room");
            prop_assert_eq!(latest.latest(&0u32.to_be_bytes()), Some(9));
        }
        for key in 1..fitting as u32 {
            prop_assert_eq!(latest.latest(&key.to_be_bytes()), Some(7));
        }
    }
}

#[test]
fn no_more_is_taken_than_the_keys_need() {
    let mut latest = LatestOffsets::new(1 << 30, 1000, SEED);
    assert!(latest.bytes() < 1400 * SLOT_BYTES, "{}", latest.bytes());
    for key in 0..1000u32 {
        assert_eq!(latest.insert(&key.to_be_bytes(), 1), Ok(()));
    }
}

#[test]
fn the_same_key_lies_elsewhere_under_another_seed() {
    let hash = |seed| LatestOffsets::new(0, 0, seed).hash(b"key");
    assert_ne!(hash(SEED), hash([0; 16]));
}

/// Key, value.
fn batch_of(records: &[(Option<&str>, Option<&str>)]) -> Batch {
    let mut builder = Builder::new(Compression::None);
    for (key, value) in records {
        builder.push(1000, key.map(str::as_bytes), value.map(str::as_bytes), &[]);
    }
    builder.build()
}

fn noted_of(batch: &Batch) -> LatestOffsets {
    let mut latest = LatestOffsets::new(usize::MAX, 100, SEED);
    for record in &batch.records(0).unwrap() {
        let record = record.unwrap();
        if let Some(key) = record.key {
            latest.insert(key, record.offset).unwrap();
        }
    }
    latest
}

fn compacted(batch: &Batch, latest: &LatestOffsets, now_ms: i64) -> Retained {
    retain(batch, 0, Some(now_ms + 100), |record| {
        latest.keeps(batch.header(), record, now_ms)
    })
    .unwrap()
}

#[test]
fn the_latest_record_of_each_key_stays_and_a_tombstone_until_its_horizon() {
    let batch = batch_of(&[
        (Some("a"), Some("1")),
        (Some("b"), Some("1")),
        (None, Some("no key")),
        (Some("a"), None),
        (Some("b"), Some("2")),
    ]);
    let latest = noted_of(&batch);
    let Retained::Rewritten(once) = compacted(&batch, &latest, 5000) else {
        panic!("three records go");
    };
    let offsets = |batch: &Batch| -> Vec<i64> {
        let records = batch.records(0).unwrap();
        records.iter().map(|record| record.unwrap().offset).collect()
    };
    assert_eq!(offsets(&once), [3, 4]);
    assert_eq!(once.header().delete_horizon_ms(), Some(5100));

    assert_eq!(compacted(&once, &latest, 5099), Retained::Unchanged);
    let Retained::Rewritten(twice) = compacted(&once, &latest, 5100) else {
        panic!("the tombstone goes");
    };
    assert_eq!(offsets(&twice), [4]);
}

#[test]
fn a_later_record_elsewhere_removes_the_batch() {
    let batch = batch_of(&[(Some("a"), Some("1")), (Some("a"), None)]);
    let mut latest = noted_of(&batch);
    latest.insert(b"a", 100).unwrap();
    assert_eq!(compacted(&batch, &latest, 5000), Retained::Nothing);
}

#[test]
fn a_key_that_was_not_noted_keeps_its_record() {
    let batch = batch_of(&[(Some("a"), Some("1"))]);
    let latest = LatestOffsets::new(0, 0, SEED);
    assert_eq!(compacted(&batch, &latest, 5000), Retained::Unchanged);
}

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

fn record() -> impl Strategy<Value = Record> {
    let log = || any::<u64>().prop_map(LogId);
    let snapshot = (
        any::<u64>(),
        proptest::collection::vec((log(), any::<i64>()), 0..20),
    );
    prop_oneof![
        log().prop_map(|log| Record::Created { log }),
        (log(), any::<i64>()).prop_map(|(log, to)| Record::Trimmed { log, to }),
        log().prop_map(|log| Record::Deleted { log }),
        snapshot.prop_map(|(next_log, logs)| Record::Snapshot { next_log, logs }),
        (log(), any::<i64>(), any::<i64>()).prop_map(|(log, first_offset, next_offset)| Record::Accepted {
            log,
            first_offset,
            next_offset
        }),
    ]
}

/// Records of few logs, so that they meet.
fn step() -> impl Strategy<Value = Record> {
    let log = || (16..20_u64).prop_map(LogId);
    prop_oneof![
        log().prop_map(|log| Record::Created { log }),
        (log(), 0..50_i64).prop_map(|(log, to)| Record::Trimmed { log, to }),
        log().prop_map(|log| Record::Deleted { log }),
        (log(), 0..50_i64, 1..5_i64).prop_map(|(log, first_offset, count)| Record::Accepted {
            log,
            first_offset,
            next_offset: first_offset + count
        }),
    ]
}

fn replayed(records: &[Record]) -> Meta {
    let mut meta = Meta::new();
    records.iter().for_each(|record| meta.apply(record));
    meta.changed_logs.clear();
    meta.has_accepted = false;
    meta
}

/// What the engine writes when it snapshots this state.
fn snapshot(meta: &Meta) -> Vec<Record> {
    let mut logs: Vec<_> = meta.logs.iter().map(|(log, state)| (*log, state.start)).collect();
    logs.sort_unstable();
    let snapshot = Record::Snapshot {
        next_log: meta.next_log,
        logs,
    };
    [snapshot].into_iter().chain(meta.accepted_records()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn records_are_read_as_they_were_written(records in proptest::collection::vec(record(), 1..20)) {
        let mut batch = encode(&records, 1000).into_bytes().to_vec();
        firth_batch::assign(&mut batch, 70, 0);
        let next_offset = 70 + records.len() as i64;
        prop_assert_eq!(decode(&batch), Some((records.clone(), next_offset)));
        let mut two = batch.clone();
        let mut second = batch;
        firth_batch::assign(&mut second, next_offset, 0);
        two.extend_from_slice(&second);
        let both = [records.clone(), records.clone()].concat();
        prop_assert_eq!(decode(&two), Some((both, next_offset + records.len() as i64)));
    }

    #[test]
    fn a_record_is_read_whole_or_not_at_all(record in record(), cut in any::<proptest::sample::Index>()) {
        let bytes = record.encode();
        let cut = cut.index(bytes.len());
        if let Some(shorter) = Record::decode(&bytes[..cut]) {
            // Only the list of a snapshot has no end of its own; the batch around it has.
            let Record::Snapshot { logs, .. } = &record else {
                return Err(TestCaseError::fail(format!("{record:?} was read from {cut} bytes")));
            };
            let fewer = matches!(&shorter, Record::Snapshot { logs: fewer, .. } if logs.starts_with(fewer));
            prop_assert!(fewer);
        }
        let longer = [&bytes[..], &[0]].concat();
        prop_assert_eq!(Record::decode(&longer), None);
    }

    #[test]
    fn an_unknown_kind_or_version_is_no_record(kind: u8, version: u8, body in proptest::collection::vec(any::<u8>(), 0..64)) {
        let bytes = [&[kind, version], &body[..]].concat();
        let known = (1..=5).contains(&kind) && version == VERSION;
        match Record::decode(&bytes) {
            Some(record) => {
                prop_assert!(known);
                prop_assert_eq!(record.encode(), bytes);
            }
            None => prop_assert!(!known || !matches!((kind, body.len()), (1 | 3, 8) | (2, 16) | (5, 24))),
        }
    }

    #[test]
    fn a_snapshot_says_what_all_records_before_it_say(
        before in proptest::collection::vec(step(), 0..30),
        after in proptest::collection::vec(step(), 0..30),
    ) {
        let all = replayed(&[&before[..], &after[..]].concat());
        let snapshot = snapshot(&replayed(&before));
        let from_snapshot = replayed(&[&snapshot[..], &after[..]].concat());
        prop_assert_eq!(&from_snapshot, &all);
        // A snapshot that is read on top of the records before it changes nothing.
        let on_top = replayed(&[&before[..], &snapshot[..], &after[..]].concat());
        prop_assert_eq!(&on_top, &all);
    }

    #[test]
    fn replaying_the_latest_records_again_changes_nothing(
        steps in proptest::collection::vec(step(), 0..30),
        snapshot_at in any::<proptest::sample::Index>(),
        from in any::<proptest::sample::Index>(),
    ) {
        let mut records = history(&steps);
        let snapshot_at = snapshot_at.index(records.len() + 1);
        let snapshot = snapshot(&replayed(&records[..snapshot_at]));
        records.splice(snapshot_at..snapshot_at, snapshot);
        let once = replayed(&records);
        let again = replayed(&[&records[..], &records[from.index(records.len())..]].concat());
        prop_assert_eq!(&again, &once);
        prop_assert!(again.logs.keys().all(|log| log.0 < again.next_log));
    }
}

/// The steps that an engine could have taken: the id of a log is given out once.
fn history(steps: &[Record]) -> Vec<Record> {
    let mut created = HashSet::new();
    let mut there = HashSet::new();
    let could_be = |record: &&Record| match record {
        Record::Created { log } => created.insert(*log) && there.insert(*log),
        Record::Deleted { log } => there.remove(log),
        Record::Trimmed { log, .. } | Record::Accepted { log, .. } => there.contains(log),
        Record::Snapshot { .. } => true,
    };
    steps.iter().filter(could_be).cloned().collect()
}

/// Every byte of the records, as docs/formats.md describes them.
#[test]
fn records_of_version_1_look_like_this() {
    let log = LogId(0x1122);
    let number = [0x22, 0x11, 0, 0, 0, 0, 0, 0];
    let offset = [5, 0, 0, 0, 0, 0, 0, 0];
    let cases: [(Record, &[&[u8]]); 5] = [
        (Record::Created { log }, &[&[1, 1], &number]),
        (Record::Trimmed { log, to: 5 }, &[&[2, 1], &number, &offset]),
        (Record::Deleted { log }, &[&[3, 1], &number]),
        (
            Record::Snapshot {
                next_log: 0x1122,
                logs: vec![(log, 5)],
            },
            &[&[4, 1], &number, &number, &offset],
        ),
        (
            Record::Accepted {
                log,
                first_offset: 5,
                next_offset: 6,
            },
            &[&[5, 1], &number, &offset, &[6, 0, 0, 0, 0, 0, 0, 0]],
        ),
    ];
    for (record, expected) in cases {
        assert_eq!(record.encode(), expected.concat());
    }
}

use firth_batch::{Attributes, NO_EPOCH};
use proptest::prelude::*;

use super::*;

/// The rules once more, as plainly as they can be said: all batches of a producer are kept for ever.
#[derive(Default)]
struct Naive {
    appended: Vec<Appended>,
}

struct Appended {
    producer_id: i64,
    epoch: i16,
    /// Each sequence of the batch, in order.
    sequences: Vec<i32>,
    base_offset: i64,
}

#[derive(Debug, PartialEq)]
enum Verdict {
    Next,
    Duplicate { base_offset: i64 },
    OutOfOrder { expected: i32 },
    Stale { current: i16 },
}

/// The sequences of a batch; they wrap from 2^31-1 to 0.
fn sequences(base_sequence: i32, count: i32) -> Vec<i32> {
    let mut sequence = base_sequence;
    let mut sequences = Vec::new();
    for _ in 0..count {
        sequences.push(sequence);
        sequence = if sequence == i32::MAX { 0 } else { sequence + 1 };
    }
    sequences
}

impl Naive {
    fn check(&self, header: &Header, count: i32) -> Verdict {
        let of_producer = self
            .appended
            .iter()
            .filter(|batch| batch.producer_id == header.producer_id);
        let of_producer: Vec<_> = of_producer.collect();
        let Some(last) = of_producer.last() else {
            return Verdict::Next;
        };
        if header.producer_epoch < last.epoch {
            return Verdict::Stale { current: last.epoch };
        }
        if header.producer_epoch > last.epoch {
            return match header.base_sequence {
                0 => Verdict::Next,
                _ => Verdict::OutOfOrder { expected: 0 },
            };
        }
        let sequences = sequences(header.base_sequence, count);
        let in_epoch = of_producer
            .iter()
            .rev()
            .take_while(|batch| batch.epoch == last.epoch);
        if let Some(original) = in_epoch.take(5).find(|batch| batch.sequences == sequences) {
            return Verdict::Duplicate {
                base_offset: original.base_offset,
            };
        }
        let expected = last.sequences.last().unwrap().checked_add(1).unwrap_or(0);
        match sequences[0] == expected {
            true => Verdict::Next,
            false => Verdict::OutOfOrder { expected },
        }
    }
}

fn header(producer_id: i64, producer_epoch: i16, base_sequence: i32, count: i32) -> Header {
    Header {
        base_offset: 0,
        batch_length: 49,
        partition_leader_epoch: NO_EPOCH,
        magic: 2,
        crc: 0,
        attributes: Attributes::default(),
        last_offset_delta: count - 1,
        base_timestamp: 5,
        max_timestamp: 5,
        producer_id,
        producer_epoch,
        base_sequence,
        record_count: count,
    }
}

fn verdict(check: Result<Check, AppendError>) -> Verdict {
    match check {
        Ok(Check::Next) => Verdict::Next,
        Ok(Check::Duplicate(original)) => Verdict::Duplicate {
            base_offset: original.base_offset,
        },
        Err(AppendError::OutOfOrderSequence { expected, .. }) => Verdict::OutOfOrder { expected },
        Err(AppendError::StaleProducerEpoch { current, .. }) => Verdict::Stale { current },
        Err(error) => panic!("{error}"),
    }
}

/// What a producer sends next.
#[derive(Clone, Debug)]
enum Send {
    /// Where the last batch ended, or close to it.
    Next { count: i32, off: i32 },
    /// One of the last batches again, perhaps with another number of records.
    Again { back: usize, count_off: i32 },
    /// In a newer or an older epoch.
    Epoch { epoch_off: i16, base_sequence: i32 },
}

fn send() -> impl Strategy<Value = Send> {
    prop_oneof![
        6 => (1..4_i32).prop_map(|count| Send::Next { count, off: 0 }),
        1 => (1..4_i32, -2..3_i32).prop_map(|(count, off)| Send::Next { count, off }),
        3 => (0..8_usize).prop_map(|back| Send::Again { back, count_off: 0 }),
        1 => (0..8_usize, -1..2_i32).prop_map(|(back, count_off)| Send::Again { back, count_off }),
        1 => (-1..2_i16, 0..2_i32).prop_map(|(epoch_off, base_sequence)| Send::Epoch { epoch_off, base_sequence }),
    ]
}

/// The batch, and the number of its records.
fn next(model: &Naive, producer_id: i64, first_sequence: i32, send: &Send) -> (Header, i32) {
    let of_producer: Vec<&Appended> = model
        .appended
        .iter()
        .filter(|batch| batch.producer_id == producer_id)
        .collect();
    let Some(last) = of_producer.last() else {
        return (header(producer_id, 3, first_sequence, 1), 1);
    };
    let after = last.sequences.last().unwrap().checked_add(1).unwrap_or(0);
    let (epoch, base_sequence, count) = match *send {
        Send::Next { count, off } => (last.epoch, after.saturating_add(off).max(0), count),
        Send::Again { back, count_off } => {
            let again = of_producer[of_producer.len().saturating_sub(1 + back)];
            let count = (again.sequences.len() as i32 + count_off).max(1);
            (again.epoch, again.sequences[0], count)
        }
        Send::Epoch {
            epoch_off,
            base_sequence,
        } => (last.epoch + epoch_off, base_sequence, 1),
    };
    (header(producer_id, epoch, base_sequence, count), count)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn windows_decide_as_the_rules_say(
        below_wrap in 0..12_i32,
        sends in proptest::collection::vec((0..2_i64, send()), 1..60),
    ) {
        let mut producers = Producers::default();
        let mut model = Naive::default();
        let mut observed = Vec::new();
        let mut next_offset = 0;
        for (producer_id, send) in &sends {
            // One producer begins near the end of all sequences, the other at their begin.
            let first_sequence = if *producer_id == 0 { i32::MAX - below_wrap } else { 0 };
            let (header, count) = next(&model, *producer_id, first_sequence, send);
            let expected = model.check(&header, count);
            prop_assert_eq!(verdict(producers.check(&header)), expected, "{:?}", header);
            if verdict(producers.check(&header)) == Verdict::Next {
                producers.observe(&header, next_offset, 1000 + next_offset);
                observed.push((header, next_offset));
                model.appended.push(Appended {
                    producer_id: *producer_id,
                    epoch: header.producer_epoch,
                    sequences: sequences(header.base_sequence, count),
                    base_offset: next_offset,
                });
                next_offset += i64::from(count);
            }
            // What is kept across a restart decides alike.
            producers = Producers::decode(&producers.encode()).unwrap();
        }
        // Replay may begin before the windows that it completes.
        let before = producers.clone();
        for (header, base_offset) in &observed {
            producers.observe(header, *base_offset, 1);
        }
        prop_assert_eq!(producers, before);
    }

    #[test]
    fn what_is_no_encoding_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100), version in 0..3_u8) {
        let bytes = [&[version], &bytes[..]].concat();
        if let Some(producers) = Producers::decode(&bytes) {
            prop_assert_eq!(version, VERSION);
            prop_assert!(producers.encode().len() <= bytes.len());
        }
        prop_assert_eq!(Producers::is_newer(&bytes), version > VERSION);
    }

    #[test]
    fn an_encoding_that_is_cut_or_continued_is_refused(cut in any::<proptest::sample::Index>()) {
        let mut producers = Producers::default();
        for sequence in 0..7 {
            producers.observe(&header(1, 0, sequence, 1), i64::from(sequence), 9);
            producers.observe(&header(2, 0, sequence, 1), i64::from(sequence), 9);
        }
        let bytes = producers.encode();
        prop_assert_eq!(Producers::decode(&bytes[..cut.index(bytes.len())]), None);
        prop_assert_eq!(Producers::decode(&[&bytes[..], &[0]].concat()), None);
    }
}

#[test]
fn idle_producers_are_forgotten() {
    let mut producers = Producers::default();
    producers.observe(&header(1, 0, 0, 1), 0, 100);
    producers.observe(&header(2, 0, 0, 1), 1, 200);
    assert_eq!(producers.expire(150), [(1, 0)]);
    assert_eq!(verdict(producers.check(&header(1, 0, 70, 1))), Verdict::Next);
    assert_eq!(
        verdict(producers.check(&header(2, 0, 70, 1))),
        Verdict::OutOfOrder { expected: 1 }
    );
    assert_eq!(producers.expire(201), [(2, 1)]);
    assert!(producers.is_empty());
    assert_eq!(producers.expire(201), []);
}

#[test]
fn a_producer_that_went_on_is_not_forgotten() {
    let mut producers = Producers::default();
    producers.observe(&header(1, 0, 0, 1), 10, 100);
    producers.observe(&header(1, 0, 1, 1), 11, 100);
    producers.forget(1, 10);
    producers.forget(2, 99);
    assert!(!producers.is_empty());
    producers.forget(1, 11);
    assert!(producers.is_empty());
}

/// Every byte of the windows, as docs/formats.md describes them.
#[test]
fn windows_of_version_1_look_like_this() {
    let mut producers = Producers::default();
    producers.observe(&header(0x1122, 3, 7, 2), 40, 1000);
    let mut expected = vec![1, 1, 0, 0, 0];
    expected.extend_from_slice(&0x1122_i64.to_le_bytes());
    expected.extend_from_slice(&3_i16.to_le_bytes());
    expected.extend_from_slice(&1000_i64.to_le_bytes());
    expected.push(1);
    expected.extend_from_slice(&7_i32.to_le_bytes());
    expected.extend_from_slice(&8_i32.to_le_bytes());
    expected.extend_from_slice(&40_i64.to_le_bytes());
    expected.extend_from_slice(&5_i64.to_le_bytes());
    assert_eq!(producers.encode(), expected);
}

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::header::put;
use crate::{Builder, Crc32c, RecordHeader, assign, crc32c, decompress};

const LIMIT: usize = 1024 * 1024;
const HORIZON: i64 = 1_900_000_000_000;
const ATTRIBUTES_AT: usize = 21;
const BASE_TIMESTAMP_AT: usize = 27;
const RECORD_COUNT_AT: usize = 57;

type Part = Option<Vec<u8>>;

#[derive(Clone, Debug, PartialEq)]
struct Message {
    offset: i64,
    timestamp: i64,
    key: Part,
    value: Part,
    headers: Vec<(Vec<u8>, Part)>,
}

fn message() -> impl Strategy<Value = Message> {
    let timestamp = prop_oneof![Just(-1), 0..i64::MAX, 1_700_000_000_000..1_700_000_100_000i64];
    let part = || vec(any::<u8>(), 0..80);
    let headers = vec((part(), option::of(part())), 0..3);
    (timestamp, option::of(part()), option::of(part()), headers).prop_map(
        |(timestamp, key, value, headers)| Message {
            offset: 0,
            timestamp,
            key,
            value,
            headers,
        },
    )
}

fn build(codec: Compression, messages: &[Message]) -> Builder {
    let mut builder = Builder::new(codec).producer(77, 3, 500);
    for message in messages {
        let headers: Vec<RecordHeader<'_>> = message
            .headers
            .iter()
            .map(|(key, value)| RecordHeader {
                key,
                value: value.as_deref(),
            })
            .collect();
        builder.push(
            message.timestamp,
            message.key.as_deref(),
            message.value.as_deref(),
            &headers,
        );
    }
    builder
}

fn placed(batch: Batch) -> Batch {
    let mut bytes = BytesMut::from(batch.bytes().as_ref());
    assign(&mut bytes, 1_000_000, 9);
    Batch::stored(bytes.freeze()).unwrap()
}

/// Batches of up to 24 records at offset 1,000,000, and for each record whether it stays.
fn batch_and_choice() -> impl Strategy<Value = (Batch, Vec<bool>)> {
    let codec = select(Compression::ALL.as_slice());
    let stamp = option::weighted(0.3, Just(1_750_000_000_000i64));
    let messages = vec((message(), any::<bool>()), 1..24);
    (codec, stamp, messages, any::<bool>()).prop_map(|(codec, stamp, messages, transactional)| {
        let (messages, choice): (Vec<_>, Vec<_>) = messages.into_iter().unzip();
        let builder = build(codec, &messages);
        let batch = if transactional {
            builder.transactional().build()
        } else {
            builder.build()
        };
        let batch = match stamp {
            Some(now_ms) => batch.with_log_append_time(now_ms),
            None => batch,
        };
        (placed(batch), choice)
    })
}

fn read(batch: &Batch) -> Vec<Message> {
    let records = batch.records(LIMIT).unwrap();
    let message = |record: Result<Record<'_>, Error>| {
        let record = record.unwrap();
        Message {
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record
                .headers
                .map(|header| (header.key.to_vec(), header.value.map(<[u8]>::to_vec)))
                .collect(),
        }
    };
    records.iter().map(message).collect()
}

fn is_chosen(choice: &[bool]) -> impl FnMut(&Record<'_>) -> bool {
    |record| choice[record.offset_delta as usize]
}

fn all(_: &Record<'_>) -> bool {
    true
}

fn rewritten(retained: Retained) -> Batch {
    match retained {
        Retained::Rewritten(batch) => batch,
        other => panic!("{other:?}"),
    }
}

/// The batch that `retained` stands for, if it has records.
fn applied(batch: &Batch, retained: Retained) -> Option<Batch> {
    match retained {
        Retained::Nothing => None,
        Retained::Unchanged => Some(batch.clone()),
        Retained::Rewritten(batch) => Some(batch),
    }
}

/// An encoder of its own, written from the specification.
mod model {
    use super::{Message, Part};

    fn varint(out: &mut Vec<u8>, value: i64) {
        let mut rest = (value << 1 ^ value >> 63) as u64;
        loop {
            let low = (rest % 128) as u8;
            rest /= 128;
            out.push(if rest == 0 { low } else { low + 128 });
            if rest == 0 {
                return;
            }
        }
    }

    fn part(out: &mut Vec<u8>, part: &Part) {
        match part {
            None => varint(out, -1),
            Some(bytes) => {
                varint(out, bytes.len() as i64);
                out.extend(bytes);
            }
        }
    }

    /// Records as they lie in a batch at `base_offset`, of which the timestamps count from `base_timestamp`.
    pub(super) fn records(messages: &[Message], base_offset: i64, base_timestamp: i64) -> Vec<u8> {
        let mut out = Vec::new();
        for message in messages {
            let mut body = vec![0];
            varint(&mut body, message.timestamp - base_timestamp);
            varint(&mut body, message.offset - base_offset);
            part(&mut body, &message.key);
            part(&mut body, &message.value);
            varint(&mut body, message.headers.len() as i64);
            for (key, value) in &message.headers {
                part(&mut body, &Some(key.clone()));
                part(&mut body, value);
            }
            varint(&mut out, body.len() as i64);
            out.extend(body);
        }
        out
    }
}

/// The messages with the producer's timestamps, which the time of the append hides.
fn as_created(batch: &Batch) -> Vec<Message> {
    let mut bytes = BytesMut::from(batch.bytes().as_ref());
    let attributes = batch
        .header()
        .attributes
        .with_timestamp_type(TimestampType::CreateTime);
    put(&mut bytes, ATTRIBUTES_AT, &attributes.0.to_be_bytes());
    seal(&mut bytes);
    read(&Batch::stored(bytes.freeze()).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_stays_is_what_a_filter_of_the_decoded_records_would_encode(
        (batch, choice) in batch_and_choice(),
        horizon in option::of(0..i64::MAX / 2),
    ) {
        let chosen = |messages: Vec<Message>| -> Vec<Message> {
            let messages = messages.into_iter().zip(&choice);
            messages.filter_map(|(message, stays)| stays.then_some(message)).collect()
        };
        let (expected, created) = (chosen(read(&batch)), chosen(as_created(&batch)));
        let horizon = horizon.filter(|_| expected.iter().any(|message| message.value.is_none()));
        let retained = retain(&batch, LIMIT, horizon, is_chosen(&choice)).unwrap();
        match &retained {
            Retained::Nothing => prop_assert!(expected.is_empty()),
            Retained::Unchanged => prop_assert!(expected.len() == choice.len() && horizon.is_none()),
            Retained::Rewritten(_) => prop_assert!(!expected.is_empty()),
        }
        let Some(after) = applied(&batch, retained) else { return Ok(()) };

        prop_assert_eq!(Batch::stored(after.bytes().clone()), Ok(after.clone()));
        prop_assert_eq!(&read(&after), &expected);
        let (old, new) = (batch.header(), after.header());
        let mut header = *old;
        (header.batch_length, header.crc) = (new.batch_length, new.crc);
        header.record_count = expected.len() as i32;
        if let Some(horizon) = horizon {
            header.attributes.0 |= 0x40;
            header.base_timestamp = horizon;
        }
        if old.attributes.timestamp_type() == TimestampType::CreateTime {
            header.max_timestamp = expected.iter().map(|message| message.timestamp).max().unwrap();
        }
        prop_assert_eq!(new, &header);

        let payload = match new.attributes.compression().unwrap() {
            Compression::None => after.payload().to_vec(),
            codec => decompress(codec, &after.payload(), LIMIT).unwrap(),
        };
        prop_assert_eq!(payload, model::records(&created, old.base_offset, new.base_timestamp));
    }

    #[test]
    fn keeping_all_changes_nothing((batch, _) in batch_and_choice(), horizon: Option<i64>) {
        prop_assert_eq!(retain(&batch, LIMIT, None, all), Ok(Retained::Unchanged));
        if read(&batch).iter().all(|message| message.value.is_some()) {
            prop_assert_eq!(retain(&batch, LIMIT, horizon, all), Ok(Retained::Unchanged));
        }
    }

    #[test]
    fn twice_is_once_with_both_choices((batch, first) in batch_and_choice(), second in vec(any::<bool>(), 24)) {
        let both: Vec<bool> = first.iter().zip(&second).map(|(a, b)| *a && *b).collect();
        let once = applied(&batch, retain(&batch, LIMIT, None, is_chosen(&both)).unwrap());
        let half = applied(&batch, retain(&batch, LIMIT, None, is_chosen(&first)).unwrap());
        let twice = half.and_then(|half| {
            let retained = retain(&half, LIMIT, None, is_chosen(&second)).unwrap();
            applied(&half, retained)
        });
        prop_assert_eq!(twice, once);
    }

    #[test]
    fn a_delete_horizon_moves_no_record_and_stays(
        (batch, choice) in batch_and_choice(),
        first in 0..i64::MAX / 2,
        second in 0..i64::MAX / 2,
    ) {
        let before = read(&batch);
        let retained = retain(&batch, LIMIT, Some(first), all).unwrap();
        let marked = applied(&batch, retained).unwrap();
        prop_assert_eq!(read(&marked), before.clone());
        let has_tombstone = before.iter().any(|message| message.value.is_none());
        prop_assert_eq!(marked.header().delete_horizon_ms(), has_tombstone.then_some(first));

        let retained = retain(&marked, LIMIT, Some(second), is_chosen(&choice)).unwrap();
        if has_tombstone && let Some(after) = applied(&marked, retained) {
            prop_assert_eq!(after.header().delete_horizon_ms(), Some(first));
            let expected: Vec<Message> = before.into_iter().zip(&choice).filter(|(_, stays)| **stays).map(|(message, _)| message).collect();
            prop_assert_eq!(read(&after), expected);
        }
    }

    #[test]
    fn no_records_make_it_panic(payload: Vec<u8>, record_count: i32, attributes in 0..0x80i16, horizon: Option<i64>) {
        let mut header = *batch_of(&[]).header();
        header.record_count = record_count;
        header.last_offset_delta = i32::MAX;
        header.attributes.0 = attributes;
        header.batch_length = (HEADER_LEN - LOG_OVERHEAD + payload.len()) as i32;
        let mut bytes = [&[0; HEADER_LEN], payload.as_slice()].concat();
        header.encode(bytes.first_chunk_mut().unwrap());
        seal(&mut bytes);
        if let Ok(batch) = Batch::stored(bytes.into()) {
            let _ = retain(&batch, LIMIT, horizon, |record| record.offset % 2 == 0);
        }
    }
}

/// An uncompressed batch of keys and values, after one record at time 1000.
fn batch_of(records: &[(&str, Option<&str>)]) -> Batch {
    let mut builder = Builder::new(Compression::None);
    builder.push(1000, Some(b"first"), Some(b"1"), &[]);
    for (index, (key, value)) in records.iter().enumerate() {
        let timestamp = 2000 + index as i64;
        builder.push(
            timestamp,
            Some(key.as_bytes()),
            value.map(|value| value.as_bytes()),
            &[],
        );
    }
    placed(builder.build())
}

/// The batch with a field overwritten, under a checksum that is right.
fn with(batch: &Batch, at: usize, field: &[u8]) -> Batch {
    let mut bytes = BytesMut::from(batch.bytes().as_ref());
    put(&mut bytes, at, field);
    seal(&mut bytes);
    Batch::stored(bytes.freeze()).unwrap()
}

#[test]
fn records_are_shown_once_and_in_order() {
    let batch = batch_of(&[("a", Some("1")), ("b", None)]);
    let mut seen = Vec::new();
    let retained = retain(&batch, 0, None, |record| {
        seen.push((record.offset, record.value.is_none()));
        false
    });
    assert_eq!(retained, Ok(Retained::Nothing));
    assert_eq!(seen, [(1_000_000, false), (1_000_001, false), (1_000_002, true)]);
}

#[test]
fn a_tombstone_that_stays_gives_the_batch_a_horizon_and_one_that_goes_does_not() {
    let batch = batch_of(&[("a", None), ("b", Some("1"))]);
    let marked = rewritten(retain(&batch, 0, Some(HORIZON), all).unwrap());
    assert_eq!(marked.header().delete_horizon_ms(), Some(HORIZON));
    assert_eq!(marked.header().attributes.0, 0x40);
    assert_eq!(marked.header().max_timestamp, 2001);

    let kept = retain(&batch, 0, Some(HORIZON), |record| record.value.is_some()).unwrap();
    let kept = rewritten(kept);
    assert_eq!(kept.header().delete_horizon_ms(), None);
    assert_eq!(
        kept.header().base_timestamp,
        1000,
        "deltas count from where they did"
    );
}

#[test]
fn clients_that_know_nothing_of_horizons_compute_the_same_timestamps() {
    let batch = batch_of(&[("a", None)]);
    let marked = rewritten(retain(&batch, 0, Some(HORIZON), all).unwrap());
    let records = marked.records(0).unwrap();
    let computed: Vec<i64> = records
        .iter()
        .map(|record| marked.header().base_timestamp + record.unwrap().timestamp_delta)
        .collect();
    assert_eq!(computed, [1000, 2000]);
}

#[test]
fn control_batches_stay_whatever_is_chosen() {
    let batch = batch_of(&[("a", None)]);
    let control = with(&batch, ATTRIBUTES_AT, &0x30i16.to_be_bytes());
    let chosen = retain(&control, 0, Some(HORIZON), |_| {
        panic!("a control batch is not opened")
    });
    assert_eq!(chosen, Ok(Retained::Unchanged));
}

#[test]
fn a_batch_without_records_has_nothing_to_keep() {
    let emptied = batch_of(&[]).into_bytes().slice(..HEADER_LEN);
    let mut bytes = BytesMut::from(emptied.as_ref());
    put(&mut bytes, 8, &49i32.to_be_bytes());
    put(&mut bytes, RECORD_COUNT_AT, &0i32.to_be_bytes());
    seal(&mut bytes);
    let emptied = Batch::stored(bytes.freeze()).unwrap();
    assert_eq!(retain(&emptied, 0, Some(HORIZON), all), Ok(Retained::Nothing));
}

#[test]
fn what_cannot_be_read_is_an_error_whatever_was_chosen_before() {
    let batch = batch_of(&[("a", Some("1"))]);
    let more = with(&batch, RECORD_COUNT_AT, &3i32.to_be_bytes());
    let retained = retain(&more, 0, None, |_| false);
    assert!(matches!(retained, Err(Error::Malformed { .. })), "{retained:?}");

    let less = with(&batch, RECORD_COUNT_AT, &1i32.to_be_bytes());
    let retained = retain(&less, 0, None, |_| false);
    assert!(matches!(retained, Err(Error::Malformed { .. })), "{retained:?}");

    let mut builder = Builder::new(Compression::Zstd);
    builder.push(0, Some(b"key"), Some(&[0; 1000]), &[]);
    let retained = retain(&builder.build(), 999, None, all);
    assert_eq!(retained, Err(Error::TooLarge { limit: 999 }));
}

#[test]
fn a_timestamp_that_no_delta_from_the_horizon_reaches_is_an_error() {
    let batch = with(
        &batch_of(&[("a", None)]),
        BASE_TIMESTAMP_AT,
        &i64::MIN.to_be_bytes(),
    );
    let retained = retain(&batch, 0, Some(HORIZON), all);
    assert!(matches!(retained, Err(Error::Malformed { .. })), "{retained:?}");
}

#[test]
fn a_checksum_that_is_combined_from_the_new_batch_is_that_of_its_bytes() {
    let mut builder = Builder::new(Compression::None);
    for key in 0..40u8 {
        builder.push(1000, Some(&[key]), Some(&[key; 700]), &[]);
    }
    let kept = retain(&placed(builder.build()), 0, None, |record| record.offset % 2 == 0).unwrap();
    let mut kept = rewritten(kept).into_bytes().to_vec();
    assign(&mut kept, 5, 6);
    let (mut combined, whole) = (Crc32c::new(), crc32c(&kept));
    combined.update_batch(&kept);
    assert_eq!(combined.value(), whole);
}

//! What holds for every batch: what was built is read back, and no change of its bytes goes unnoticed or hurts.
#![allow(clippy::unwrap_used, reason = "this is a test")]

use bytes::Bytes;
use firth_batch::{
    Batch, Batches, Builder, Compression, Error, HEADER_LEN, RecordHeader, Retained, TimestampType, assign,
    crc32c, retain,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};

const LIMIT: usize = 1024 * 1024;

#[derive(Clone, Debug, PartialEq)]
struct Message {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

fn message() -> impl Strategy<Value = Message> {
    let timestamp = prop_oneof![Just(-1), 0..i64::MAX, 1_700_000_000_000..1_700_000_100_000i64];
    let part = || vec(any::<u8>(), 0..80);
    (
        timestamp,
        option::of(part()),
        option::of(part()),
        vec((part(), option::of(part())), 0..4),
    )
        .prop_map(|(timestamp, key, value, headers)| Message {
            timestamp,
            key,
            value,
            headers,
        })
}

fn messages() -> impl Strategy<Value = Vec<Message>> {
    vec(message(), 1..20)
}

fn codec() -> impl Strategy<Value = Compression> {
    select(Compression::ALL.as_slice())
}

fn build(compression: Compression, messages: &[Message]) -> Batch {
    let mut builder = Builder::new(compression);
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
    builder.build()
}

fn read(batch: &Batch) -> Result<Vec<Message>, Error> {
    let records = batch.records(LIMIT)?;
    records
        .iter()
        .map(|record| {
            let record = record?;
            Ok(Message {
                timestamp: record.timestamp,
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: record
                    .headers
                    .map(|h| (h.key.to_vec(), h.value.map(<[u8]>::to_vec)))
                    .collect(),
            })
        })
        .collect()
}

/// Whether a byte belongs to the base offset or the leader epoch.
fn is_outside_the_checksum(at: usize) -> bool {
    (0..8).contains(&at) || (12..16).contains(&at)
}

fn reseal(bytes: &mut [u8]) {
    let crc = crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_seek_finds_the_first_record_from_an_offset_on(
        codec in codec(),
        messages in messages(),
        kept in vec(any::<bool>(), 20),
        offsets in vec(0..24i64, 1..4),
    ) {
        let whole = build(codec, &messages);
        let retained = retain(&whole, LIMIT, None, |record| kept[record.offset as usize]).unwrap();
        let batch = match retained {
            Retained::Rewritten(batch) => batch,
            Retained::Unchanged | Retained::Nothing => whole,
        };
        let records = batch.records(LIMIT).unwrap();
        let all: Vec<i64> = records.iter().map(|record| record.unwrap().offset).collect();
        // From the start, and on from where the one before ended.
        let mut position = records.start();
        let mut offsets = offsets;
        offsets.sort_unstable();
        for offset in offsets {
            position = records.seek(position, offset).unwrap();
            let found = records.resume(position).next().map(|record| record.unwrap().offset);
            prop_assert_eq!(found, all.iter().copied().find(|at| *at >= offset));
        }
    }

    #[test]
    fn what_was_built_is_read_back(codec in codec(), messages in messages(), base_offset in 0..i64::MAX / 2) {
        let mut bytes = build(codec, &messages).into_bytes().to_vec();
        assign(&mut bytes, base_offset, 5);
        let batch = Batch::validate(bytes.into()).unwrap();

        let header = batch.header();
        prop_assert_eq!(header.record_count as usize, messages.len());
        prop_assert_eq!(header.next_offset(), base_offset + messages.len() as i64);
        prop_assert_eq!(header.base_timestamp, messages[0].timestamp);
        prop_assert_eq!(Some(header.max_timestamp), messages.iter().map(|message| message.timestamp).max());
        prop_assert_eq!(&read(&batch).unwrap(), &messages);
        let records = batch.records(LIMIT).unwrap();
        let offsets: Vec<i64> = records.iter().map(|record| record.unwrap().offset).collect();
        prop_assert_eq!(offsets, (base_offset..header.next_offset()).collect::<Vec<_>>());
    }

    #[test]
    fn the_producer_and_its_flags_survive(id in 0..i64::MAX, epoch in 0..i16::MAX, sequence in 0..i32::MAX) {
        let mut builder =
            Builder::new(Compression::None).producer(id, epoch, sequence).transactional().timestamp_type(TimestampType::LogAppendTime);
        builder.push(7, None, None, &[]);
        let batch = Batch::validate(builder.build().into_bytes()).unwrap();
        let header = batch.header();
        prop_assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (id, epoch, sequence));
        prop_assert!(header.attributes.is_transactional());
        prop_assert_eq!(header.attributes.timestamp_type(), TimestampType::LogAppendTime);
    }

    #[test]
    fn any_changed_byte_is_noticed(codec in codec(), messages in messages(), at: Index, flip in 1..=255u8) {
        let mut bytes = build(codec, &messages).into_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        match Batch::validate(bytes.into()) {
            Ok(batch) => {
                prop_assert!(is_outside_the_checksum(at), "byte {} went unnoticed", at);
                prop_assert_eq!(read(&batch).unwrap(), messages);
            }
            Err(error) => prop_assert!(!is_outside_the_checksum(at), "byte {}: {}", at, error),
        }
    }

    #[test]
    fn any_truncation_is_noticed(codec in codec(), messages in messages(), cut: Index) {
        let bytes = build(codec, &messages).into_bytes();
        let cut = cut.index(bytes.len());
        let found = Batch::validate(bytes.slice(..cut));
        let noticed = matches!(found, Err(Error::Incomplete { available, .. }) if available == cut);
        prop_assert!(noticed, "{:?}", found);
    }

    /// A client may compute a right checksum over nonsense: reading it ends with an error or with as many records as
    /// the header says.
    #[test]
    fn nonsense_under_a_right_checksum_is_read_safely(
        codec in codec(),
        messages in messages(),
        changes in vec((any::<Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = build(codec, &messages).into_bytes().to_vec();
        for (at, byte) in changes {
            let at = HEADER_LEN + at.index(bytes.len() - HEADER_LEN);
            bytes[at] = byte;
        }
        reseal(&mut bytes);
        let batch = Batch::validate(bytes.into()).unwrap();
        if let Ok(found) = read(&batch) {
            prop_assert_eq!(found.len(), messages.len());
        }
    }

    #[test]
    fn batches_are_walked_up_to_the_first_partial_one(
        messages in vec(vec(message(), 1..4), 1..6),
        codec in codec(),
        cut: Index,
    ) {
        let batches: Vec<Bytes> = messages.iter().map(|messages| build(codec, messages).into_bytes()).collect();
        let log = batches.concat();
        let log = &log[..cut.index(log.len() + 1)];
        let mut walk = Batches::new(log);
        let mut consumed = 0;
        for expected in &batches {
            if consumed + expected.len() > log.len() {
                break;
            }
            let (header, found) = walk.next().unwrap().unwrap();
            prop_assert_eq!(found, &expected[..]);
            prop_assert_eq!(header.total_len(), found.len());
            consumed += found.len();
        }
        prop_assert_eq!(walk.rest(), &log[consumed..]);
        match walk.next() {
            None => prop_assert_eq!(consumed, log.len()),
            Some(error) => {
                let incomplete = matches!(error, Err(Error::Incomplete { .. }));
                prop_assert!(incomplete, "{:?}", error);
            }
        }
        prop_assert!(walk.next().is_none());
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes: Vec<u8>) {
        let _ = Batches::new(&bytes).count();
        let _ = Batch::validate(bytes.into());
    }
}

use super::*;
use crate::header::put;
use crate::{Attributes, Builder, Compression, HEADER_LEN, NO_SEQUENCE, assign};

const BASE_TIMESTAMP_AT: usize = 27;
const PRODUCER_ID_AT: usize = 43;
const RECORD_COUNT_AT: usize = 57;

fn batch() -> Batch {
    let mut builder = Builder::new(Compression::None);
    builder
        .push(1000, Some(b"a"), Some(b"1"), &[])
        .push(1005, Some(b"b"), None, &[]);
    builder.build()
}

/// The batch with a field overwritten, under a checksum that is right.
fn with(at: usize, field: &[u8]) -> Bytes {
    let mut bytes = BytesMut::from(batch().bytes().as_ref());
    put(&mut bytes, at, field);
    seal(&mut bytes);
    bytes.freeze()
}

#[test]
fn a_built_batch_is_valid() {
    let batch = batch();
    assert_eq!(Batch::validate(batch.bytes().clone()), Ok(batch.clone()));
    assert_eq!(batch.len(), batch.header().total_len());
    assert_eq!(batch.payload().len(), batch.len() - HEADER_LEN);
}

#[test]
fn a_place_in_the_log_leaves_the_checksum_right() {
    let mut bytes = batch().into_bytes().try_into_mut().unwrap();
    assign(&mut bytes, 123_456, 9);
    let batch = Batch::validate(bytes.freeze()).unwrap();
    assert_eq!(
        (batch.header().base_offset, batch.header().partition_leader_epoch),
        (123_456, 9)
    );
    assert_eq!(batch.header().next_offset(), 123_458);
}

#[test]
fn exactly_one_batch_is_taken() {
    let bytes = batch().into_bytes();
    let needed = bytes.len();
    assert_eq!(
        Batch::validate(bytes.slice(..needed - 1)),
        Err(Error::Incomplete {
            needed,
            available: needed - 1
        })
    );
    let longer: Bytes = [bytes.as_ref(), b"xyz"].concat().into();
    assert_eq!(
        Batch::validate(longer),
        Err(Error::Malformed {
            what: "bytes after the batch",
            value: 3
        })
    );
}

#[test]
fn a_wrong_checksum_names_both() {
    let mut bytes = BytesMut::from(batch().bytes().as_ref());
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let found = crc32c(&bytes[CRC_COVERS_FROM..]);
    let expected = batch().header().crc;
    assert_eq!(
        Batch::validate(bytes.clone().freeze()),
        Err(Error::Crc { expected, found })
    );
    // Whoever trusts the bytes does not pay for a checksum.
    assert!(Batch::trusted(bytes.freeze()).is_ok());
}

#[test]
fn what_no_producer_may_send_is_refused() {
    let refused: [(usize, &[u8], &str); 9] = [
        (RECORD_COUNT_AT, &0i32.to_be_bytes(), "record count below 1"),
        (RECORD_COUNT_AT, &(-1i32).to_be_bytes(), "record count below 1"),
        (
            RECORD_COUNT_AT,
            &3i32.to_be_bytes(),
            "record count differs from last offset delta + 1",
        ),
        (
            RECORD_COUNT_AT,
            &1i32.to_be_bytes(),
            "record count differs from last offset delta + 1",
        ),
        (
            BASE_TIMESTAMP_AT,
            &(-2i64).to_be_bytes(),
            "base timestamp below -1",
        ),
        (MAX_TIMESTAMP_AT, &(-2i64).to_be_bytes(), "max timestamp below -1"),
        (
            PRODUCER_ID_AT,
            &5i64.to_be_bytes(),
            "base sequence below 0 with a producer id",
        ),
        (
            ATTRIBUTES_AT,
            &0x20i16.to_be_bytes(),
            "producers may not write control batches, attributes",
        ),
        (
            ATTRIBUTES_AT,
            &0x40i16.to_be_bytes(),
            "producers may not set a delete horizon, attributes",
        ),
    ];
    assert_eq!(batch().header().base_sequence, NO_SEQUENCE);
    for (at, field, rule) in refused {
        match Batch::validate(with(at, field)) {
            Err(Error::Malformed { what, .. }) => assert_eq!(what, rule),
            other => panic!("{rule}: {other:?}"),
        }
    }
    assert_eq!(
        Batch::validate(with(ATTRIBUTES_AT, &6i16.to_be_bytes())),
        Err(Error::UnsupportedCompression(6))
    );
}

#[test]
fn a_log_may_hold_what_compaction_and_transactions_leave() {
    assert!(Batch::stored(with(RECORD_COUNT_AT, &0i32.to_be_bytes())).is_ok());
    assert!(Batch::stored(with(ATTRIBUTES_AT, &0x30i16.to_be_bytes())).is_ok());
    assert!(Batch::stored(with(ATTRIBUTES_AT, &0x40i16.to_be_bytes())).is_ok());
    assert!(Batch::stored(with(ATTRIBUTES_AT, &7i16.to_be_bytes())).is_err());
}

#[test]
fn clients_that_write_the_last_timestamp_as_max_are_served() {
    assert!(Batch::validate(with(MAX_TIMESTAMP_AT, &999i64.to_be_bytes())).is_ok());
}

#[test]
fn the_time_of_the_append_replaces_the_times_of_the_records() {
    let shared = batch();
    let stamped = shared.clone().with_log_append_time(5_000);
    let checked = Batch::validate(stamped.bytes().clone()).unwrap();
    assert_eq!(checked, stamped);
    assert_eq!(stamped.header().attributes, Attributes(0x08));
    assert_eq!(
        (stamped.header().base_timestamp, stamped.header().max_timestamp),
        (1000, 5_000)
    );
    let records = stamped.records(0).unwrap();
    assert!(records.iter().all(|record| record.unwrap().timestamp == 5_000));

    assert_eq!(shared, batch(), "shared bytes are copied, not changed");
    assert_eq!(stamped.clone().with_log_append_time(5_000), stamped);
}

use proptest::prelude::*;

use super::*;

fn header() -> Header {
    Header {
        base_offset: 10,
        batch_length: 100,
        partition_leader_epoch: 3,
        magic: MAGIC,
        crc: 0xdead_beef,
        attributes: Attributes(0),
        last_offset_delta: 4,
        base_timestamp: 1_700_000_000_000,
        max_timestamp: 1_700_000_000_500,
        producer_id: 77,
        producer_epoch: 2,
        base_sequence: 0,
        record_count: 5,
    }
}

fn encoded(header: &Header) -> [u8; HEADER_LEN] {
    let mut bytes = [0; HEADER_LEN];
    header.encode(&mut bytes);
    bytes
}

#[test]
fn lengths_and_offsets_follow_from_the_fields() {
    let header = header();
    assert_eq!(header.total_len(), 112);
    assert_eq!(header.last_offset(), 14);
    assert_eq!(header.next_offset(), 15);
    assert_eq!(header.last_sequence(), 4);
}

#[test]
fn offsets_at_the_end_of_the_range_saturate() {
    let header = Header {
        base_offset: i64::MAX - 1,
        last_offset_delta: i32::MAX,
        ..header()
    };
    assert_eq!(header.last_offset(), i64::MAX);
    assert_eq!(header.next_offset(), i64::MAX);
}

#[test]
fn sequences_wrap_to_zero() {
    let last = |base_sequence, last_offset_delta| {
        Header {
            base_sequence,
            last_offset_delta,
            ..header()
        }
        .last_sequence()
    };
    assert_eq!(last(i32::MAX, 0), i32::MAX);
    assert_eq!(last(i32::MAX, 1), 0);
    assert_eq!(last(i32::MAX - 1, 3), 1);
    assert_eq!(last(i32::MAX, i32::MAX), i32::MAX - 1);
    assert_eq!(last(NO_SEQUENCE, 5), NO_SEQUENCE);
}

#[test]
fn a_short_header_is_incomplete_unless_its_magic_is_foreign() {
    let mut bytes = encoded(&header());
    for len in 0..HEADER_LEN {
        let expected = Error::Incomplete {
            needed: HEADER_LEN,
            available: len,
        };
        assert_eq!(Header::decode(&bytes[..len]), Err(expected));
    }
    // A message of format 1 may be shorter than a v2 header.
    bytes[16] = 1;
    assert!(matches!(
        Header::decode(&bytes[..16]),
        Err(Error::Incomplete { .. })
    ));
    assert_eq!(Header::decode(&bytes[..34]), Err(Error::UnsupportedMagic(1)));
}

#[test]
fn fields_that_no_reader_could_walk_on_with_are_refused() {
    for magic in [-1, 0, 1, 3] {
        let bytes = encoded(&Header { magic, ..header() });
        assert_eq!(Header::decode(&bytes), Err(Error::UnsupportedMagic(magic)));
    }
    for batch_length in [i32::MIN, -1, 0, 48] {
        let bytes = encoded(&Header {
            batch_length,
            ..header()
        });
        let value = batch_length.into();
        assert_eq!(
            Header::decode(&bytes),
            Err(Error::Malformed {
                what: "batch length below 49",
                value
            })
        );
    }
    assert!(
        Header::decode(&encoded(&Header {
            batch_length: 49,
            ..header()
        }))
        .is_ok()
    );
    let bytes = encoded(&Header {
        last_offset_delta: -1,
        ..header()
    });
    assert!(matches!(
        Header::decode(&bytes),
        Err(Error::Malformed { value: -1, .. })
    ));
}

#[test]
fn attributes_are_read_and_set_bit_by_bit() {
    let all = Attributes(0x7b);
    assert_eq!(all.compression(), Ok(Compression::Lz4));
    assert_eq!(all.timestamp_type(), TimestampType::LogAppendTime);
    assert!(all.is_transactional() && all.is_control() && all.has_delete_horizon());
    assert_eq!(Attributes(5).compression(), Err(Error::UnsupportedCompression(5)));

    let cleared = all
        .with_compression(Compression::None)
        .with_timestamp_type(TimestampType::CreateTime);
    assert_eq!(cleared.with_transactional(false), Attributes(0x60));
    let set = Attributes(0x60)
        .with_compression(Compression::Zstd)
        .with_timestamp_type(TimestampType::LogAppendTime);
    assert_eq!(set.with_transactional(true), Attributes(0x7c));
}

#[test]
fn assigning_changes_the_place_and_nothing_else() {
    let mut bytes = encoded(&header());
    assign(&mut bytes, i64::MAX - 7, i32::MAX);
    let assigned = Header {
        base_offset: i64::MAX - 7,
        partition_leader_epoch: i32::MAX,
        ..header()
    };
    assert_eq!(Header::decode(&bytes), Ok(assigned));
}

#[test]
#[should_panic(expected = "60 bytes are no batch")]
fn assigning_to_less_than_a_header_is_a_broken_invariant() {
    assign(&mut [0; HEADER_LEN - 1], 0, 0);
}

proptest! {
    #[test]
    fn decodes_what_was_encoded(bytes: [u8; 32], more: [u8; 29], length in 49.., delta in 0..) {
        let mut header_bytes = [bytes.as_slice(), &more].concat();
        put(&mut header_bytes, 8, &i32::to_be_bytes(length));
        put(&mut header_bytes, 16, &MAGIC.to_be_bytes());
        put(&mut header_bytes, 23, &i32::to_be_bytes(delta));
        let header = Header::decode(&header_bytes).unwrap();
        prop_assert_eq!(&encoded(&header)[..], &header_bytes);
        prop_assert!(header.last_offset() >= header.base_offset);
        prop_assert!(header.next_offset() >= header.last_offset());
        prop_assert!(header.last_sequence() >= NO_SEQUENCE);
    }
}

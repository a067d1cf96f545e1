//! Batches that kafka-python encoded (see `vectors/make.py`) are accepted and mean what was put into them.
#![allow(clippy::unwrap_used, reason = "this is a test")]

use std::path::Path;

use bytes::Bytes;
use firth_batch::{Batch, Batches, Compression, Error, Record, RecordHeader, TimestampType};

const LIMIT: usize = 1024 * 1024;

fn vector(name: &str) -> Bytes {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/vectors")
        .join(name)
        .with_extension("bin");
    std::fs::read(path).unwrap().into()
}

fn assert_small_records(batch: &Batch) {
    let records = batch.records(LIMIT).unwrap();
    let records: Vec<Record<'_>> = records.iter().collect::<Result<_, Error>>().unwrap();

    let offsets: Vec<(i32, i64)> = records
        .iter()
        .map(|record| (record.offset_delta, record.offset))
        .collect();
    assert_eq!(offsets, [(0, 0), (1, 1), (2, 2), (3, 3)]);
    let timestamps: Vec<i64> = records.iter().map(|record| record.timestamp).collect();
    assert_eq!(
        timestamps,
        [
            1_700_000_000_000,
            1_700_000_000_250,
            1_699_999_999_000,
            1_700_000_100_000
        ]
    );
    let keys: Vec<Option<&[u8]>> = records.iter().map(|record| record.key).collect();
    assert_eq!(keys, [Some(&b"key-0"[..]), None, Some(b""), Some(b"key-3")]);
    let values: Vec<Option<&[u8]>> = records.iter().map(|record| record.value).collect();
    assert_eq!(
        values,
        [
            Some("value-0 ".repeat(40).as_bytes()),
            Some(b""),
            None,
            Some("grüße".as_bytes())
        ]
    );

    let headers: Vec<Vec<RecordHeader<'_>>> = records.iter().map(|record| record.headers.collect()).collect();
    let trace: &[RecordHeader<'_>] = &[
        RecordHeader {
            key: b"trace",
            value: Some(b"\x00\xff"),
        },
        RecordHeader {
            key: b"null",
            value: None,
        },
        RecordHeader {
            key: b"trace",
            value: Some(b"again"),
        },
    ];
    assert_eq!(
        headers,
        [
            &[],
            trace,
            &[],
            &[RecordHeader {
                key: b"",
                value: Some(b"")
            }]
        ]
    );
}

#[test]
fn small_batches_of_every_codec_are_read() {
    for (name, compression) in [
        ("small-none", Compression::None),
        ("small-gzip", Compression::Gzip),
        ("small-snappy-xerial", Compression::Snappy),
        ("small-snappy-raw", Compression::Snappy),
        ("small-lz4", Compression::Lz4),
        ("small-zstd", Compression::Zstd),
    ] {
        let batch = Batch::validate(vector(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let header = batch.header();
        assert_eq!(header.attributes.compression(), Ok(compression), "{name}");
        assert_eq!(header.attributes.timestamp_type(), TimestampType::CreateTime);
        assert_eq!(
            (header.record_count, header.last_offset(), header.next_offset()),
            (4, 3, 4)
        );
        assert_eq!(
            (header.base_timestamp, header.max_timestamp),
            (1_700_000_000_000, 1_700_000_100_000)
        );
        assert!(!header.has_producer_id());
        assert_small_records(&batch);
    }
}

#[test]
fn batches_of_several_compression_blocks_are_read() {
    let value: Vec<u8> = (0..100_000u64).map(|i| (i * i % 251) as u8).collect();
    for name in [
        "large-gzip",
        "large-snappy-xerial",
        "large-snappy-raw",
        "large-lz4",
        "large-zstd",
    ] {
        let batch = Batch::validate(vector(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let records = batch.records(LIMIT).unwrap();
        let record = records.iter().next().unwrap().unwrap();
        assert!(record.value == Some(&value), "{name}");
        assert!(
            matches!(batch.records(99_999), Err(Error::TooLarge { limit: 99_999 })),
            "{name}"
        );
    }
}

#[test]
fn a_transactional_producer_is_recognised() {
    let batch = Batch::validate(vector("small-transactional")).unwrap();
    let header = batch.header();
    assert!(header.attributes.is_transactional());
    assert!(!header.attributes.is_control());
    assert_eq!((header.producer_id, header.producer_epoch), (4_000_000_000, 7));
    assert_eq!((header.base_sequence, header.last_sequence()), (i32::MAX - 1, 1));
    assert_small_records(&batch);
}

#[test]
fn batches_that_follow_each_other_are_told_apart() {
    let names = ["small-none", "large-zstd", "small-transactional"];
    let vectors = names.map(vector);
    let log: Vec<u8> = vectors.concat();
    let found: Vec<Bytes> = Batches::new(&log)
        .map(|batch| Bytes::copy_from_slice(batch.unwrap().1))
        .collect();
    assert_eq!(found, vectors);
}

use super::*;
use crate::batch::seal;
use crate::header::{HEADER_LEN, LOG_OVERHEAD, put};
use crate::{Builder, varint};

/// A batch that claims `count` records at the offsets 0 to 9 and holds `payload`.
fn batch(count: i32, payload: &[u8]) -> Batch {
    let mut builder = Builder::new(Compression::None);
    builder.push(1_000, None, None, &[]);
    let mut bytes = builder.build().bytes()[..HEADER_LEN].to_vec();
    bytes.extend_from_slice(payload);
    let batch_length = (bytes.len() - LOG_OVERHEAD) as i32;
    put(&mut bytes, 8, &batch_length.to_be_bytes());
    put(&mut bytes, 23, &9i32.to_be_bytes());
    put(&mut bytes, 57, &count.to_be_bytes());
    seal(&mut bytes);
    Batch::stored(bytes.into()).unwrap()
}

/// A record's bytes from its varints and plain bytes, preceded by their length.
fn record(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint::write(&mut out, body.len() as i64);
    out.extend_from_slice(body);
    out
}

/// The offset delta and the value of a record.
type Read = (i32, Option<Vec<u8>>);

fn read(count: i32, payload: &[u8]) -> Vec<Result<Read, Error>> {
    let records = batch(count, payload).records(0).unwrap();
    records
        .iter()
        .map(|record| record.map(|r| (r.offset_delta, r.value.map(<[u8]>::to_vec))))
        .collect()
}

fn error_of(count: i32, payload: &[u8]) -> (&'static str, i64) {
    match read(count, payload).pop() {
        Some(Err(Error::Malformed { what, value })) => (what, value),
        other => panic!("expected an error, found {other:?}"),
    }
}

// Zigzag: 0 is 0, -1 is 1, 1 is 2, 2 is 4. The fields of a plain record:
// attributes, timestamp delta, offset delta, key length, value length, value, header count.
const FIRST: &[u8] = &[0, 0, 0, 1, 2, b'x', 0];

#[test]
fn gaps_that_compaction_left_are_kept() {
    let payload = [record(FIRST), record(&[0, 0, 18, 1, 1, 0])].concat();
    assert_eq!(read(2, &payload), [Ok((0, Some(b"x".to_vec()))), Ok((9, None))]);
    assert_eq!(read(0, b""), []);
}

#[test]
fn the_count_and_the_bytes_must_agree() {
    assert_eq!(
        error_of(1, &[record(FIRST), vec![0, 0]].concat()),
        ("bytes after the last record", 2)
    );
    assert_eq!(error_of(2, &record(FIRST)), ("record length", 0));
    assert_eq!(error_of(0, &record(FIRST)), ("bytes after the last record", 8));
}

#[test]
fn offsets_ascend_within_the_batch() {
    let what = "record offset delta out of order or beyond the batch";
    let again = [record(FIRST), record(FIRST)].concat();
    assert_eq!(error_of(2, &again), (what, 0));
    assert_eq!(error_of(1, &record(&[0, 0, 20, 1, 1, 0])), (what, 10));
    assert_eq!(error_of(1, &record(&[0, 0, 1, 1, 1, 0])), (what, -1));
}

#[test]
fn lengths_beyond_the_record_are_refused() {
    assert_eq!(error_of(1, &[200, 1]), ("record length", 100));
    assert_eq!(error_of(1, &[1]), ("record length", -1));
    assert_eq!(error_of(1, &record(&[])), ("record length", 0));
    assert_eq!(
        error_of(1, &record(&[0, 0, 0, 10, b'k', 1, 0])),
        ("record key length", 5)
    );
    assert_eq!(
        error_of(1, &record(&[0, 0, 0, 3, 1, 0])),
        ("record key length", -2)
    );
    assert_eq!(
        error_of(1, &record(&[0, 0, 0, 1, 12, b'v', 0])),
        ("record value length", 6)
    );
    // A value may not reach into the next record.
    let two = [record(&[0, 0, 0, 1, 6, b'v', 0]), record(&[0, 0, 2, 1, 1, 0])].concat();
    assert_eq!(error_of(2, &two), ("record value length", 3));
    assert_eq!(
        error_of(1, &record(&[0, 0, 0, 1, 1, 0, 7])),
        ("bytes after the record's headers", 1)
    );
}

#[test]
fn header_counts_and_keys_are_checked_before_anyone_relies_on_them() {
    let with_headers = |headers: &[u8]| record(&[&[0, 0, 0, 1, 1], headers].concat());
    assert_eq!(error_of(1, &with_headers(&[1])), ("record header count", -1));
    let huge = [0xfe, 0xff, 0xff, 0xff, 0x0f];
    assert_eq!(
        error_of(1, &with_headers(&huge)),
        ("record header count", i32::MAX.into())
    );
    assert_eq!(error_of(1, &with_headers(&[2, 1, 1])), ("header key length", -1));
    assert_eq!(error_of(1, &with_headers(&[2, 0, 4])), ("header value length", 2));
    assert_eq!(error_of(1, &with_headers(&[2, 0])), ("record header count", 1));
}

#[test]
fn a_timestamp_beyond_the_range_is_refused() {
    let mut body = vec![0];
    varint::write(&mut body, i64::MAX);
    body.extend_from_slice(&[0, 1, 1, 0]);
    assert_eq!(error_of(1, &record(&body)), ("record timestamp delta", i64::MAX));
}

#[test]
fn iteration_ends_with_the_first_error() {
    let payload = [record(FIRST), record(FIRST), record(FIRST)].concat();
    let found = read(3, &payload);
    assert_eq!(found.len(), 2);
    assert!(found[0].is_ok() && found[1].is_err());
}

#[test]
fn keys_and_values_can_outlive_the_records() {
    let mut builder = Builder::new(Compression::Zstd);
    builder.push(1, Some(b"key"), Some(b"value"), &[]);
    let records = builder.build().records(1024).unwrap();
    let value = records.iter().next().unwrap().unwrap().value.unwrap();
    let kept = records.slice(value);
    drop(records);
    assert_eq!(kept, b"value"[..]);
}

#[test]
fn headers_know_their_count() {
    let headers = [
        RecordHeader {
            key: b"a",
            value: None,
        },
        RecordHeader {
            key: b"a",
            value: Some(b"2"),
        },
    ];
    let mut builder = Builder::new(Compression::None);
    builder.push(1, None, None, &headers);
    let records = builder.build().records(0).unwrap();
    let mut found = records.iter().next().unwrap().unwrap().headers;
    assert_eq!(found.len(), 2);
    assert_eq!(found.next(), Some(headers[0]));
    assert_eq!(found.len(), 1);
    assert_eq!(found.last(), Some(headers[1]));
}

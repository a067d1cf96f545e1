//! What decoding allocates, counted by the allocator itself. One test, because the count is the whole process's.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::alloc::System;

use bytes::{Bytes, BytesMut};
use cap::Cap;
use firth_kafka_codec::*;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// The largest struct in memory by the fewest bytes it takes on the wire, doubled because arrays grow by doubling: a
/// string of one byte takes 32. On top of it, the first capacity of the arrays that are open, at most 3 within each other.
const BYTES_PER_BYTE_MAX: usize = 2 * 40;
const BYTES_MAX: usize = 3 * 1000 * 200;

fn allocated_by<T>(run: impl FnOnce() -> T) -> (usize, T) {
    let before = ALLOCATOR.total_allocated();
    let result = run();
    (ALLOCATOR.total_allocated() - before, result)
}

fn produce_frame(version: i16) -> Bytes {
    let partition = PartitionProduceData {
        index: 3,
        records: Some(Bytes::from(vec![7; 16_384])),
    };
    let topic = TopicProduceData {
        name: "flights".into(),
        partition_data: [partition].into(),
        ..Default::default()
    };
    let request = ProduceRequest {
        acks: -1,
        timeout_ms: 1000,
        topic_data: [topic].into(),
        ..Default::default()
    };
    let chain = encode_request(&mut BytesMut::new(), version, 1, Some("client"), &request).unwrap();
    chain.into_parts().flatten().skip(SIZE_BYTES).collect()
}

fn request_of_one_partition_is_read_without_allocating() {
    for version in 3..=13 {
        let frame = produce_frame(version);
        // The first slice of a frame counts its owners on the heap; a connection's buffer has done so already.
        let _shared = frame.clone();
        let (bytes, request) = allocated_by(|| {
            let (header, body) = decode_header(&frame).unwrap();
            decode_request(&header, &body).unwrap()
        });
        assert!(matches!(request, Request::Produce(request) if request.topic_data.len() == 1));
        assert_eq!(bytes, 0, "version {version}");
    }
}

fn decode_within_bounds(frame: Bytes) {
    let bound = frame.len() * BYTES_PER_BYTE_MAX + BYTES_MAX;
    let before = ALLOCATOR.allocated();
    // Over the limit the allocator fails, and the test with it.
    ALLOCATOR.set_limit(before + bound).unwrap();
    if let Ok((header, body)) = decode_header(&frame) {
        let _ = decode_request(&header, &body);
    }
    ALLOCATOR.set_limit(usize::MAX).unwrap();
}

fn claims_are_not_believed() {
    let header = |key: i16, version: i16| {
        [
            &key.to_be_bytes()[..],
            &version.to_be_bytes(),
            &[0; 4],
            &[0xff, 0xff],
        ]
        .concat()
    };
    for served in SERVED {
        for version in served.version_min..=served.version_max {
            let key = served.api_key.as_i16();
            // Every field claims as much as it can, and then a lot of bytes follow.
            for (fill, length) in [
                (0xff, 100),
                (0x7f, 100),
                (0x7f, 300_000),
                (0x01, 300_000),
                (0x02, 300_000),
            ] {
                let mut frame = header(key, version);
                frame.resize(frame.len() + length, fill);
                decode_within_bounds(frame.into());
            }
        }
    }
}

fn changed_frames_of_real_clients_stay_within_bounds() {
    for line in include_str!("vectors/requests.txt").lines() {
        let hex = line.rsplit(' ').next().unwrap();
        let frame: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect();
        for place in 8..frame.len() {
            for value in [0x00, 0x01, 0x7f, 0x80, 0xff] {
                let mut frame = frame.clone();
                frame[place] = value;
                decode_within_bounds(frame.into());
            }
        }
    }
}

fn many_empty_names_cost_no_more_than_their_limit() {
    // Version 4 of DeleteTopics takes compact names: one byte each for an empty one.
    let mut frame = [
        &20_i16.to_be_bytes()[..],
        &4_i16.to_be_bytes(),
        &[0; 4],
        &[0xff, 0xff, 0x00],
    ]
    .concat();
    let names = ARRAY_ELEMENTS_MAX as u32 + 1;
    frame.extend([names as u8 | 0x80, (names >> 7) as u8 | 0x80, (names >> 14) as u8]);
    frame.resize(frame.len() + names as usize, 1);
    let frame = Bytes::from(frame);
    decode_within_bounds(frame.clone());
    let (header, body) = decode_header(&frame).unwrap();
    let request = decode_request(&header, &body);
    // The count is one more than the names, so this is the most that passes the count; the timeout is missing then.
    assert!(
        matches!(
            request,
            Err(Error::Incomplete {
                field: "DeleteTopicsRequest.timeout_ms",
                ..
            })
        ),
        "{request:?}"
    );
}

#[test]
fn decoding_allocates_no_more_than_what_was_received_justifies() {
    request_of_one_partition_is_read_without_allocating();
    claims_are_not_believed();
    changed_frames_of_real_clients_stay_within_bounds();
    many_empty_names_cost_no_more_than_their_limit();
}

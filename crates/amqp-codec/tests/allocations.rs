//! What decoding allocates, counted by the allocator itself. One test, because the count is the whole process's.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::alloc::System;

use bytes::{BufMut, Bytes, BytesMut};
use cap::Cap;
use firth_amqp_codec::*;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

fn allocated_by<T>(run: impl FnOnce() -> T) -> (usize, T) {
    let before = ALLOCATOR.total_allocated();
    let result = run();
    (ALLOCATOR.total_allocated() - before, result)
}

/// Bytes as a connection has them: the first slice counts its owners on the heap, and its buffer has done so already.
fn shared(bytes: impl Into<Vec<u8>>) -> (Bytes, Bytes) {
    let mut bytes: Vec<u8> = bytes.into();
    bytes.reserve(1);
    let bytes = Bytes::from(bytes);
    (bytes.clone(), bytes)
}

fn a_small_message_is_read_and_written_without_allocating() {
    let publish = basic::Publish {
        exchange: "amq.topic".try_into().unwrap(),
        routing_key: "sensors.kitchen".try_into().unwrap(),
        ..Default::default()
    };
    let properties = b"\x90\0\x0atext/plain\x02";
    let mut written = BytesMut::new();
    write_content(&mut written, 1, FRAME_MAX_MIN, &publish, properties, &[7; 1024]);
    let (mut received, _kept) = shared(written.to_vec());

    let (bytes, command) = allocated_by(|| {
        let mut assembler = Assembler::default();
        loop {
            let Ok(Taken::Whole(frame)) = take_frame(&mut received, FRAME_MAX_MIN) else {
                panic!("three whole frames were written");
            };
            if let Some(command) = assembler.accept(&frame).unwrap() {
                break command;
            }
        }
    });
    assert_eq!(bytes, 0);
    let content = command.content.unwrap();
    let (bytes, read) = allocated_by(|| BasicProperties::read(&content.properties).unwrap());
    assert_eq!((bytes, read.delivery_mode), (0, Some(2)));

    written.clear();
    let body = content.body.into_bytes();
    let (bytes, ()) = allocated_by(|| {
        write_content(&mut written, 1, FRAME_MAX_MIN, &publish, properties, &body);
    });
    assert_eq!(bytes, 0);
}

fn lengths_that_lie_allocate_nothing() {
    let mut lie = BytesMut::new();
    // connection.start-ok with a table of 4 GiB, and one whose only field is a string of 4 GiB.
    lie.put_slice(b"\0\x0a\0\x0b\xff\xff\xff\xff");
    let (table, _kept) = shared(&lie[..]);
    let (string, _kept) = shared(*b"\0\x0a\0\x0b\0\0\0\x07\x01aS\xff\xff\xff\xff");
    for payload in [table, string] {
        let (bytes, decoded) = allocated_by(|| decode_method(&payload));
        assert!(decoded.is_err());
        assert_eq!(bytes, 0);
    }
    // A body of 16 EiB, of which nothing comes.
    let (header, _kept) = shared(*b"\0\x3c\0\0\xff\xff\xff\xff\xff\xff\xff\xff\0\0");
    let (publish, _kept) = shared(*b"\0\x3c\0\x28\0\0\0\0\0");
    let mut assembler = Assembler::default();
    let frame = |kind, payload| Frame {
        kind,
        channel: 1,
        payload,
    };
    assembler.accept(&frame(FrameKind::Method, publish)).unwrap();
    let header = frame(FrameKind::Header, header);
    let (bytes, accepted) = allocated_by(|| assembler.accept(&header));
    assert_eq!((bytes, accepted), (0, Ok(None)));
    assert_eq!(assembler.missing(), u64::MAX);
}

#[test]
fn decoding_allocates_only_for_what_came() {
    a_small_message_is_read_and_written_without_allocating();
    lengths_that_lie_allocate_nothing();
}

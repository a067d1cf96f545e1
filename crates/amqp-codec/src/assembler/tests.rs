use super::*;
use crate::classes::{basic, tx};
use crate::content::write_content;
use crate::frame::{FRAME_MAX_MIN, Taken, take_frame};

fn frames(mut received: Bytes) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Taken::Whole(frame) = take_frame(&mut received, FRAME_MAX_MIN).unwrap() {
        frames.push(frame);
    }
    assert!(received.is_empty());
    frames
}

fn publish(body: &[u8]) -> Vec<Frame> {
    let mut buf = BytesMut::new();
    write_content(
        &mut buf,
        1,
        FRAME_MAX_MIN,
        &basic::Publish::default(),
        b"\0\0",
        body,
    );
    frames(buf.freeze())
}

fn frame(kind: FrameKind, payload: &'static [u8]) -> Frame {
    Frame {
        kind,
        channel: 1,
        payload: Bytes::from_static(payload),
    }
}

/// After the frames, what the next one leads to.
fn then(before: &[Frame], next: &Frame) -> Result<Option<Command>, Unassembled> {
    let mut assembler = Assembler::default();
    for frame in before {
        assert_eq!(assembler.accept(frame), Ok(None));
    }
    assembler.accept(next)
}

#[test]
fn a_body_comes_in_frames_of_the_agreed_size() {
    for (length, expected) in [(0, 2), (1, 3), (4088, 3), (4089, 4), (10_000, 5)] {
        let body: Vec<u8> = (0..length).map(|index: u32| index as u8).collect();
        let frames = publish(&body);
        assert_eq!(frames.len(), expected, "frames of {length} bytes");
        let (last, before) = frames.split_last().unwrap();
        let command = then(before, last).unwrap().unwrap();
        let content = command.content.unwrap();
        assert_eq!(content.properties, b"\0\0".as_slice());
        assert_eq!(content.body.len(), body.len());
        assert_eq!(content.body.into_bytes(), body);
    }
}

#[test]
fn a_method_without_content_is_complete() {
    let select = frame(FrameKind::Method, b"\0\x5a\0\x0a");
    let command = then(&[], &select).unwrap().unwrap();
    assert_eq!(command.method, Method::from(tx::Select {}));
    assert_eq!(command.content, None);
}

#[test]
fn each_frame_in_each_wrong_place() {
    let whole = publish(b"body");
    let (method, header) = (&whole[..1], &whole[..2]);
    let select = frame(FrameKind::Method, b"\0\x5a\0\x0a");
    let of_tx = frame(FrameKind::Header, b"\0\x5a\0\0\0\0\0\0\0\0\0\x04\0\0");
    let weighs = frame(FrameKind::Header, b"\0\x3c\0\x01\0\0\0\0\0\0\0\x04\0\0");
    let body = frame(FrameKind::Body, b"bo");
    let heartbeat = frame(FrameKind::Heartbeat, b"");
    let no_header = Unassembled::NoHeader { expected: 60 };
    let other_class = Unassembled::HeaderOf {
        expected: 60,
        class_id: 90,
    };
    let cases: [(&[Frame], &Frame, Unassembled); 10] = [
        (&[], &whole[1], Unassembled::NoMethod),
        (&[], &body, Unassembled::NoMethod),
        (&[], &heartbeat, Unassembled::NoMethod),
        (method, &select, no_header),
        (method, &body, no_header),
        (method, &weighs, no_header),
        (method, &of_tx, other_class),
        (header, &select, Unassembled::NoBody),
        (header, &whole[1], Unassembled::NoBody),
        (header, &heartbeat, Unassembled::NoBody),
    ];
    for (before, next, error) in cases {
        assert_eq!(then(before, next), Err(error));
        assert_eq!(error.reply_code(), ReplyCode::UnexpectedFrame);
    }
}

#[test]
fn a_body_has_the_size_that_was_promised() {
    let whole = publish(b"body");
    let mut assembler = Assembler::default();
    assert_eq!(assembler.accept(&whole[0]), Ok(None));
    assert_eq!(assembler.accept(&whole[1]), Ok(None));
    assert_eq!(assembler.missing(), 4);
    // Frames without a byte are allowed, and cost nothing.
    for _ in 0..1000 {
        assert_eq!(assembler.accept(&frame(FrameKind::Body, b"")), Ok(None));
    }
    assert_eq!(assembler.accept(&frame(FrameKind::Body, b"bo")), Ok(None));
    assert_eq!(assembler.missing(), 2);
    let too_long = assembler.accept(&frame(FrameKind::Body, b"dy!"));
    assert_eq!(too_long, Err(Unassembled::BodyTooLong));
    assert_eq!(Unassembled::BodyTooLong.reply_code(), ReplyCode::FrameError);
}

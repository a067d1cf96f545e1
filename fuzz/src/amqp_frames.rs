//! Splitting any bytes into frames, and putting those of a channel together: the same wherever they are cut, and what was
//! read means the same when it is written and read again.

use bytes::{Bytes, BytesMut};
use firth_amqp_codec::{
    Assembler, Command, FRAME_MAX_MIN, FRAME_OVERHEAD, Frame, Taken, decode_method, take_frame,
};

pub fn run(bytes: &[u8]) {
    let whole = Bytes::copy_from_slice(bytes);
    let (frames, ended) = split(whole.clone());
    let cut = frames_up_to(&whole, bytes.len() / 3);
    let (mut in_two, _) = split(whole.slice(..cut));
    let (rest, rest_ended) = split(whole.slice(cut..));
    in_two.extend(rest);
    assert_eq!((&in_two, rest_ended), (&frames, ended));

    let mut assembler = Assembler::default();
    for frame in &frames {
        let held = assembler.missing();
        match assembler.accept(frame) {
            Ok(Some(command)) => again(&command),
            Ok(None) => assert!(assembler.awaiting().is_some()),
            Err(_) => assembler = Assembler::default(),
        }
        assert!(held == 0 || assembler.missing() <= held);
    }
}

/// The frames, and whether something followed them that is none.
fn split(mut received: Bytes) -> (Vec<Frame>, bool) {
    let mut frames = Vec::new();
    loop {
        let length = received.len();
        match take_frame(&mut received, FRAME_MAX_MIN) {
            Ok(Taken::Whole(frame)) => {
                assert_eq!(length - received.len(), frame.payload.len() + FRAME_OVERHEAD);
                frames.push(frame);
            }
            Ok(Taken::Incomplete { needed }) => {
                assert!(needed > length && needed <= FRAME_MAX_MIN as usize + FRAME_OVERHEAD);
                return (frames, false);
            }
            Err(_) => return (frames, true),
        }
    }
}

/// The end of the last whole frame that ends within `bound`.
fn frames_up_to(whole: &Bytes, bound: usize) -> usize {
    let mut received = whole.slice(..bound);
    let mut end = 0;
    while let Ok(Taken::Whole(frame)) = take_frame(&mut received, FRAME_MAX_MIN) {
        end += frame.payload.len() + FRAME_OVERHEAD;
    }
    end
}

fn again(command: &Command) {
    assert_eq!(command.content.is_some(), command.method.has_content());
    if let Some(content) = &command.content {
        let length: usize = content.body.pieces().iter().map(Bytes::len).sum();
        assert_eq!(length, content.body.len());
        assert_eq!(content.body.clone().into_bytes().len(), length);
    }
    let mut written = BytesMut::new();
    command.method.write(&mut written, 1);
    let Ok(Taken::Whole(frame)) = take_frame(&mut written.freeze(), 0) else {
        panic!("what was read can be written");
    };
    assert_eq!(decode_method(&frame.payload).as_ref(), Ok(&command.method));
}

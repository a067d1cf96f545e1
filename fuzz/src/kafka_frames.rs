//! Splitting any bytes into frames: the frames are what was received, in order, and the same wherever it is cut.

use bytes::{Bytes, BytesMut};
use firth_kafka_codec::{Error, Frame, SIZE_BYTES, frame_size, split_frame};

const FRAME_BYTES_MAX: usize = 64 * 1024;

pub fn run(bytes: &[u8]) {
    let (frames, end) = split(&[bytes]);
    let cut = bytes.len() / 3;
    assert_eq!(
        split(&[&bytes[..cut], &bytes[cut..]]),
        (frames.clone(), end.clone())
    );
    let mut walked = 0;
    for frame in &frames {
        assert_eq!(
            frame_size(&bytes[walked..], FRAME_BYTES_MAX),
            Ok(Some(frame.len()))
        );
        walked += SIZE_BYTES;
        assert_eq!(frame, &bytes[walked..walked + frame.len()]);
        walked += frame.len();
    }
    if let Ok(needed) = end {
        assert!(needed > 0 && needed <= FRAME_BYTES_MAX + SIZE_BYTES);
    }
}

/// The frames, and what is needed for the next one.
fn split(pieces: &[&[u8]]) -> (Vec<Bytes>, Result<usize, Error>) {
    let mut received = BytesMut::new();
    let mut frames = Vec::new();
    let mut end = Ok(SIZE_BYTES);
    for piece in pieces {
        received.extend_from_slice(piece);
        end = loop {
            match split_frame(&mut received, FRAME_BYTES_MAX) {
                Ok(Frame::Whole(frame)) => frames.push(frame),
                Ok(Frame::Incomplete { needed }) => break Ok(needed),
                Err(error) => break Err(error),
            }
        };
    }
    (frames, end)
}

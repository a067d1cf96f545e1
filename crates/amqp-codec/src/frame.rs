//! The frames that everything but the protocol header travels in (section 4.2.3):
//!
//! ```text
//! | type u8 | channel u16 | size u32 | payload: size bytes | frame-end 0xCE |
//! ```
//!
//! The size that both sides agree on, `frame-max`, counts the whole frame.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::error::Error;

pub const FRAME_END: u8 = 0xCE;

/// Type, channel and size.
const FRAME_START_BYTES: usize = 7;

/// What a frame has around its payload.
pub const FRAME_OVERHEAD: usize = FRAME_START_BYTES + 1;

/// Nobody may ask for less.
pub const FRAME_MAX_MIN: u32 = 4096;

/// What a frame may have before a size is agreed, as RabbitMQ has it since 4.1: tokens that log in are long.
pub const FRAME_MAX_UNTUNED: u32 = 8192;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FrameKind {
    Method = 1,
    Header = 2,
    Body = 3,
    Heartbeat = 8,
}

impl FrameKind {
    fn of(octet: u8) -> Result<FrameKind, Error> {
        match octet {
            1 => Ok(FrameKind::Method),
            2 => Ok(FrameKind::Header),
            3 => Ok(FrameKind::Body),
            8 => Ok(FrameKind::Heartbeat),
            value => Err(Error::Frame { what: "type", value }),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: FrameKind,
    pub channel: u16,
    pub payload: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    Whole(Frame),
    /// The frame is not there yet: at least this many bytes in all are needed.
    Incomplete {
        needed: usize,
    },
}

/// The size of the frame at the beginning, with what is around its payload, as soon as that is there to say so.
///
/// A payload may have all of `frame_max`, as RabbitMQ has it: clients are known that do not count what is around it.
///
/// # Errors
/// The type is none, or the frame is larger than `frame_max` allows, where 0 is no limit.
pub fn frame_size(received: &[u8], frame_max: u32) -> Result<Option<usize>, Error> {
    let Some((&kind, rest)) = received.split_first() else {
        return Ok(None);
    };
    // Before all else: the other side may not speak AMQP at all.
    FrameKind::of(kind)?;
    let Some(size) = rest.get(2..).and_then(<[u8]>::first_chunk::<4>) else {
        return Ok(None);
    };
    let size = usize::try_from(u32::from_be_bytes(*size)).unwrap_or(usize::MAX);
    let frame_max = match frame_max {
        0 => usize::MAX,
        frame_max => usize::try_from(frame_max).unwrap_or(usize::MAX),
    };
    if size > frame_max {
        let max = frame_max.saturating_sub(FRAME_OVERHEAD);
        return Err(Error::FrameTooLarge { size, max });
    }
    Ok(Some(size.saturating_add(FRAME_OVERHEAD)))
}

/// Takes the frame at the beginning. Its payload is a slice of what was received.
///
/// # Errors
/// As [`frame_size`], or the frame does not end with [`FRAME_END`].
pub fn take_frame(received: &mut Bytes, frame_max: u32) -> Result<Taken, Error> {
    let Some(needed) = frame_size(received, frame_max)? else {
        return Ok(Taken::Incomplete {
            needed: FRAME_OVERHEAD,
        });
    };
    if received.len() < needed {
        return Ok(Taken::Incomplete { needed });
    }
    let mut frame = received.split_to(needed);
    let kind = FrameKind::of(frame.get_u8())?;
    let channel = frame.get_u16();
    frame.advance(size_of::<u32>());
    match frame.split_off(frame.len().saturating_sub(1)).first() {
        Some(&FRAME_END) => Ok(Taken::Whole(Frame {
            kind,
            channel,
            payload: frame,
        })),
        value => Err(Error::Frame {
            what: "frame-end",
            value: value.copied().unwrap_or_default(),
        }),
    }
}

/// Writes what stands before a payload of `size` bytes; whoever writes that ends it with [`FRAME_END`].
pub fn write_frame_start(buf: &mut BytesMut, kind: FrameKind, channel: u16, size: u32) {
    buf.put_u8(kind as u8);
    buf.put_u16(channel);
    buf.put_u32(size);
}

pub fn write_heartbeat(buf: &mut BytesMut) {
    write_frame_start(buf, FrameKind::Heartbeat, 0, 0);
    buf.put_u8(FRAME_END);
}

/// Writes a frame whose size is known when its payload is written.
pub(crate) fn write_frame(
    buf: &mut BytesMut,
    kind: FrameKind,
    channel: u16,
    payload: impl FnOnce(&mut BytesMut),
) {
    let start = buf.len();
    write_frame_start(buf, kind, channel, 0);
    payload(buf);
    let end = start.saturating_add(FRAME_START_BYTES);
    // No payload that can be written reaches 4 GiB: see `LONG_STR_BYTES_MAX`.
    let size = u32::try_from(buf.len().saturating_sub(end)).unwrap_or(u32::MAX);
    if let Some(place) = buf.get_mut(end.saturating_sub(size_of::<u32>())..end) {
        place.copy_from_slice(&size.to_be_bytes());
    }
    buf.put_u8(FRAME_END);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heartbeat() -> BytesMut {
        let mut buf = BytesMut::new();
        write_heartbeat(&mut buf);
        buf
    }

    #[test]
    fn a_heartbeat_is_eight_bytes() {
        assert_eq!(&heartbeat()[..], b"\x08\0\0\0\0\0\0\xCE");
        let mut received = heartbeat().freeze();
        let Taken::Whole(frame) = take_frame(&mut received, FRAME_MAX_MIN).unwrap() else {
            panic!("a whole frame was received");
        };
        assert_eq!(
            (frame.kind, frame.channel, frame.payload.len()),
            (FrameKind::Heartbeat, 0, 0)
        );
        assert!(received.is_empty());
    }

    #[test]
    fn a_frame_is_refused_as_soon_as_it_can_be() {
        let other = Error::Frame {
            what: "type",
            value: b'G',
        };
        assert_eq!(frame_size(b"G", 4096), Err(other));
        assert_eq!(frame_size(b"\x01\0\0\0\0\x0f", 4096), Ok(None));
        assert_eq!(frame_size(b"\x01\0\0\0\0\x0f\xf8", 4096), Ok(Some(4096)));
        assert_eq!(frame_size(b"\x01\0\0\0\0\x10\0", 4096), Ok(Some(4104)));
        let too_large = Error::FrameTooLarge {
            size: 4097,
            max: 4088,
        };
        assert_eq!(frame_size(b"\x01\0\0\0\0\x10\x01", 4096), Err(too_large));
        assert_eq!(
            frame_size(b"\x01\0\0\xff\xff\xff\xff", 0),
            Ok(Some(4_294_967_303))
        );
    }

    #[test]
    fn a_frame_ends_as_it_must() {
        let mut frame = heartbeat();
        frame[7] = 0xCD;
        let wrong = Error::Frame {
            what: "frame-end",
            value: 0xCD,
        };
        assert_eq!(take_frame(&mut frame.freeze(), 4096), Err(wrong));
    }
}

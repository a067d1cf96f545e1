//! The frames that follow a method with a content (sections 4.2.6 and 4.2.7):
//!
//! ```text
//! header = | class-id u16 | weight u16 0 | body size u64 | property flags u16 | property list |
//! body   = as many frames as the body needs, none for an empty one
//! ```

mod properties;

use bytes::{BufMut, Bytes, BytesMut};

pub use self::properties::BasicProperties;
use crate::class::ClassMethod;
use crate::classes::basic;
use crate::error::Error;
use crate::frame::{FRAME_END, FRAME_OVERHEAD, FrameKind, write_frame_start};
use crate::method::write_method;
use crate::primitives::Cursor;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentHeader {
    pub class_id: u16,
    /// 0, or the frame is not what it seems to be.
    pub weight: u16,
    pub body_size: u64,
    /// The flags and the list as they came: see [`BasicProperties`].
    pub properties: Bytes,
}

/// What stands before the properties.
const HEADER_START_BYTES: usize = 12;

impl ContentHeader {
    /// Reads the payload of a header frame. The properties are not looked into.
    ///
    /// # Errors
    /// It is too short.
    pub fn decode(payload: &Bytes) -> Result<ContentHeader, Error> {
        let mut cursor = Cursor::new(payload);
        let class_id = u16::from_be_bytes(cursor.chunk()?);
        let weight = u16::from_be_bytes(cursor.chunk()?);
        let body_size = u64::from_be_bytes(cursor.chunk()?);
        Ok(ContentHeader {
            class_id,
            weight,
            body_size,
            properties: payload.slice_ref(cursor.rest()),
        })
    }

    /// Writes the frame of a header of class basic. The properties must not be more than a frame may have.
    fn write(buf: &mut BytesMut, channel: u16, body_size: usize, properties: &[u8]) {
        let size = HEADER_START_BYTES.saturating_add(properties.len());
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        write_frame_start(buf, FrameKind::Header, channel, size);
        buf.put_u16(basic::CLASS_ID);
        buf.put_u16(0);
        buf.put_u64(u64::try_from(body_size).unwrap_or(u64::MAX));
        buf.put_slice(properties);
        buf.put_u8(FRAME_END);
    }
}

/// Writes a method, its header, and of the body what `write_body` would. `properties` are flags and list.
pub fn write_content<M: ClassMethod>(
    buf: &mut BytesMut,
    channel: u16,
    frame_max: u32,
    method: &M,
    properties: &[u8],
    body: &[u8],
) {
    let around = FRAME_OVERHEAD
        .saturating_mul(3)
        .saturating_add(HEADER_START_BYTES);
    buf.reserve(around.saturating_add(properties.len()).saturating_add(body.len()));
    write_content_start(buf, channel, method, properties, body.len());
    write_body(buf, channel, frame_max, body);
}

/// Writes a method and its header, for a body of so many bytes that is written behind them.
pub fn write_content_start<M: ClassMethod>(
    buf: &mut BytesMut,
    channel: u16,
    method: &M,
    properties: &[u8],
    body_size: usize,
) {
    write_method(buf, channel, method);
    ContentHeader::write(buf, channel, body_size, properties);
}

/// Writes a body, cut into frames of at most `frame_max` bytes each, where 0 is no limit.
pub fn write_body(buf: &mut BytesMut, channel: u16, frame_max: u32, body: &[u8]) {
    for piece in body.chunks(body_frame_bytes_max(frame_max)) {
        let size = u32::try_from(piece.len()).unwrap_or(u32::MAX);
        write_frame_start(buf, FrameKind::Body, channel, size);
        buf.put_slice(piece);
        buf.put_u8(FRAME_END);
    }
}

/// Of a body, how much a frame takes.
fn body_frame_bytes_max(frame_max: u32) -> usize {
    let frame_max = match frame_max {
        0 => u32::MAX,
        frame_max => frame_max,
    };
    let frame_bytes_max = usize::try_from(frame_max).unwrap_or(usize::MAX);
    frame_bytes_max.saturating_sub(FRAME_OVERHEAD).max(1)
}

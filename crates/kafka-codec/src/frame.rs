//! Frames on a connection, in both directions:
//!
//! ```text
//! | size i32 | size bytes: header, body |
//! ```

use bytes::{Bytes, BytesMut};

use crate::error::Error;

/// Bytes of the size prefix.
pub const SIZE_BYTES: usize = size_of::<i32>();

/// What the bytes received so far are the beginning of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// At least so many more bytes must arrive before the next step: the rest of the prefix, or of the frame.
    Incomplete { needed: usize },
    /// A frame without its size prefix.
    Whole(Bytes),
}

/// The size of the frame that starts in `received`, or `None` while its prefix is not whole.
///
/// # Errors
/// `Malformed` for a negative size and for one over `frame_bytes_max`. Nothing was allocated for the frame then, and
/// the connection cannot be read further.
pub fn frame_size(received: &[u8], frame_bytes_max: usize) -> Result<Option<usize>, Error> {
    let Some(prefix) = received.first_chunk() else {
        return Ok(None);
    };
    let size = i32::from_be_bytes(*prefix);
    match usize::try_from(size) {
        Ok(size) if size <= frame_bytes_max => Ok(Some(size)),
        _ => Err(Error::Malformed {
            field: "frame",
            what: "size",
            value: i64::from(size),
        }),
    }
}

/// Takes the next frame from the front of `received`.
///
/// # Errors
/// As [`frame_size`]; `received` is left as it was.
pub fn split_frame(received: &mut BytesMut, frame_bytes_max: usize) -> Result<Frame, Error> {
    let Some(size) = frame_size(received, frame_bytes_max)? else {
        return Ok(Frame::Incomplete {
            needed: SIZE_BYTES.saturating_sub(received.len()),
        });
    };
    let end = size.saturating_add(SIZE_BYTES);
    match end.checked_sub(received.len()) {
        None | Some(0) => Ok(Frame::Whole(received.split_to(end).freeze().slice(SIZE_BYTES..))),
        Some(needed) => Ok(Frame::Incomplete { needed }),
    }
}

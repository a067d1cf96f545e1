use std::fmt;

use bytes::Bytes;

use super::{Field, Reader, Writer};
use crate::error::Error;

/// At most 255 bytes, which share what they came in: what is stored for longer is copied out first.
///
/// They are UTF-8 in methods without a content. Of methods with one, RabbitMQ looks at neither exchange nor routing key.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShortStr {
    bytes: Bytes,
}

impl ShortStr {
    pub const BYTES_MAX: usize = u8::MAX as usize;

    /// As much of the text as fits, cut between two characters: for reply texts.
    pub fn truncated(text: &str) -> ShortStr {
        let end = text.floor_char_boundary(ShortStr::BYTES_MAX.min(text.len()));
        let kept = text.get(..end).unwrap_or_default();
        ShortStr {
            bytes: Bytes::copy_from_slice(kept.as_bytes()),
        }
    }

    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The text, if it is one.
    pub fn to_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok()
    }
}

impl TryFrom<Bytes> for ShortStr {
    type Error = Error;

    fn try_from(bytes: Bytes) -> Result<ShortStr, Error> {
        if bytes.len() > ShortStr::BYTES_MAX {
            return Err(Error::TooLong {
                what: "short string",
                length: bytes.len(),
                max: ShortStr::BYTES_MAX,
            });
        }
        Ok(ShortStr { bytes })
    }
}

impl TryFrom<&str> for ShortStr {
    type Error = Error;

    fn try_from(text: &str) -> Result<ShortStr, Error> {
        Bytes::copy_from_slice(text.as_bytes()).try_into()
    }
}

impl Field for ShortStr {
    #[inline]
    fn read(reader: &mut Reader<'_>) -> Result<ShortStr, Error> {
        reader.short_str().map(|bytes| ShortStr { bytes })
    }

    #[inline]
    fn write(&self, writer: &mut Writer<'_>) {
        writer.octets(&[u8::try_from(self.bytes.len()).unwrap_or(u8::MAX)]);
        writer.octets(&self.bytes);
    }
}

impl PartialEq<str> for ShortStr {
    fn eq(&self, other: &str) -> bool {
        *self.bytes == *other.as_bytes()
    }
}

impl PartialEq<&str> for ShortStr {
    fn eq(&self, other: &&str) -> bool {
        *self.bytes == *other.as_bytes()
    }
}

impl fmt::Debug for ShortStr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(&self.bytes), f)
    }
}

impl fmt::Display for ShortStr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&String::from_utf8_lossy(&self.bytes))
    }
}

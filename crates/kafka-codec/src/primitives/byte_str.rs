use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use bytes::Bytes;

use crate::error::Error;

/// A string of the protocol: UTF-8 that shares the bytes of the frame it came in.
///
/// It keeps the whole frame alive, so what is stored for longer than a request is copied out first.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ByteStr {
    bytes: Bytes,
}

impl ByteStr {
    pub const fn from_static(text: &'static str) -> ByteStr {
        ByteStr {
            bytes: Bytes::from_static(text.as_bytes()),
        }
    }

    pub fn as_str(&self) -> &str {
        // Validated when it was made. Doing it again costs a few nanoseconds and saves an `unsafe`.
        std::str::from_utf8(&self.bytes).unwrap_or_default()
    }

    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl TryFrom<Bytes> for ByteStr {
    type Error = Error;

    fn try_from(bytes: Bytes) -> Result<ByteStr, Error> {
        match std::str::from_utf8(&bytes) {
            Ok(_) => Ok(ByteStr { bytes }),
            Err(error) => {
                let offset = i64::try_from(error.valid_up_to()).unwrap_or(i64::MAX);
                Err(Error::malformed("offset of invalid UTF-8", offset))
            }
        }
    }
}

impl From<&str> for ByteStr {
    fn from(text: &str) -> ByteStr {
        ByteStr {
            bytes: Bytes::copy_from_slice(text.as_bytes()),
        }
    }
}

impl From<String> for ByteStr {
    fn from(text: String) -> ByteStr {
        ByteStr {
            bytes: Bytes::from(text),
        }
    }
}

impl Deref for ByteStr {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for ByteStr {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl Hash for ByteStr {
    // As `str` hashes, because a map keyed by `ByteStr` is looked up by `&str`.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl PartialEq<str> for ByteStr {
    fn eq(&self, other: &str) -> bool {
        *self.bytes == *other.as_bytes()
    }
}

impl PartialEq<&str> for ByteStr {
    fn eq(&self, other: &&str) -> bool {
        *self.bytes == *other.as_bytes()
    }
}

impl fmt::Debug for ByteStr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for ByteStr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

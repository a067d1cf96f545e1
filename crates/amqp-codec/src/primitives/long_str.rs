use std::fmt;

use bytes::Bytes;

use super::{Field, Reader, Writer};
use crate::error::Error;

/// Of a long string or a table, so that no method that is written exceeds what the size of a frame can say. No frame that
/// a server takes comes near it.
pub const LONG_STR_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Bytes that share what they came in. They need not be text: credentials and challenges are in them.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct LongStr {
    bytes: Bytes,
}

impl LongStr {
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

pub(crate) fn check_length(what: &'static str, length: usize) -> Result<(), Error> {
    if length > LONG_STR_BYTES_MAX {
        return Err(Error::TooLong {
            what,
            length,
            max: LONG_STR_BYTES_MAX,
        });
    }
    Ok(())
}

impl TryFrom<Bytes> for LongStr {
    type Error = Error;

    fn try_from(bytes: Bytes) -> Result<LongStr, Error> {
        check_length("long string", bytes.len())?;
        Ok(LongStr { bytes })
    }
}

impl TryFrom<&str> for LongStr {
    type Error = Error;

    fn try_from(text: &str) -> Result<LongStr, Error> {
        Bytes::copy_from_slice(text.as_bytes()).try_into()
    }
}

impl Field for LongStr {
    fn read(reader: &mut Reader<'_>) -> Result<LongStr, Error> {
        reader.long_str()?.try_into()
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.octets(&u32::try_from(self.bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        writer.octets(&self.bytes);
    }
}

impl fmt::Debug for LongStr {
    // It may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LongStr({} bytes)", self.bytes.len())
    }
}

//! The primitive types of the protocol (section 4.2.5). Integers are big-endian.
//!
//! ```text
//! short string   u8 n, n bytes
//! long string    u32 n, n bytes
//! table          u32 n, n bytes: see field_table.rs
//! bit            consecutive bits of a method share octets, the first being the lowest bit
//! ```

mod cursor;
mod long_str;
mod reader;
mod short_str;
mod writer;

pub(crate) use self::cursor::Cursor;
pub(crate) use self::long_str::check_length;
pub use self::long_str::{LONG_STR_BYTES_MAX, LongStr};
pub use self::reader::Reader;
pub use self::short_str::ShortStr;
pub use self::writer::Writer;
use crate::error::Error;

/// What a method's fields are made of.
pub trait Field: Sized {
    /// # Errors
    /// The field ends behind the frame, or has a value that it may not have.
    fn read(reader: &mut Reader<'_>) -> Result<Self, Error>;

    fn write(&self, writer: &mut Writer<'_>);
}

macro_rules! integers {
    ($($type:ident)*) => {$(
        impl Field for $type {
            #[inline]
            fn read(reader: &mut Reader<'_>) -> Result<$type, Error> {
                reader.octets().map($type::from_be_bytes)
            }

            #[inline]
            fn write(&self, writer: &mut Writer<'_>) {
                writer.octets(&self.to_be_bytes());
            }
        }
    )*};
}

integers!(u8 u16 u32 u64);

impl Field for bool {
    #[inline]
    fn read(reader: &mut Reader<'_>) -> Result<bool, Error> {
        reader.bit()
    }

    #[inline]
    fn write(&self, writer: &mut Writer<'_>) {
        writer.bit(*self);
    }
}

//! The properties of class basic (section 4.2.6.1 and 1.8.3): sixteen flags, the highest for the first property, then the
//! values of those that are there, in this order.
//!
//! ```text
//! 15 content-type      12 delivery-mode   9 reply-to     6 timestamp   3 app-id
//! 14 content-encoding  11 priority        8 expiration   5 type        2 cluster-id
//! 13 headers           10 correlation-id  7 message-id   4 user-id     1, 0 looked at by nobody
//! ```

use bytes::{BufMut, BytesMut};

use crate::error::Error;
use crate::field_table::Table;
use crate::primitives::{Cursor, ShortStr};

trait Property<'a>: Sized {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, Error>;
    fn write(&self, buf: &mut BytesMut) -> Result<(), Error>;
}

macro_rules! properties {
    ($($(#[$meta:meta])* $property:ident: $type:ty = $bit:literal,)*) => {
        /// What describes a message, borrowed from its header.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct BasicProperties<'a> {
            $($(#[$meta])* pub $property: Option<$type>,)*
        }

        impl<'a> BasicProperties<'a> {
            /// Reads flags and list.
            ///
            /// # Errors
            /// A value cannot be read, or something follows the last one.
            pub fn read(bytes: &'a [u8]) -> Result<BasicProperties<'a>, Error> {
                let mut cursor = Cursor::new(bytes);
                let flags = u16::from_be_bytes(cursor.chunk()?);
                let mut properties = BasicProperties::default();
                $(
                    if flags & (1 << $bit) != 0 {
                        let value = Property::read(&mut cursor).map_err(|error| error.at(stringify!($property)))?;
                        properties.$property = Some(value);
                    }
                )*
                match cursor.rest().len() {
                    0 => Ok(properties),
                    bytes => Err(Error::Trailing { field: "properties", bytes }),
                }
            }

            /// Writes flags and list.
            ///
            /// # Errors
            /// A value is longer than its length can say. Then a part of it is written.
            pub fn write(&self, buf: &mut BytesMut) -> Result<(), Error> {
                let flags = 0_u16 $(| (u16::from(self.$property.is_some()) << $bit))*;
                buf.put_u16(flags);
                $(
                    if let Some(value) = &self.$property {
                        value.write(buf)?;
                    }
                )*
                Ok(())
            }
        }
    };
}

properties! {
    content_type: &'a [u8] = 15,
    content_encoding: &'a [u8] = 14,
    headers: Table<'a> = 13,
    /// 2 is persistent.
    delivery_mode: u8 = 12,
    priority: u8 = 11,
    correlation_id: &'a [u8] = 10,
    reply_to: &'a [u8] = 9,
    /// Milliseconds as decimal digits.
    expiration: &'a [u8] = 8,
    message_id: &'a [u8] = 7,
    /// Seconds since 1970.
    timestamp: u64 = 6,
    kind: &'a [u8] = 5,
    user_id: &'a [u8] = 4,
    app_id: &'a [u8] = 3,
    cluster_id: &'a [u8] = 2,
}

impl<'a> Property<'a> for &'a [u8] {
    fn read(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Error> {
        cursor.short_str()
    }

    fn write(&self, buf: &mut BytesMut) -> Result<(), Error> {
        let length = u8::try_from(self.len()).map_err(|_| Error::TooLong {
            what: "property",
            length: self.len(),
            max: ShortStr::BYTES_MAX,
        })?;
        buf.put_u8(length);
        buf.put_slice(self);
        Ok(())
    }
}

impl<'a> Property<'a> for Table<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Table<'a>, Error> {
        Table::read(cursor.long_str()?)
    }

    fn write(&self, buf: &mut BytesMut) -> Result<(), Error> {
        let bytes = self.as_bytes();
        let length = u32::try_from(bytes.len()).map_err(|_| Error::TooLong {
            what: "headers",
            length: bytes.len(),
            max: usize::try_from(u32::MAX).unwrap_or(usize::MAX),
        })?;
        buf.put_u32(length);
        buf.put_slice(bytes);
        Ok(())
    }
}

impl Property<'_> for u8 {
    fn read(cursor: &mut Cursor<'_>) -> Result<u8, Error> {
        cursor.chunk().map(u8::from_be_bytes)
    }

    fn write(&self, buf: &mut BytesMut) -> Result<(), Error> {
        buf.put_u8(*self);
        Ok(())
    }
}

impl Property<'_> for u64 {
    fn read(cursor: &mut Cursor<'_>) -> Result<u64, Error> {
        cursor.chunk().map(u64::from_be_bytes)
    }

    fn write(&self, buf: &mut BytesMut) -> Result<(), Error> {
        buf.put_u64(*self);
        Ok(())
    }
}

#[cfg(test)]
mod tests;

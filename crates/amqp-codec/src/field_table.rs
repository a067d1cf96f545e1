//! Field tables and arrays (section 4.2.5.5), in the types that RabbitMQ knows, which are not the specification's:
//!
//! ```text
//! table = u32 n, n bytes of (short string name, value)     array = u32 n, n bytes of (value)
//! value = a letter and
//!   't' bool u8      'b' i8     'B' u8     's' i16    'u' u16    'I' i32    'i' u32    'l' 'L' i64
//!   'f' f32          'd' f64    'D' decimal: u8 scale, u32     'T' timestamp: u64 seconds
//!   'S' long string  'x' bytes  'F' table  'A' array  'V' nothing
//! ```
//!
//! Source: RabbitMQ's errata of AMQP 0-9-1, and what its parser does.

mod iter;
mod validate;
mod value;
mod writer;

use std::fmt;

use bytes::Bytes;

pub use self::iter::{Fields, Values};
pub use self::validate::TABLE_DEPTH_MAX;
pub use self::value::FieldValue;
pub use self::writer::{ArrayWriter, TableWriter};
use crate::error::Error;
use crate::primitives::{Field, Reader, Writer, check_length};

/// A table that shares the bytes it came in, without the length in front. It is known to be well-formed.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct FieldTable {
    bytes: Bytes,
}

/// A well-formed table, borrowed.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Table<'a> {
    bytes: &'a [u8],
}

/// A well-formed array, borrowed.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Array<'a> {
    bytes: &'a [u8],
}

impl FieldTable {
    /// A table of what `write` puts into it.
    ///
    /// # Errors
    /// A name or the whole is too long, or it nests too deep.
    pub fn build(write: impl FnOnce(&mut TableWriter<'_>)) -> Result<FieldTable, Error> {
        writer::build(write)
    }

    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub fn as_table(&self) -> Table<'_> {
        Table { bytes: &self.bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The value of the first field of this name.
    pub fn get(&self, name: &str) -> Option<FieldValue<'_>> {
        self.as_table().get(name)
    }

    pub fn iter(&self) -> Fields<'_> {
        self.as_table().iter()
    }
}

impl TryFrom<Bytes> for FieldTable {
    type Error = Error;

    /// Reads what stands behind the length of a table.
    fn try_from(bytes: Bytes) -> Result<FieldTable, Error> {
        check_length("table", bytes.len())?;
        validate::table(&bytes)?;
        Ok(FieldTable { bytes })
    }
}

impl Field for FieldTable {
    fn read(reader: &mut Reader<'_>) -> Result<FieldTable, Error> {
        reader.long_str()?.try_into()
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.octets(&u32::try_from(self.bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        writer.octets(&self.bytes);
    }
}

impl<'a> Table<'a> {
    /// Reads what stands behind the length of a table.
    ///
    /// # Errors
    /// It is not well-formed.
    pub fn read(bytes: &'a [u8]) -> Result<Table<'a>, Error> {
        validate::table(bytes)?;
        Ok(Table { bytes })
    }

    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The value of the first field of this name.
    pub fn get(&self, name: &str) -> Option<FieldValue<'a>> {
        self.iter()
            .find(|(field, _)| *field == name.as_bytes())
            .map(|(_, value)| value)
    }

    pub fn iter(&self) -> Fields<'a> {
        Fields::new(self.bytes)
    }
}

impl<'a> Array<'a> {
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn iter(&self) -> Values<'a> {
        Values::new(self.bytes)
    }
}

impl<'a> IntoIterator for Table<'a> {
    type Item = (&'a [u8], FieldValue<'a>);
    type IntoIter = Fields<'a>;

    fn into_iter(self) -> Fields<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for Array<'a> {
    type Item = FieldValue<'a>;
    type IntoIter = Values<'a>;

    fn into_iter(self) -> Values<'a> {
        self.iter()
    }
}

impl fmt::Debug for FieldTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_table().fmt(f)
    }
}

impl fmt::Debug for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = self
            .iter()
            .map(|(name, value)| (String::from_utf8_lossy(name), value));
        f.debug_map().entries(fields).finish()
    }
}

impl fmt::Debug for Array<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests;

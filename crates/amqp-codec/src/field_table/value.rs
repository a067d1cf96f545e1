use std::fmt;

use super::{Array, Table};
use crate::error::Error;
use crate::primitives::Cursor;

/// One value of a table or an array.
#[derive(Clone, Copy, PartialEq)]
pub enum FieldValue<'a> {
    Bool(bool),
    I8(i8),
    U8(u8),
    I16(i16),
    U16(u16),
    I32(i32),
    U32(u32),
    I64(i64),
    F32(f32),
    F64(f64),
    /// `value` divided by ten to the power of `scale`.
    Decimal {
        scale: u8,
        value: u32,
    },
    /// Mostly text.
    LongStr(&'a [u8]),
    Bytes(&'a [u8]),
    /// Seconds since 1970.
    Timestamp(u64),
    Table(Table<'a>),
    Array(Array<'a>),
    Void,
}

impl<'a> FieldValue<'a> {
    /// A table or an array in it is taken as it is, so one that was not checked before has to be checked still.
    pub(super) fn read_shallow(cursor: &mut Cursor<'a>) -> Result<FieldValue<'a>, Error> {
        let [letter] = cursor.chunk()?;
        let value = match letter {
            b't' => FieldValue::Bool(cursor.chunk()? != [0]),
            b'b' => FieldValue::I8(i8::from_be_bytes(cursor.chunk()?)),
            b'B' => FieldValue::U8(u8::from_be_bytes(cursor.chunk()?)),
            b's' => FieldValue::I16(i16::from_be_bytes(cursor.chunk()?)),
            b'u' => FieldValue::U16(u16::from_be_bytes(cursor.chunk()?)),
            b'I' => FieldValue::I32(i32::from_be_bytes(cursor.chunk()?)),
            b'i' => FieldValue::U32(u32::from_be_bytes(cursor.chunk()?)),
            b'l' | b'L' => FieldValue::I64(i64::from_be_bytes(cursor.chunk()?)),
            b'f' => FieldValue::F32(f32::from_be_bytes(cursor.chunk()?)),
            b'd' => FieldValue::F64(f64::from_be_bytes(cursor.chunk()?)),
            b'D' => {
                let [scale] = cursor.chunk()?;
                let value = u32::from_be_bytes(cursor.chunk()?);
                FieldValue::Decimal { scale, value }
            }
            b'S' => FieldValue::LongStr(cursor.long_str()?),
            b'x' => FieldValue::Bytes(cursor.long_str()?),
            b'T' => FieldValue::Timestamp(u64::from_be_bytes(cursor.chunk()?)),
            b'F' => FieldValue::Table(Table {
                bytes: cursor.long_str()?,
            }),
            b'A' => FieldValue::Array(Array {
                bytes: cursor.long_str()?,
            }),
            b'V' => FieldValue::Void,
            letter => return Err(Error::malformed("type of a field", u64::from(letter))),
        };
        Ok(value)
    }

    /// The number, if it is a whole one of any width.
    pub fn as_integer(&self) -> Option<i64> {
        match *self {
            FieldValue::I8(value) => Some(value.into()),
            FieldValue::U8(value) => Some(value.into()),
            FieldValue::I16(value) => Some(value.into()),
            FieldValue::U16(value) => Some(value.into()),
            FieldValue::I32(value) => Some(value.into()),
            FieldValue::U32(value) => Some(value.into()),
            FieldValue::I64(value) => Some(value),
            _ => None,
        }
    }

    /// The text, if it is a string of UTF-8.
    pub fn as_str(&self) -> Option<&'a str> {
        match self {
            FieldValue::LongStr(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    pub fn as_bool(&self) -> Option<bool> {
        match self {
            FieldValue::Bool(value) => Some(*value),
            _ => None,
        }
    }
}

impl fmt::Debug for FieldValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FieldValue::Bool(value) => value.fmt(f),
            FieldValue::I8(value) => value.fmt(f),
            FieldValue::U8(value) => value.fmt(f),
            FieldValue::I16(value) => value.fmt(f),
            FieldValue::U16(value) => value.fmt(f),
            FieldValue::I32(value) => value.fmt(f),
            FieldValue::U32(value) => value.fmt(f),
            FieldValue::I64(value) => value.fmt(f),
            FieldValue::F32(value) => value.fmt(f),
            FieldValue::F64(value) => value.fmt(f),
            FieldValue::Decimal { scale, value } => write!(f, "{value}e-{scale}"),
            FieldValue::LongStr(bytes) => String::from_utf8_lossy(bytes).fmt(f),
            FieldValue::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            FieldValue::Timestamp(seconds) => write!(f, "{seconds} s"),
            FieldValue::Table(table) => table.fmt(f),
            FieldValue::Array(array) => array.fmt(f),
            FieldValue::Void => f.write_str("void"),
        }
    }
}

use bytes::{BufMut, BytesMut};

use super::{FieldTable, FieldValue};
use crate::error::Error;
use crate::primitives::ShortStr;

/// Writes the fields of a table. What does not fit is remembered, and reported when the table is done.
pub struct TableWriter<'b> {
    output: &'b mut Output,
}

/// Writes the values of an array.
pub struct ArrayWriter<'b> {
    output: &'b mut Output,
}

struct Output {
    buf: BytesMut,
    error: Option<Error>,
}

pub(super) fn build(write: impl FnOnce(&mut TableWriter<'_>)) -> Result<FieldTable, Error> {
    let mut output = Output {
        buf: BytesMut::new(),
        error: None,
    };
    write(&mut TableWriter { output: &mut output });
    match output.error {
        Some(error) => Err(error),
        // Reading it once more finds what nests too deep.
        None => output.buf.freeze().try_into(),
    }
}

impl TableWriter<'_> {
    pub fn put(&mut self, name: &str, value: FieldValue<'_>) -> &mut Self {
        self.put_bytes(name.as_bytes(), value)
    }

    /// As [`TableWriter::put`], for names that came with other bytes.
    pub fn put_bytes(&mut self, name: &[u8], value: FieldValue<'_>) -> &mut Self {
        self.output.name(name);
        self.output.value(&value);
        self
    }

    pub fn put_str(&mut self, name: &str, text: &str) -> &mut Self {
        self.put(name, FieldValue::LongStr(text.as_bytes()))
    }

    pub fn put_table(&mut self, name: &str, write: impl FnOnce(&mut TableWriter<'_>)) -> &mut Self {
        self.output.name(name.as_bytes());
        self.output
            .nested(b'F', |output| write(&mut TableWriter { output }));
        self
    }

    pub fn put_array(&mut self, name: &str, write: impl FnOnce(&mut ArrayWriter<'_>)) -> &mut Self {
        self.output.name(name.as_bytes());
        self.output
            .nested(b'A', |output| write(&mut ArrayWriter { output }));
        self
    }
}

impl ArrayWriter<'_> {
    pub fn push(&mut self, value: FieldValue<'_>) -> &mut Self {
        self.output.value(&value);
        self
    }

    pub fn push_str(&mut self, text: &str) -> &mut Self {
        self.push(FieldValue::LongStr(text.as_bytes()))
    }

    pub fn push_table(&mut self, write: impl FnOnce(&mut TableWriter<'_>)) -> &mut Self {
        self.output
            .nested(b'F', |output| write(&mut TableWriter { output }));
        self
    }

    pub fn push_array(&mut self, write: impl FnOnce(&mut ArrayWriter<'_>)) -> &mut Self {
        self.output
            .nested(b'A', |output| write(&mut ArrayWriter { output }));
        self
    }
}

impl Output {
    fn name(&mut self, name: &[u8]) {
        match u8::try_from(name.len()) {
            Ok(length) => {
                self.buf.put_u8(length);
                self.buf.put_slice(name);
            }
            Err(_) => self.fail("name of a field", name.len(), ShortStr::BYTES_MAX),
        }
    }

    fn value(&mut self, value: &FieldValue<'_>) {
        match *value {
            FieldValue::Bool(value) => self.scalar(b't', &[u8::from(value)]),
            FieldValue::I8(value) => self.scalar(b'b', &value.to_be_bytes()),
            FieldValue::U8(value) => self.scalar(b'B', &value.to_be_bytes()),
            FieldValue::I16(value) => self.scalar(b's', &value.to_be_bytes()),
            FieldValue::U16(value) => self.scalar(b'u', &value.to_be_bytes()),
            FieldValue::I32(value) => self.scalar(b'I', &value.to_be_bytes()),
            FieldValue::U32(value) => self.scalar(b'i', &value.to_be_bytes()),
            FieldValue::I64(value) => self.scalar(b'l', &value.to_be_bytes()),
            FieldValue::F32(value) => self.scalar(b'f', &value.to_be_bytes()),
            FieldValue::F64(value) => self.scalar(b'd', &value.to_be_bytes()),
            FieldValue::Decimal { scale, value } => {
                self.scalar(b'D', &[scale]);
                self.buf.put_u32(value);
            }
            FieldValue::LongStr(bytes) => self.nested(b'S', |output| output.buf.put_slice(bytes)),
            FieldValue::Bytes(bytes) => self.nested(b'x', |output| output.buf.put_slice(bytes)),
            FieldValue::Timestamp(seconds) => self.scalar(b'T', &seconds.to_be_bytes()),
            FieldValue::Table(table) => self.nested(b'F', |output| output.buf.put_slice(table.as_bytes())),
            FieldValue::Array(array) => self.nested(b'A', |output| output.buf.put_slice(array.as_bytes())),
            FieldValue::Void => self.scalar(b'V', &[]),
        }
    }

    fn scalar(&mut self, letter: u8, bytes: &[u8]) {
        self.buf.put_u8(letter);
        self.buf.put_slice(bytes);
    }

    /// A value with a length in front of it, which is known when it is written.
    fn nested(&mut self, letter: u8, write: impl FnOnce(&mut Output)) {
        self.scalar(letter, &[0; 4]);
        let start = self.buf.len();
        write(self);
        let length = self.buf.len().saturating_sub(start);
        match u32::try_from(length) {
            Ok(length) => {
                if let Some(place) = self.buf.get_mut(start.saturating_sub(size_of::<u32>())..start) {
                    place.copy_from_slice(&length.to_be_bytes());
                }
            }
            Err(_) => self.fail("value of a field", length, usize::MAX),
        }
    }

    fn fail(&mut self, what: &'static str, length: usize, max: usize) {
        self.error.get_or_insert(Error::TooLong { what, length, max });
    }
}

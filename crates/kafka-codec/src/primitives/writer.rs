use bytes::{BufMut, Bytes, BytesMut};
use smallvec::SmallVec;

use super::{Float64, Uuid};
use crate::chain::Chain;
use crate::error::Error;

/// A payload shorter than this is copied: that costs less than one more slice in a vectored write.
const SPLICE_BYTES_MIN: usize = 256;

/// Writes one frame. What does not fit its length prefix is remembered and reported by [`Writer::finish`], so that
/// the encoders read as the layout they write.
///
/// Everything but long payloads goes into `buf`; a payload is spliced in when the frame is finished:
///
/// ```text
/// buf:     | size i32 | header, body ... |          | ... body |
/// splices:                               ^ payload  ^
/// ```
pub struct Writer<'b> {
    buf: &'b mut BytesMut,
    flexible: bool,
    /// Where in `buf` a payload belongs, ascending.
    splices: SmallVec<[(usize, Bytes); 1]>,
    spliced_bytes: usize,
    error: Option<Error>,
}

impl<'b> Writer<'b> {
    /// Starts a frame. What `buf` held is dropped; its memory is used again.
    pub fn new(buf: &'b mut BytesMut, flexible: bool) -> Writer<'b> {
        buf.clear();
        buf.put_i32(0);
        Writer {
            buf,
            flexible,
            splices: SmallVec::new(),
            spliced_bytes: 0,
            error: None,
        }
    }

    /// Whether the version being written has compact lengths and tagged fields (KIP-482).
    pub fn flexible(&self) -> bool {
        self.flexible
    }

    /// From here on lengths are written as the given kind of version writes them.
    pub(crate) fn set_flexible(&mut self, flexible: bool) {
        self.flexible = flexible;
    }

    /// Writes the size in front and hands the frame over; `buf` is left empty.
    pub fn finish(self) -> Result<Chain, Error> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let length = self
            .buf
            .len()
            .saturating_sub(size_of::<i32>())
            .saturating_add(self.spliced_bytes);
        let size = i32::try_from(length).map_err(|_| Error::TooLong { field: "", length })?;
        if let Some(prefix) = self.buf.first_chunk_mut() {
            *prefix = size.to_be_bytes();
        }
        let mut chain = Chain::default();
        let mut start = 0_usize;
        for (cut, payload) in self.splices {
            chain.push(self.buf.split_to(cut.saturating_sub(start)).freeze());
            chain.push(payload);
            start = cut;
        }
        chain.push(self.buf.split().freeze());
        Ok(chain)
    }

    pub(crate) fn fail(&mut self, error: Error) {
        self.error.get_or_insert(error);
    }

    /// Names the field of an error that has no name yet.
    pub(crate) fn at(&mut self, field: &'static str) {
        if let Some(error) = self.error {
            self.error = Some(error.at(field));
        }
    }

    pub fn bool(&mut self, value: bool) {
        self.buf.put_u8(u8::from(value));
    }

    pub fn i8(&mut self, value: i8) {
        self.buf.put_i8(value);
    }

    pub fn i16(&mut self, value: i16) {
        self.buf.put_i16(value);
    }

    #[inline]
    pub fn u16(&mut self, value: u16) {
        self.buf.put_u16(value);
    }

    pub fn i32(&mut self, value: i32) {
        self.buf.put_i32(value);
    }

    pub fn i64(&mut self, value: i64) {
        self.buf.put_i64(value);
    }

    pub fn float64(&mut self, value: Float64) {
        self.buf.put_f64(value.get());
    }

    pub fn uuid(&mut self, value: &Uuid) {
        self.buf.put_slice(&value.0);
    }

    pub fn unsigned_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.buf.put_u8(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.buf.put_u8(value.to_le_bytes()[0]);
    }

    fn compact_length(&mut self, length: Option<usize>) {
        let Some(length) = length else {
            return self.unsigned_varint(0);
        };
        match u32::try_from(length.saturating_add(1)) {
            Ok(prefix) => self.unsigned_varint(prefix),
            Err(_) => self.fail(Error::TooLong { field: "", length }),
        }
    }

    fn long_length(&mut self, length: Option<usize>) {
        let Some(length) = length else { return self.i32(-1) };
        match i32::try_from(length) {
            Ok(prefix) => self.i32(prefix),
            Err(_) => self.fail(Error::TooLong { field: "", length }),
        }
    }

    /// A string, `None` for null.
    pub fn string(&mut self, value: Option<&[u8]>) {
        let length = value.map(<[u8]>::len);
        if self.flexible {
            self.compact_length(length);
        } else {
            match length.map(i16::try_from) {
                None => self.i16(-1),
                Some(Ok(prefix)) => self.i16(prefix),
                Some(Err(_)) => self.fail(Error::TooLong {
                    field: "",
                    length: length.unwrap_or_default(),
                }),
            }
        }
        self.buf.put_slice(value.unwrap_or_default());
    }

    /// Bytes or records as the parts that follow each other, `None` for null. Long parts are not copied.
    pub fn bytes(&mut self, parts: Option<&[Bytes]>) {
        let length = parts.map(|parts| {
            parts
                .iter()
                .fold(0, |sum: usize, part| sum.saturating_add(part.len()))
        });
        if self.flexible {
            self.compact_length(length);
        } else {
            self.long_length(length);
        }
        for part in parts.unwrap_or_default() {
            if part.len() < SPLICE_BYTES_MIN {
                self.buf.put_slice(part);
            } else {
                self.spliced_bytes = self.spliced_bytes.saturating_add(part.len());
                self.splices.push((self.buf.len(), part.clone()));
            }
        }
    }

    /// The number of elements of an array, `None` for null.
    pub fn array_length(&mut self, count: Option<usize>) {
        if self.flexible {
            self.compact_length(count);
        } else {
            self.long_length(count);
        }
    }

    /// The number of tagged fields that end a struct of a flexible version; nothing in older versions.
    pub fn tagged_count(&mut self, count: u32) {
        if self.flexible {
            self.unsigned_varint(count);
        }
    }

    /// A tagged field; its size is known only when it is written.
    pub fn tagged_field(&mut self, tag: u32, write: impl FnOnce(&mut Writer<'b>)) {
        self.unsigned_varint(tag);
        let start = self.buf.len();
        write(self);
        let end = self.buf.len();
        self.compact_size(end.saturating_sub(start));
        let size_bytes = self.buf.len().saturating_sub(end);
        if let Some(field) = self.buf.get_mut(start..) {
            field.rotate_right(size_bytes);
        }
    }

    fn compact_size(&mut self, length: usize) {
        match u32::try_from(length) {
            Ok(size) => self.unsigned_varint(size),
            Err(_) => self.fail(Error::TooLong { field: "", length }),
        }
    }
}

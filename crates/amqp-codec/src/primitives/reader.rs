use bytes::Bytes;

use super::Cursor;
use crate::error::Error;

/// Reads the fields of one method. Strings and tables are slices of its frame.
pub struct Reader<'a> {
    frame: &'a Bytes,
    cursor: Cursor<'a>,
    /// The octet whose bits are being read, and the next of them.
    bits: u8,
    mask: u8,
    checks_utf8: bool,
}

impl<'a> Reader<'a> {
    /// With `checks_utf8`, short strings have to be UTF-8: RabbitMQ demands it of methods that carry no content.
    pub fn new(frame: &'a Bytes, checks_utf8: bool) -> Reader<'a> {
        Reader {
            frame,
            cursor: Cursor::new(frame),
            bits: 0,
            mask: 0,
            checks_utf8,
        }
    }

    pub(crate) fn require_utf8(&mut self, checks_utf8: bool) {
        self.checks_utf8 = checks_utf8;
    }

    /// # Errors
    /// Not all is read.
    pub fn finish(self) -> Result<(), Error> {
        match self.cursor.rest().len() {
            0 => Ok(()),
            bytes => Err(Error::Trailing { field: "", bytes }),
        }
    }

    #[inline]
    pub(crate) fn octets<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        self.mask = 0;
        self.cursor.chunk()
    }

    #[inline]
    pub(crate) fn bit(&mut self) -> Result<bool, Error> {
        if self.mask == 0 {
            let [bits] = self.cursor.chunk()?;
            (self.bits, self.mask) = (bits, 1);
        }
        let bit = self.bits & self.mask != 0;
        // Behind the eighth bit nothing is left, and the next one is of another octet.
        self.mask <<= 1;
        Ok(bit)
    }

    #[inline]
    pub(crate) fn short_str(&mut self) -> Result<Bytes, Error> {
        self.mask = 0;
        let bytes = self.cursor.short_str()?;
        if self.checks_utf8 && std::str::from_utf8(bytes).is_err() {
            return Err(Error::NotText { field: "" });
        }
        Ok(self.slice(bytes))
    }

    #[inline]
    pub(crate) fn long_str(&mut self) -> Result<Bytes, Error> {
        self.mask = 0;
        let bytes = self.cursor.long_str()?;
        Ok(self.slice(bytes))
    }

    fn slice(&self, bytes: &'a [u8]) -> Bytes {
        self.frame.slice_ref(bytes)
    }
}

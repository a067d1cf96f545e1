use bytes::Bytes;

use super::{ByteStr, Float64, Uuid};
use crate::error::Error;

/// Elements of all arrays of one message together, as Apache Kafka bounds each array.
pub const ARRAY_ELEMENTS_MAX: usize = 1_000_000;

/// Tagged fields of one struct.
pub const TAGGED_FIELDS_MAX: usize = 10_000;

/// Reads one message. Strings and bytes are slices of the frame; nothing is copied, and a length is believed only
/// when that many bytes are there.
pub struct Reader<'a> {
    frame: &'a Bytes,
    rest: &'a [u8],
    flexible: bool,
    elements_left: usize,
}

impl<'a> Reader<'a> {
    pub fn new(frame: &'a Bytes, flexible: bool) -> Reader<'a> {
        Reader {
            frame,
            rest: frame,
            flexible,
            elements_left: ARRAY_ELEMENTS_MAX,
        }
    }

    /// Whether the version being read has compact lengths and tagged fields (KIP-482).
    pub fn flexible(&self) -> bool {
        self.flexible
    }

    /// From here on lengths are read as the given kind of version writes them.
    pub(crate) fn set_flexible(&mut self, flexible: bool) {
        self.flexible = flexible;
    }

    /// Bytes that are not read yet.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// What is not read yet, as a slice of the frame.
    pub(crate) fn into_rest(self) -> Bytes {
        self.frame.slice_ref(self.rest)
    }

    #[inline]
    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        match self.rest.split_first_chunk::<N>() {
            Some((chunk, rest)) => {
                self.rest = rest;
                Ok(*chunk)
            }
            None => Err(Error::incomplete(N.saturating_sub(self.rest.len()))),
        }
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], Error> {
        match self.rest.split_at_checked(length) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(Error::incomplete(length.saturating_sub(self.rest.len()))),
        }
    }

    pub fn bool(&mut self) -> Result<bool, Error> {
        Ok(self.chunk()? != [0])
    }

    pub fn i8(&mut self) -> Result<i8, Error> {
        self.chunk().map(i8::from_be_bytes)
    }

    pub fn i16(&mut self) -> Result<i16, Error> {
        self.chunk().map(i16::from_be_bytes)
    }

    #[inline]
    pub fn u16(&mut self) -> Result<u16, Error> {
        self.chunk().map(u16::from_be_bytes)
    }

    pub fn i32(&mut self) -> Result<i32, Error> {
        self.chunk().map(i32::from_be_bytes)
    }

    pub fn i64(&mut self) -> Result<i64, Error> {
        self.chunk().map(i64::from_be_bytes)
    }

    pub fn float64(&mut self) -> Result<Float64, Error> {
        self.chunk().map(f64::from_be_bytes).map(Float64::from)
    }

    pub fn uuid(&mut self) -> Result<Uuid, Error> {
        self.chunk().map(Uuid)
    }

    /// An unsigned varint of at most 32 bits.
    #[inline]
    pub fn unsigned_varint(&mut self) -> Result<u32, Error> {
        // Lengths, counts and tags are mostly below 128.
        if let Some((byte @ 0..=0x7f, rest)) = self.rest.split_first() {
            self.rest = rest;
            return Ok(u32::from(*byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u32, Error> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.chunk()?;
            if shift == 28 && byte > 0x0f {
                return Err(Error::malformed("fifth byte of a varint", i64::from(byte)));
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Ok(value)
    }

    /// The length of a string, bytes or array, `None` for null; `fixed` reads the prefix of an older version.
    #[inline]
    fn length(
        &mut self,
        fixed: impl FnOnce(&mut Self) -> Result<i32, Error>,
    ) -> Result<Option<usize>, Error> {
        if self.flexible {
            let length = self.unsigned_varint()?.checked_sub(1);
            return Ok(length.map(|length| usize::try_from(length).unwrap_or(usize::MAX)));
        }
        match fixed(self)? {
            -1 => Ok(None),
            length => match usize::try_from(length) {
                Ok(length) => Ok(Some(length)),
                Err(_) => Err(Error::malformed("length", i64::from(length))),
            },
        }
    }

    /// A string, `None` for null.
    #[inline]
    pub fn string(&mut self) -> Result<Option<ByteStr>, Error> {
        let Some(length) = self.length(|reader| reader.i16().map(i32::from))? else {
            return Ok(None);
        };
        let taken = self.take(length)?;
        ByteStr::try_from(self.frame.slice_ref(taken)).map(Some)
    }

    /// Bytes or records, `None` for null.
    #[inline]
    pub fn bytes(&mut self) -> Result<Option<Bytes>, Error> {
        let Some(length) = self.length(Reader::i32)? else {
            return Ok(None);
        };
        let taken = self.take(length)?;
        Ok(Some(self.frame.slice_ref(taken)))
    }

    /// The number of elements of an array, `None` for null. Each element takes at least `element_bytes_min`
    /// on the wire, so a count that the rest of the frame cannot hold is refused here.
    #[inline]
    pub fn array_length(&mut self, element_bytes_min: usize) -> Result<Option<usize>, Error> {
        let Some(count) = self.length(Reader::i32)? else {
            return Ok(None);
        };
        let bytes_min = count.saturating_mul(element_bytes_min);
        if bytes_min > self.rest.len() {
            return Err(Error::incomplete(bytes_min.saturating_sub(self.rest.len())));
        }
        match self.elements_left.checked_sub(count) {
            Some(left) => self.elements_left = left,
            None => {
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                return Err(Error::malformed("number of elements", count));
            }
        }
        Ok(Some(count))
    }

    /// Reads the tagged fields that end a struct of a flexible version; does nothing in older versions.
    ///
    /// `known` reads the field if it knows the tag and says whether it did. What is unknown is skipped.
    #[inline]
    pub fn tagged_fields(
        &mut self,
        mut known: impl FnMut(u32, &mut Reader<'a>) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        if !self.flexible {
            return Ok(());
        }
        let count = self.unsigned_varint()?;
        if usize::try_from(count).is_ok_and(|count| count > TAGGED_FIELDS_MAX) {
            return Err(Error::malformed("number of tagged fields", i64::from(count)));
        }
        for _ in 0..count {
            let tag = self.unsigned_varint()?;
            let size = self.unsigned_varint()?;
            let field = self.take(usize::try_from(size).unwrap_or(usize::MAX))?;
            let mut reader = Reader {
                frame: self.frame,
                rest: field,
                flexible: true,
                elements_left: self.elements_left,
            };
            if known(tag, &mut reader)? {
                self.elements_left = reader.elements_left;
                if !reader.rest.is_empty() {
                    return Err(Error::malformed("size of a tagged field", i64::from(size)));
                }
            }
        }
        Ok(())
    }
}

use bytes::Bytes;
use smallvec::{Array, SmallVec};

use super::{ByteStr, Float64, Reader, Records, Uuid, Writer};
use crate::error::Error;

/// A type that has a place in a message.
pub trait Wire: Sized {
    /// The fewest bytes that a value takes on the wire, in any version.
    const BYTES_MIN: usize = 1;

    fn decode(reader: &mut Reader<'_>, version: i16) -> Result<Self, Error>;

    fn encode(&self, writer: &mut Writer<'_>, version: i16);

    /// Whether this is a null, which some fields have in some versions only.
    fn is_null(&self) -> bool {
        false
    }
}

/// Initial capacity of a decoded array, in elements. The count is checked against the bytes that are there, but an
/// element in memory is larger than one on the wire: more is reserved only as elements are really read.
const CAPACITY_MAX: usize = 1000;

macro_rules! fixed_size {
    ($($type:ident),*) => {$(
        impl Wire for $type {
            const BYTES_MIN: usize = size_of::<$type>();

            fn decode(reader: &mut Reader<'_>, _version: i16) -> Result<$type, Error> {
                reader.$type()
            }

            fn encode(&self, writer: &mut Writer<'_>, _version: i16) {
                writer.$type(*self);
            }
        }
    )*};
}

fixed_size!(bool, i8, i16, u16, i32, i64);

impl Wire for Float64 {
    const BYTES_MIN: usize = size_of::<f64>();

    fn decode(reader: &mut Reader<'_>, _version: i16) -> Result<Float64, Error> {
        reader.float64()
    }

    fn encode(&self, writer: &mut Writer<'_>, _version: i16) {
        writer.float64(*self);
    }
}

impl Wire for Uuid {
    const BYTES_MIN: usize = 16;

    fn decode(reader: &mut Reader<'_>, _version: i16) -> Result<Uuid, Error> {
        reader.uuid()
    }

    fn encode(&self, writer: &mut Writer<'_>, _version: i16) {
        writer.uuid(self);
    }
}

fn null() -> Error {
    Error::malformed("null where none is allowed: length", -1)
}

impl Wire for ByteStr {
    fn decode(reader: &mut Reader<'_>, _version: i16) -> Result<ByteStr, Error> {
        reader.string()?.ok_or_else(null)
    }

    fn encode(&self, writer: &mut Writer<'_>, _version: i16) {
        writer.string(Some(self.as_bytes()));
    }
}

impl Wire for Option<ByteStr> {
    fn decode(reader: &mut Reader<'_>, _version: i16) -> Result<Option<ByteStr>, Error> {
        reader.string()
    }

    fn encode(&self, writer: &mut Writer<'_>, _version: i16) {
        writer.string(self.as_ref().map(|text| text.as_bytes().as_ref()));
    }

    fn is_null(&self) -> bool {
        self.is_none()
    }
}

impl Wire for Bytes {
    fn decode(reader: &mut Reader<'_>, _version: i16) -> Result<Bytes, Error> {
        reader.bytes()?.ok_or_else(null)
    }

    fn encode(&self, writer: &mut Writer<'_>, _version: i16) {
        writer.bytes(Some(std::slice::from_ref(self)));
    }
}

impl Wire for Option<Bytes> {
    fn decode(reader: &mut Reader<'_>, _version: i16) -> Result<Option<Bytes>, Error> {
        reader.bytes()
    }

    fn encode(&self, writer: &mut Writer<'_>, _version: i16) {
        writer.bytes(self.as_ref().map(std::slice::from_ref));
    }

    fn is_null(&self) -> bool {
        self.is_none()
    }
}

impl Wire for Option<Records> {
    fn decode(reader: &mut Reader<'_>, _version: i16) -> Result<Option<Records>, Error> {
        Ok(reader.bytes()?.map(Records::from))
    }

    fn encode(&self, writer: &mut Writer<'_>, _version: i16) {
        writer.bytes(self.as_ref().map(Records::parts));
    }

    fn is_null(&self) -> bool {
        self.is_none()
    }
}

fn encode_elements<T: Wire>(elements: &[T], writer: &mut Writer<'_>, version: i16) {
    writer.array_length(Some(elements.len()));
    for element in elements {
        element.encode(writer, version);
    }
}

impl<T: Wire> Wire for Option<Vec<T>> {
    fn decode(reader: &mut Reader<'_>, version: i16) -> Result<Option<Vec<T>>, Error> {
        let Some(count) = reader.array_length(T::BYTES_MIN)? else {
            return Ok(None);
        };
        let mut elements = Vec::with_capacity(count.min(CAPACITY_MAX));
        for _ in 0..count {
            elements.push(T::decode(reader, version)?);
        }
        Ok(Some(elements))
    }

    fn encode(&self, writer: &mut Writer<'_>, version: i16) {
        match self {
            Some(elements) => encode_elements(elements, writer, version),
            None => writer.array_length(None),
        }
    }

    fn is_null(&self) -> bool {
        self.is_none()
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn decode(reader: &mut Reader<'_>, version: i16) -> Result<Vec<T>, Error> {
        Option::<Vec<T>>::decode(reader, version)?.ok_or_else(null)
    }

    fn encode(&self, writer: &mut Writer<'_>, version: i16) {
        encode_elements(self, writer, version);
    }
}

/// An array that mostly has few elements and is read on the hot path.
impl<A: Array> Wire for SmallVec<A>
where
    A::Item: Wire,
{
    #[inline]
    fn decode(reader: &mut Reader<'_>, version: i16) -> Result<SmallVec<A>, Error> {
        let count = reader.array_length(A::Item::BYTES_MIN)?.ok_or_else(null)?;
        let mut elements = SmallVec::with_capacity(count.min(CAPACITY_MAX));
        for _ in 0..count {
            elements.push(A::Item::decode(reader, version)?);
        }
        Ok(elements)
    }

    fn encode(&self, writer: &mut Writer<'_>, version: i16) {
        encode_elements(self, writer, version);
    }
}

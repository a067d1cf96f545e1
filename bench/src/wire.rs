//! The few bytes of Kafka framing that a load driver needs, written apart from the broker's codec, so that a mistake there
//! is not hidden by the same mistake here.
//!
//! ```text
//! request   size i32 | api_key i16 | api_version i16 | correlation_id i32 | client_id string | [tags] | body
//! response  size i32 | correlation_id i32 | [tags] | body
//! ```
//!
//! `[tags]` exists in flexible versions only (KIP-482), where strings and arrays are compact: an unsigned varint of length + 1.

use anyhow::{Context, Result, bail, ensure};

const CLIENT_ID: &str = "firth-bench";

#[derive(Debug, Default)]
pub(crate) struct Encoder {
    bytes: Vec<u8>,
    /// Where the frame starts.
    start: usize,
}

impl Encoder {
    /// A request whose size field is filled in by [`Encoder::finish`].
    pub(crate) fn request(api_key: i16, api_version: i16, correlation_id: i32, flexible: bool) -> Self {
        let mut encoder = Self::default();
        encoder
            .i32(0)
            .i16(api_key)
            .i16(api_version)
            .i32(correlation_id)
            .string(CLIENT_ID);
        if flexible {
            encoder.u8(0);
        }
        encoder
    }

    /// A response whose size field is filled in by [`Encoder::finish`].
    pub(crate) fn response(correlation_id: i32) -> Self {
        let mut encoder = Self::default();
        encoder.i32(0).i32(correlation_id);
        encoder
    }

    /// A response behind those that are in `bytes` already, ended by [`Encoder::finish_appended`].
    pub(crate) fn appending(bytes: Vec<u8>, correlation_id: i32) -> Self {
        let mut encoder = Self {
            start: bytes.len(),
            bytes,
        };
        encoder.i32(0).i32(correlation_id);
        encoder
    }

    pub(crate) fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes.push(value);
        self
    }

    pub(crate) fn i16(&mut self, value: i16) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn i32(&mut self, value: i32) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn i64(&mut self, value: i64) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    pub(crate) fn string(&mut self, value: &str) -> &mut Self {
        self.i16(value.len() as i16).raw(value.as_bytes())
    }

    /// Bytes with an i32 length.
    pub(crate) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.i32(value.len() as i32).raw(value)
    }

    pub(crate) fn compact_string(&mut self, value: &str) -> &mut Self {
        self.uvarint(value.len() as u32 + 1).raw(value.as_bytes())
    }

    pub(crate) fn uvarint(&mut self, mut value: u32) -> &mut Self {
        while value >= 0x80 {
            self.u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.u8(value as u8)
    }

    /// Zigzag, as record fields are encoded.
    pub(crate) fn varint(&mut self, value: i32) -> &mut Self {
        self.uvarint(((value << 1) ^ (value >> 31)) as u32)
    }

    /// The bytes with the size field counting all but itself, and `follows` more bytes that the caller sends behind.
    pub(crate) fn finish_before(mut self, follows: usize) -> Vec<u8> {
        let size = (self.bytes.len() - self.start - 4 + follows) as i32;
        self.bytes[self.start..self.start + 4].copy_from_slice(&size.to_be_bytes());
        self.bytes
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.finish_before(0)
    }

    /// All frames with this one, or without it if it is not `kept`.
    pub(crate) fn finish_appended(mut self, kept: bool) -> Vec<u8> {
        if !kept {
            self.bytes.truncate(self.start);
            return self.bytes;
        }
        self.finish()
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Reads fields off the front of a slice; running out of bytes is an error, never a panic.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let (head, rest) = self
            .rest
            .split_at_checked(n)
            .context("the frame ends inside a field")?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, rest) = self
            .rest
            .split_first_chunk()
            .context("the frame ends inside a field")?;
        self.rest = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    pub(crate) fn i16(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    pub(crate) fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    pub(crate) fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    pub(crate) fn uvarint(&mut self) -> Result<u32> {
        let mut value = 0u32;
        for shift in (0..35).step_by(7) {
            let byte = self.u8()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        bail!("a varint is longer than 5 bytes")
    }

    /// A nullable string with an i16 length; null reads as empty.
    pub(crate) fn string(&mut self) -> Result<&'a [u8]> {
        let length = self.i16()?;
        self.take(usize::try_from(length).unwrap_or(0))
    }

    /// Bytes, or a string, with a compact length; null reads as empty.
    pub(crate) fn compact_bytes(&mut self) -> Result<&'a [u8]> {
        let length = self.uvarint()?;
        self.take(length.saturating_sub(1) as usize)
    }

    /// Bytes with an i32 length; null reads as empty.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = self.i32()?;
        self.take(usize::try_from(length).unwrap_or(0))
    }

    /// An array's element count; null reads as none.
    pub(crate) fn array_length(&mut self) -> Result<usize> {
        Ok(usize::try_from(self.i32()?).unwrap_or(0))
    }

    pub(crate) fn compact_array_length(&mut self) -> Result<usize> {
        Ok(self.uvarint()?.saturating_sub(1) as usize)
    }

    pub(crate) fn tags(&mut self) -> Result<()> {
        for _ in 0..self.uvarint()? {
            self.uvarint()?;
            let length = self.uvarint()?;
            self.take(length as usize)?;
        }
        Ok(())
    }
}

/// The size of the frame at the front of `bytes`, its own four bytes included; `None` until those four have arrived.
pub(crate) fn frame_size(bytes: &[u8], frame_bytes_max: usize) -> Result<Option<usize>> {
    let Some(size) = bytes.first_chunk::<4>() else {
        return Ok(None);
    };
    let size = i32::from_be_bytes(*size);
    ensure!(
        size >= 4 && size as usize <= frame_bytes_max,
        "a frame claims {size} bytes"
    );
    Ok(Some(size as usize + 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_survive_the_round_trip() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u32::MAX] {
            let mut encoder = Encoder::default();
            encoder.uvarint(value);
            assert_eq!(Decoder::new(&encoder.into_bytes()).uvarint().unwrap(), value);
        }
    }

    #[test]
    fn a_short_frame_is_an_error_and_an_unfinished_one_is_none() {
        assert!(Decoder::new(&[0, 0, 1]).i32().is_err());
        assert!(Decoder::new(&[0, 9, b'x']).string().is_err());
        assert_eq!(frame_size(&[0, 0, 0], 100).unwrap(), None);
        assert_eq!(frame_size(&[0, 0, 0, 8, 1], 100).unwrap(), Some(12));
        assert!(frame_size(&[0x7f, 0, 0, 0], 100).is_err());
        assert!(frame_size(&[0xff; 4], 100).is_err());
    }
}

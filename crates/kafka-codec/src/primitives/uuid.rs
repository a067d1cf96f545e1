use std::fmt;
use std::str::FromStr;

use crate::error::Error;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Characters of a printed uuid: 128 bits, 6 in each.
const TEXT_BYTES: usize = 22;

/// A uuid of the protocol, most of all a topic id (KIP-516). Printed as Kafka prints it: URL-safe base64, unpadded.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// "No id": what is sent where a topic id is unknown.
    pub const ZERO: Uuid = Uuid([0; 16]);

    pub fn is_zero(&self) -> bool {
        *self == Uuid::ZERO
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = u128::from_be_bytes(self.0);
        let mut text = String::with_capacity(TEXT_BYTES);
        // 21 characters hold the first 126 bits, the last one the remaining 2 and four zeros.
        for shift in (2..128_u32).rev().step_by(6).map(|top| top.saturating_sub(5)) {
            text.push(character((bits >> shift) & 63));
        }
        text.push(character((bits << 4) & 63));
        f.pad(&text)
    }
}

fn character(value: u128) -> char {
    let value = usize::try_from(value).unwrap_or_default();
    ALPHABET.get(value).map_or('A', |byte| char::from(*byte))
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Uuid {
    type Err = Error;

    fn from_str(text: &str) -> Result<Uuid, Error> {
        if text.len() != TEXT_BYTES {
            let length = i64::try_from(text.len()).unwrap_or(i64::MAX);
            return Err(Error::malformed("length of a uuid", length));
        }
        let mut bits = 0_u128;
        for (index, byte) in text.bytes().enumerate() {
            let value = ALPHABET.iter().position(|character| *character == byte);
            let value = value.ok_or(Error::malformed("character of a uuid", i64::from(byte)))?;
            let value = u128::try_from(value).unwrap_or_default();
            let is_last = index.saturating_add(1) == TEXT_BYTES;
            if is_last && value & 15 != 0 {
                return Err(Error::malformed("last character of a uuid", i64::from(byte)));
            }
            bits = if is_last {
                (bits << 2) | (value >> 4)
            } else {
                (bits << 6) | value
            };
        }
        Ok(Uuid(bits.to_be_bytes()))
    }
}

//! The header of a tar entry.
//!
//! ```text
//! position  size                                       numbers are octal digits and a zero byte
//!        0   100  name, padded with zeros
//!      100     8  mode, 0000600
//!      108     8  user, 0
//!      116     8  group, 0
//!      124    12  length; beyond 8 GiB: 0x80, then 11 bytes, the highest first
//!      136    12  modification time in seconds since 1970, of which each entry has the same
//!      148     8  sum of all bytes of the header, these taken for spaces: 6 octal digits, a zero byte, a space
//!      156     1  type, '0': a file
//!      157   100  zeros
//!      257     8  "ustar", a zero byte, "00"
//!      265   247  zeros
//! ```

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

use super::BLOCK_BYTES;

const NAME_BYTES: usize = 100;
const LENGTH: std::ops::Range<usize> = 124..136;
const TIME: std::ops::Range<usize> = 136..148;
const SUM: std::ops::Range<usize> = 148..156;
/// What eleven octal digits hold.
const OCTAL_MAX: u64 = (1 << 33) - 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// At most 100 bytes.
    pub(super) name: String,
    pub(super) length: u64,
    pub(super) time_s: u64,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; BLOCK_BYTES] {
        let mut block = [0; BLOCK_BYTES];
        put(&mut block, 0, self.name.as_bytes());
        put(&mut block, 100, b"0000600");
        put(&mut block, 108, b"0000000");
        put(&mut block, 116, b"0000000");
        put(&mut block, LENGTH.start, &number(self.length));
        put(&mut block, TIME.start, &number(self.time_s));
        put(&mut block, SUM.start, b"        ");
        put(&mut block, 156, b"0");
        put(&mut block, 257, b"ustar\x0000");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        put(&mut block, SUM.start, format!("{sum:06o}\0 ").as_bytes());
        block
    }

    /// `None` where the block is no header that [`Header::encode`] gives.
    pub(super) fn decode(block: &[u8; BLOCK_BYTES]) -> Option<Header> {
        let (name, _) = block.split_at_checked(NAME_BYTES)?;
        let name = name.split(|byte| *byte == 0).next()?;
        let header = Header {
            name: String::from_utf8(name.to_vec()).ok()?,
            length: parse(block.get(LENGTH)?)?,
            time_s: parse(block.get(TIME)?)?,
        };
        (header.encode() == *block).then_some(header)
    }
}

/// Bytes that a field has no room for are left out, so that such a header is not taken for the one it should be.
fn put(block: &mut [u8; BLOCK_BYTES], at: usize, bytes: &[u8]) {
    let field = block.iter_mut().skip(at);
    field.zip(bytes).for_each(|(byte, value)| *byte = *value);
}

fn number(value: u64) -> [u8; 12] {
    let mut field = [0; 12];
    if value > OCTAL_MAX {
        let (head, tail) = field.split_at_mut(4);
        head.fill(0);
        tail.copy_from_slice(&value.to_be_bytes());
        field[0] = 0x80;
    } else {
        let digits = format!("{value:011o}");
        field[..11].copy_from_slice(digits.as_bytes());
    }
    field
}

fn parse(field: &[u8]) -> Option<u64> {
    match field {
        [0x80, 0, 0, 0, value @ ..] => Some(u64::from_be_bytes(value.try_into().ok()?)),
        [digits @ .., 0] => u64::from_str_radix(str::from_utf8(digits).ok()?, 8).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_they_were_written_and_no_others_are() {
        for length in [0, 1, OCTAL_MAX, OCTAL_MAX + 1, u64::MAX] {
            let header = Header {
                name: "segments/000000000000002a".to_owned(),
                length,
                time_s: 1_700_000_000,
            };
            let block = header.encode();
            assert_eq!(Header::decode(&block), Some(header));
            for at in 0..BLOCK_BYTES {
                let mut damaged = block;
                damaged[at] ^= 4;
                assert_eq!(Header::decode(&damaged), None, "byte {at}");
            }
        }
        assert_eq!(Header::decode(&[0; BLOCK_BYTES]), None);
    }
}

//! CRC-32C (Castagnoli; CRC-32/ISCSI), computed with the widest carry-less multiplication that the processor has.

use crc_fast::{CrcAlgorithm, Digest};

use crate::header::{CRC_AT, CRC_COVERS_FROM};

/// Computing the checksum of fewer bytes takes no longer than combining it with another.
const COMBINED_BYTES_MIN: usize = 8 * 1024;

/// The polynomial, its bits in reverse, without the highest.
const POLYNOMIAL: u32 = 0x82f6_3b78;
/// What 2^n bytes of zeros multiply a checksum by: x^(8 * 2^n) modulo the polynomial.
#[expect(clippy::indexing_slicing, reason = "the compiler evaluates it")]
const ZEROS: [u32; usize::BITS as usize] = {
    let mut powers = [1 << 23; usize::BITS as usize];
    let mut n = 1;
    while n < powers.len() {
        powers[n] = multiply(powers[n - 1], powers[n - 1]);
        n += 1;
    }
    powers
};

/// The CRC-32C of `bytes`.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// A CRC-32C over bytes that arrive in pieces.
#[derive(Clone, Copy, Debug)]
pub struct Crc32c(Digest);

impl Crc32c {
    pub fn new() -> Crc32c {
        Crc32c(Digest::new(CrcAlgorithm::Crc32Iscsi))
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Takes a whole batch. A large one's own checksum, which was checked when it came, stands for what it covers; where
    /// bytes were damaged since, they do not agree with what is computed here.
    pub fn update_batch(&mut self, batch: &[u8]) {
        let carried = batch.get(CRC_AT..).and_then(|rest| rest.first_chunk());
        match (batch.split_at_checked(CRC_COVERS_FROM), carried) {
            (Some((fields, covered)), Some(crc)) if covered.len() >= COMBINED_BYTES_MIN => {
                self.update(fields);
                self.update_with(u32::from_be_bytes(*crc), covered.len());
            }
            _ => self.update(batch),
        }
    }

    /// Takes `len` bytes of which only the checksum is known.
    fn update_with(&mut self, checksum: u32, len: usize) {
        let value = multiply(zeros(len), self.value()) ^ checksum;
        self.0 = Digest::new_with_init_state(CrcAlgorithm::Crc32Iscsi, u64::from(!value));
    }

    /// The checksum of everything so far; more may follow.
    pub fn value(&self) -> u32 {
        // A 32-bit algorithm leaves the upper half of the register zero.
        self.0.finalize() as u32
    }
}

impl Default for Crc32c {
    fn default() -> Crc32c {
        Crc32c::new()
    }
}

/// The product of two polynomials modulo that of the checksum. The highest bit is the coefficient of x^0.
const fn multiply(a: u32, mut b: u32) -> u32 {
    let mut product = 0;
    let mut bit = 1 << 31;
    while bit != 0 {
        if a & bit != 0 {
            product ^= b;
        }
        b = (b >> 1) ^ if b & 1 == 0 { 0 } else { POLYNOMIAL };
        bit >>= 1;
    }
    product
}

/// What `len` bytes of zeros multiply a checksum by.
fn zeros(len: usize) -> u32 {
    let one = 1 << 31;
    let powers = ZEROS.iter().enumerate();
    let of_set_bits = powers.filter(|(bit, _)| len >> bit & 1 == 1);
    of_set_bits.fold(one, |product, (_, power)| multiply(product, *power))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Builder, Compression};

    #[test]
    fn matches_the_published_check_value() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(b""), 0);
        // RFC 3720, B.4: 32 bytes of zeroes, of ones, and ascending.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(
            crc32c(&std::array::from_fn::<u8, 32, _>(|i| i as u8)),
            0x46dd_794e
        );
    }

    #[test]
    fn pieces_give_the_checksum_of_the_whole() {
        let bytes: Vec<u8> = (0..5000u32).map(|i| (i * 7) as u8).collect();
        for cut in [0, 1, 15, 16, 255, 256, 4096, 5000] {
            let mut crc = Crc32c::new();
            crc.update(&bytes[..cut]);
            crc.update(&bytes[cut..]);
            assert_eq!(crc.value(), crc32c(&bytes), "cut at {cut}");
        }
    }

    #[test]
    fn a_batch_counts_as_its_bytes_whoever_computes_them() {
        for value_len in [10, 7_000, 9_000, 100_000] {
            let mut builder = Builder::new(Compression::None);
            builder.push(0, None, Some(&vec![7; value_len]), &[]);
            let batch = builder.build();
            let (mut whole, mut carried) = (Crc32c::new(), Crc32c::new());
            whole.update(batch.bytes());
            carried.update_batch(batch.bytes());
            assert_eq!(whole.value(), carried.value(), "{value_len}");

            let mut damaged = batch.bytes().to_vec();
            *damaged.last_mut().unwrap() ^= 1;
            let mut later = Crc32c::new();
            later.update_batch(&damaged);
            assert_eq!(
                later.value() == crc32c(&damaged),
                value_len < 8_000,
                "{value_len}"
            );
        }
    }

    #[test]
    fn the_checksum_of_a_piece_stands_for_the_piece() {
        let bytes: Vec<u8> = (0..70_000u32).map(|i| (i * 7) as u8).collect();
        for (from, to) in [
            (0, 0),
            (0, 1),
            (1, 2),
            (21, 700),
            (3, 65_557),
            (69_999, 70_000),
            (0, 70_000),
        ] {
            let mut crc = Crc32c::new();
            crc.update(&bytes[..from]);
            crc.update_with(crc32c(&bytes[from..to]), to - from);
            crc.update(&bytes[to..]);
            assert_eq!(crc.value(), crc32c(&bytes), "{from}..{to}");
        }
    }
}

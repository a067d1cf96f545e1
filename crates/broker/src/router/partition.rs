//! Which partition of a topic gets a message that an exchange sends there.

use std::borrow::Cow;

use super::header_match::{HeaderValue, Headers};

/// The header whose value decides, where a message has it; else its routing key does.
pub const PARTITION_KEY_HEADER: &str = "x-partition-key";

/// What decides about the partition, and becomes the key of the record.
pub fn partition_key<'a>(routing_key: &'a [u8], headers: &'a (impl Headers + ?Sized)) -> Cow<'a, [u8]> {
    match headers.get(PARTITION_KEY_HEADER) {
        Some(HeaderValue::Bytes(key)) => key,
        Some(HeaderValue::Integer(key)) => Cow::Owned(key.to_string().into_bytes()),
        _ => Cow::Borrowed(routing_key),
    }
}

/// The partition where producers that use the usual hash send a record with this key: records of a key stay together
/// whichever way they come. A topic has at least one partition.
pub fn partition_of(key: &[u8], partitions: usize) -> i32 {
    let partitions = u32::try_from(partitions).unwrap_or(u32::MAX).max(1);
    let positive = murmur2(key) & 0x7fff_ffff;
    i32::try_from(positive % partitions).unwrap_or(0)
}

/// MurmurHash2 in 32 bits, with the seed that Java clients of logs with partitions have.
fn murmur2(bytes: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut hash = SEED ^ length;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        let tail = rest
            .iter()
            .rev()
            .fold(0_u32, |tail, byte| tail << 8 | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hashes that the tests of Apache's clients expect.
    #[test]
    fn a_key_has_the_hash_that_other_producers_give_it() {
        for (key, hash) in [
            (&b"21"[..], -973_932_308_i32),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key).cast_signed(), hash);
        }
    }

    #[test]
    fn there_is_a_partition_for_every_key() {
        for partitions in [0, 1, 3, 10_000] {
            for key in [&b""[..], b"a", b"abc", b"abcd"] {
                let partition = partition_of(key, partitions);
                assert!((0..i32::try_from(partitions.max(1)).unwrap()).contains(&partition));
            }
        }
    }
}

//! Maps of ids that the engine gives out itself.
//!
//! Their hash is the same in each process, so that what iterates over one does the same each time. Nobody outside chooses
//! these ids: a map that is keyed by what a client sends keeps the hash of the standard library.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

pub(crate) type IdMap<K, V> = HashMap<K, V, BuildHasherDefault<IdHasher>>;
pub(crate) type IdSet<K> = HashSet<K, BuildHasherDefault<IdHasher>>;

/// 2^64 divided by the golden ratio: consecutive ids come to lie far from each other.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

#[derive(Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        // The map takes its place from the low bits, on which those above have no effect in a product.
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = (self.0.rotate_left(5) ^ id).wrapping_mul(MULTIPLIER);
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use super::*;
    use crate::LogId;

    #[test]
    fn ids_with_any_stride_are_spread() {
        let build = BuildHasherDefault::<IdHasher>::default();
        for stride in (0..=32).map(|shift| 1u64 << shift) {
            let places = (0..4096).map(|nth| build.hash_one(LogId(nth * stride)) % 4096);
            let used = places.collect::<HashSet<_>>().len();
            assert!(used > 1800, "stride {stride}: {used} of 4096 places are used");
        }
    }
}

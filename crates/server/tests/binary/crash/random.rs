//! SplitMix64: decisions that a seed repeats.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Range;

#[derive(Clone)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    /// Seeded by `FIRTH_SEED`, else by the system. The seed is printed, which the harness shows if the test fails.
    pub(crate) fn from_environment(test: &str) -> Random {
        let seed = match std::env::var("FIRTH_SEED") {
            Ok(seed) => seed.parse().expect("FIRTH_SEED is a number"),
            Err(_) => RandomState::new().build_hasher().finish(),
        };
        println!("{test}: FIRTH_SEED={seed}");
        Random { state: seed }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let index = self.within(0..from.len() as u64);
        from[usize::try_from(index).unwrap()]
    }

    /// Another sequence, which later draws from this one do not change.
    pub(crate) fn fork(&mut self) -> Random {
        Random { state: self.next() }
    }
}

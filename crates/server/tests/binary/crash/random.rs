//! Decisions that a seed repeats.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Range;

use firth_log::file::recorder::SplitMix64;

/// Whether `FIRTH_EVERYTHING` asks for all that is otherwise sampled: minutes by hand instead of seconds in every test.
pub(crate) fn everything() -> bool {
    std::env::var_os("FIRTH_EVERYTHING").is_some()
}

#[derive(Clone)]
pub(crate) struct Random(SplitMix64);

impl Random {
    /// Seeded by `FIRTH_SEED`, else by the system. The seed is printed, which the harness shows if the test fails.
    pub(crate) fn from_environment(test: &str) -> Random {
        let seed = match std::env::var("FIRTH_SEED") {
            Ok(seed) => seed.parse().expect("FIRTH_SEED is a number"),
            Err(_) => RandomState::new().build_hasher().finish(),
        };
        println!("{test}: FIRTH_SEED={seed}");
        Random(SplitMix64::new(seed))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0.draw()
    }

    pub(crate) fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.0.below(range.end - range.start)
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let index = self.within(0..from.len() as u64);
        from[usize::try_from(index).unwrap()]
    }

    /// Another sequence, which later draws from this one do not change.
    pub(crate) fn fork(&mut self) -> Random {
        Random(SplitMix64::new(self.next()))
    }
}

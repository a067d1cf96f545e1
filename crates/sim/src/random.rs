//! The same seed gives the same numbers.

pub use firth_log::file::recorder::SplitMix64 as Random;

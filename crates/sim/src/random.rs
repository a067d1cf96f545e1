//! The same seed gives the same run, but for the interleaving of threads.

pub use firth_log::file::recorder::SplitMix64 as Random;

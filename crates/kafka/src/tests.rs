//! What unit tests share: an engine in memory, and a clock that stands still.

use std::sync::Arc;
use std::time::Duration;

use firth_broker::{Clock, Environment};
use firth_log::{Engine, Options};

const NOW_MS: i64 = 1_800_000_000_000;

pub(crate) fn engine() -> Engine {
    let environment = firth_log::Environment {
        wall_ms: Arc::new(|| NOW_MS),
        random: Arc::new(|| [1; 16]),
        on_failure: Arc::new(|reason| panic!("the memory engine failed: {reason}")),
    };
    Engine::memory(environment, Options::default())
}

pub(crate) fn environment() -> Environment {
    Environment {
        clock: Clock::new(|| NOW_MS, || Duration::ZERO),
        random: Arc::new(|| [1; 16]),
    }
}

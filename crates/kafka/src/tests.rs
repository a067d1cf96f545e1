//! What unit tests share: an engine in memory, a clock that stands still, and a runtime.

use std::sync::Arc;
use std::time::Duration;

use firth_broker::{Clock, Environment};
use firth_log::file::recorder::Recorder;
use firth_log::{Engine, Options};

const NOW_MS: i64 = 1_800_000_000_000;

pub(crate) fn engine() -> Engine {
    Engine::memory(engine_environment(), Options::default())
}

pub(crate) fn engine_on(recorder: &Recorder) -> Engine {
    Engine::open(
        Arc::new(recorder.clone()),
        engine_environment(),
        Options::default(),
    )
    .unwrap()
}

fn engine_environment() -> firth_log::Environment {
    firth_log::Environment {
        wall_ms: Arc::new(|| NOW_MS),
        random: Arc::new(|| [1; 16]),
        on_failure: Arc::new(|reason| panic!("the engine failed: {reason}")),
    }
}

pub(crate) fn environment() -> Environment {
    Environment {
        clock: Clock::new(|| NOW_MS, || Duration::ZERO),
        random: Arc::new(|| [1; 16]),
    }
}

/// On one thread, with timers that pass when there is nothing else to do.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
}

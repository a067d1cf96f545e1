//! Time and randomness, passed in: a test or the simulator decides what they are.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Two clocks: the wall's, which gives timestamps and may jump, and one that only goes forward, for intervals.
#[derive(Clone)]
pub struct Clock {
    wall_ms: Arc<dyn Fn() -> i64 + Send + Sync>,
    monotonic: Arc<dyn Fn() -> Duration + Send + Sync>,
}

impl Clock {
    /// `wall_ms` in milliseconds since 1970; `monotonic` since any fixed moment.
    pub fn new(
        wall_ms: impl Fn() -> i64 + Send + Sync + 'static,
        monotonic: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Clock {
        Clock {
            wall_ms: Arc::new(wall_ms),
            monotonic: Arc::new(monotonic),
        }
    }

    /// Milliseconds since 1970.
    pub fn wall_ms(&self) -> i64 {
        (self.wall_ms)()
    }

    pub fn monotonic(&self) -> Duration {
        (self.monotonic)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").finish_non_exhaustive()
    }
}

/// What the broker takes from outside besides requests.
#[derive(Clone)]
pub struct Environment {
    pub clock: Clock,
    /// 128 random bits at each call; the ids of topics and of the cluster are made of them.
    pub random: Arc<dyn Fn() -> [u8; 16] + Send + Sync>,
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").finish_non_exhaustive()
    }
}

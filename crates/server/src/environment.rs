//! The one place where the process takes time and randomness from the machine.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use firth_broker::Clock;
use rustix::rand::{GetRandomFlags, getrandom};
use rustix::time::{ClockId, clock_gettime};

pub(crate) fn clock() -> Clock {
    Clock::new(wall_ms, since_boot)
}

/// Milliseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "this is where the clock comes from")]
pub(crate) fn wall_ms() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
}

/// It goes on while the machine is suspended: time that has passed there has passed for retention too.
pub(crate) fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(
        time.tv_sec.try_into().unwrap_or(0),
        time.tv_nsec.try_into().unwrap_or(0),
    )
}

pub(crate) fn random() -> Result<Arc<dyn Fn() -> [u8; 16] + Send + Sync>> {
    random_bytes().context("the system gives no random numbers")?;
    Ok(Arc::new(|| {
        random_bytes().expect("it gave some at the start, and never stops afterwards")
    }))
}

fn random_bytes() -> rustix::io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    let mut filled = 0;
    while filled < bytes.len() {
        match getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

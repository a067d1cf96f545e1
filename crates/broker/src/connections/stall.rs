use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

/// A client that moves less than this in a whole period holds memory without need.
const BYTES_MIN: usize = 4096;
/// The timer fires so often in a period.
const TICKS: u64 = 6;
/// While others wait for the memory, a client has to move more than this between two ticks: 13 KiB in a second with the
/// usual period.
const WANTED_BYTES_MIN: usize = 64 * 1024;

/// What the client is to do before its connection can go on.
#[derive(Clone, Copy)]
pub struct Awaited {
    pub what: &'static str,
    /// Others wait for the memory that is held meanwhile.
    pub is_wanted: bool,
}

/// Notices a client that neither sends the rest of its frame nor reads its replies.
///
/// The timer is looked at only when it fires, so that moving bytes costs nothing.
pub struct Stall {
    period_ms: u64,
    timer: Option<Pin<Box<Sleep>>>,
    /// Ticks since the period began.
    ticks: u64,
    /// Bytes since the period began, without those since the last tick.
    period_bytes: usize,
    /// Bytes since the last tick.
    moved_bytes: usize,
}

impl Stall {
    pub fn new(period_ms: u64) -> Stall {
        Stall {
            period_ms,
            timer: None,
            ticks: 0,
            period_bytes: 0,
            moved_bytes: 0,
        }
    }

    pub fn moved(&mut self, bytes: usize) {
        self.moved_bytes = self.moved_bytes.saturating_add(bytes);
    }

    /// A whole frame arrived, however small.
    pub fn finished(&mut self) {
        self.moved(BYTES_MIN);
    }

    /// Ready, with the seconds that passed, if the client was waited for and moved too little for too long.
    pub fn poll(&mut self, cx: &mut Context<'_>, awaited: Option<Awaited>) -> Poll<u64> {
        let tick_ms = (self.period_ms / TICKS).max(1);
        loop {
            let Some(timer) = &mut self.timer else {
                let Some(_) = awaited else {
                    self.begin_period();
                    return Poll::Pending;
                };
                self.moved_bytes = 0;
                self.timer = Some(Box::pin(sleep(Duration::from_millis(tick_ms))));
                continue;
            };
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.timer = None;
            self.ticks = self.ticks.saturating_add(1);
            self.period_bytes = self.period_bytes.saturating_add(self.moved_bytes);
            let too_little = self.period_bytes < BYTES_MIN && self.ticks >= TICKS;
            match awaited {
                Some(_) if too_little => return Poll::Ready(self.period_ms / 1000),
                Some(awaited) if awaited.is_wanted && self.moved_bytes < WANTED_BYTES_MIN => {
                    return Poll::Ready(tick_ms / 1000);
                }
                _ if self.period_bytes >= BYTES_MIN => self.begin_period(),
                _ => {}
            }
        }
    }

    fn begin_period(&mut self) {
        self.ticks = 0;
        self.period_bytes = 0;
    }
}

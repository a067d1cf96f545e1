use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

/// A client that moves less than this in a whole period holds memory without need.
const BYTES_MIN: usize = 4096;

/// Notices a client that neither sends the rest of its frame nor reads its replies.
///
/// The timer is looked at only when it fires, so that moving bytes costs nothing.
pub(crate) struct Stall {
    period_ms: u64,
    timer: Option<Pin<Box<Sleep>>>,
    /// Bytes since the timer was set.
    moved_bytes: usize,
}

impl Stall {
    pub(crate) fn new(period_ms: u64) -> Stall {
        Stall {
            period_ms,
            timer: None,
            moved_bytes: 0,
        }
    }

    pub(crate) fn moved(&mut self, bytes: usize) {
        self.moved_bytes = self.moved_bytes.saturating_add(bytes);
    }

    /// A whole frame arrived, however small.
    pub(crate) fn finished(&mut self) {
        self.moved(BYTES_MIN);
    }

    /// Ready, with the seconds that passed, if the client was waited for and moved too little for a whole period.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, waits_for: Option<&'static str>) -> Poll<u64> {
        loop {
            let Some(timer) = &mut self.timer else {
                if waits_for.is_none() {
                    return Poll::Pending;
                }
                self.moved_bytes = 0;
                self.timer = Some(Box::pin(sleep(Duration::from_millis(self.period_ms))));
                continue;
            };
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.timer = None;
            if waits_for.is_some() && self.moved_bytes < BYTES_MIN {
                return Poll::Ready(self.period_ms / 1000);
            }
        }
    }
}

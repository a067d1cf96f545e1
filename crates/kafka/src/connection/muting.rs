use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Duration, Instant, Sleep, sleep_until};

/// How long a connection takes no request, because its client has used more than its quota.
#[derive(Default)]
pub(super) struct Muting {
    timer: Option<Pin<Box<Sleep>>>,
}

impl Muting {
    pub(super) fn is_on(&self) -> bool {
        self.timer.is_some()
    }

    /// From now on, or for longer than it is on already. The next [`Muting::poll`] takes the waker.
    pub(super) fn begin(&mut self, wait: Duration) {
        if wait.is_zero() {
            return;
        }
        // The longest wait is one that milliseconds of 31 bits can say, which every clock can.
        let Some(until) = Instant::now().checked_add(wait) else {
            return;
        };
        if self.timer.as_ref().is_none_or(|timer| timer.deadline() < until) {
            self.timer = Some(Box::pin(sleep_until(until)));
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) {
        if let Some(timer) = &mut self.timer
            && let Poll::Ready(()) = timer.as_mut().poll(cx)
        {
            self.timer = None;
        }
    }
}

//! The fate of a commit block, shared by everyone whose frame lies in it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use crate::lock::lock;
use crate::sync::{AtomicU8, Mutex, block_on};

const PENDING: u8 = 0;
const DURABLE: u8 = 1;
const FAILED: u8 = 2;

/// A flush failed: whether the frame survives is unknown, and must not be answered with success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a flush failed before the frame was durable")]
pub struct Failed;

#[derive(Debug, Default)]
pub(crate) struct Fate {
    state: AtomicU8,
    wakers: Mutex<Vec<Waker>>,
}

impl Fate {
    /// The first resolution is final.
    pub(crate) fn resolve(&self, durable: bool) {
        let fate = if durable { DURABLE } else { FAILED };
        let _ = self
            .state
            .compare_exchange(PENDING, fate, Ordering::Release, Ordering::Relaxed);
        let wakers = std::mem::take(&mut *lock(&self.wakers));
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn is_durable(&self) -> bool {
        self.result() == Some(Ok(()))
    }

    fn result(&self) -> Option<Result<(), Failed>> {
        match self.state.load(Ordering::Acquire) {
            PENDING => None,
            DURABLE => Some(Ok(())),
            _ => Some(Err(Failed)),
        }
    }
}

/// Resolves when a frame is durable in the sense of the engine's durability.
#[derive(Debug)]
pub struct Commit {
    /// Absent where there is nothing to wait for.
    fate: Option<Arc<Fate>>,
    /// The waker that the fate already has, so that polling again costs nothing.
    registered: Option<Waker>,
}

impl Commit {
    pub(crate) fn waiting(fate: Arc<Fate>) -> Commit {
        Commit {
            fate: Some(fate),
            registered: None,
        }
    }

    /// What is durable already.
    pub fn done() -> Commit {
        Commit {
            fate: None,
            registered: None,
        }
    }

    pub fn is_durable(&self) -> bool {
        self.fate.as_ref().is_none_or(|fate| fate.is_durable())
    }

    /// Waits on a thread that has no runtime.
    #[track_caller]
    pub fn wait(self) -> Result<(), Failed> {
        block_on(self)
    }
}

impl Clone for Commit {
    fn clone(&self) -> Commit {
        Commit {
            fate: self.fate.clone(),
            registered: None,
        }
    }
}

impl Future for Commit {
    type Output = Result<(), Failed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(fate) = self.fate.clone() else {
            return Poll::Ready(Ok(()));
        };
        if let Some(result) = fate.result() {
            return Poll::Ready(result);
        }
        if self
            .registered
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            return Poll::Pending;
        }
        {
            let mut wakers = lock(&fate.wakers);
            // The state is stored before the wakers are taken, so a waker that is added while it is still
            // pending is among those taken.
            if let Some(result) = fate.result() {
                return Poll::Ready(result);
            }
            wakers.push(cx.waker().clone());
        }
        self.registered = Some(cx.waker().clone());
        Poll::Pending
    }
}

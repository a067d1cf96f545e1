//! Wakes one waiter about many logs, and says which of them changed.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::lock::lock;
use crate::sync::Mutex;

/// A waiter for changes of any number of logs. A log stays watched until the signal is dropped.
#[derive(Debug, Default)]
pub struct Signal {
    raised: Mutex<Vec<u64>>,
    notify: Notify,
}

impl Signal {
    pub fn new() -> Arc<Signal> {
        Arc::new(Signal::default())
    }

    /// The tokens that were raised since the last call, each once.
    pub fn take(&self) -> Vec<u64> {
        let mut tokens = std::mem::take(&mut *lock(&self.raised));
        tokens.sort_unstable();
        tokens.dedup();
        tokens
    }

    /// Waits until at least one token is raised. Only one task may wait for a signal at a time.
    pub async fn raised(&self) {
        while lock(&self.raised).is_empty() {
            self.notify.notified().await;
        }
    }

    pub(crate) fn raise(&self, token: u64) {
        let mut raised = lock(&self.raised);
        if raised.last() == Some(&token) {
            return;
        }
        // Logs that are written all the time while nobody looks must not make the list grow without bound.
        if raised.len() == raised.capacity() {
            raised.sort_unstable();
            raised.dedup();
        }
        raised.push(token);
        drop(raised);
        self.notify.notify_one();
    }
}

//! What queues tell a connection, and how much of it the connection wants.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::{Queue, Taken};

/// What happened to a consumer.
#[derive(Debug)]
pub enum Event {
    /// It acquired messages: they are its own until it acknowledges, rejects or returns them.
    Taken {
        consumer: u64,
        queue: Arc<Queue>,
        taken: Taken,
    },
    /// Its queue is gone, and it gets nothing more.
    Cancelled { consumer: u64 },
}

/// Events for the consumers of one connection, in the order in which they happened.
#[derive(Debug, Default)]
pub struct Mailbox {
    events: Mutex<Vec<Event>>,
    notify: Notify,
}

impl Mailbox {
    pub fn new() -> Arc<Mailbox> {
        Arc::new(Mailbox::default())
    }

    /// All events since the last call.
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until there is an event. Only one task may wait at a time.
    pub async fn raised(&self) {
        while self
            .events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty()
        {
            self.notify.notified().await;
        }
    }

    pub(crate) fn push(&self, event: Event) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.push(event);
        if events.len() == 1 {
            self.notify.notify_one();
        }
    }
}

/// How many messages may still be acquired: what is shared by whom is the caller's choice, such as the consumers of a channel.
#[derive(Debug)]
pub struct Credit {
    available: AtomicI64,
}

impl Credit {
    pub fn new(messages: u32) -> Arc<Credit> {
        Arc::new(Credit {
            available: AtomicI64::new(messages.into()),
        })
    }

    /// More may be acquired by so many, or fewer. Where it was used up, tell the queues ([`Queue::deliver`]).
    pub fn give(&self, messages: i64) {
        self.available.fetch_add(messages, Ordering::AcqRel);
    }

    pub fn is_used_up(&self) -> bool {
        self.available.load(Ordering::Acquire) <= 0
    }

    /// Takes at most so many.
    fn take(&self, messages: i64) -> i64 {
        let taken = |available: i64| messages.min(available.max(0));
        let before = self
            .available
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |available| {
                Some(available.saturating_sub(taken(available)))
            });
        before.map_or(0, taken)
    }
}

/// Takes at most so many of each, and the same of all.
pub(super) fn take_credit(credits: &[Arc<Credit>], messages: i64) -> i64 {
    let mut granted = messages;
    for (at, credit) in credits.iter().enumerate() {
        let taken = credit.take(granted);
        let excess = granted.saturating_sub(taken);
        if excess > 0 {
            credits.iter().take(at).for_each(|credit| credit.give(excess));
        }
        granted = taken;
        if granted == 0 {
            break;
        }
    }
    granted
}

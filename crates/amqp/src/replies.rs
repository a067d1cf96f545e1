//! Direct reply-to: what is published to `amq.rabbitmq.reply-to.<token>` goes to the channel that has this token, past all queues.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use firth_amqp_codec::ShortStr;
use tokio::sync::Notify;

/// What a consumer names as its queue, and a publisher as where replies go.
pub(crate) const REPLY_TO: &str = "amq.rabbitmq.reply-to";
/// Where replies are published to, before the token.
pub(crate) const REPLY_TO_PREFIX: &str = "amq.rabbitmq.reply-to.";
/// Bytes of replies that wait for a connection to take them. More are dropped, as are replies to who has gone.
const INBOX_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Counted for each reply besides its bytes.
const AROUND_BYTES: usize = 128;

/// All who receive replies.
#[derive(Default)]
pub(crate) struct Replies {
    by_token: Mutex<HashMap<String, (Arc<Inbox>, u16)>>,
}

/// The replies to one connection.
#[derive(Default)]
pub(crate) struct Inbox {
    waiting: Mutex<Waiting>,
    notify: Notify,
}

#[derive(Default)]
struct Waiting {
    replies: Vec<(u16, Reply)>,
    bytes: usize,
}

pub(crate) struct Reply {
    pub(crate) exchange: ShortStr,
    pub(crate) routing_key: ShortStr,
    /// Flags and list.
    pub(crate) properties: Bytes,
    pub(crate) body: Bytes,
}

impl Replies {
    pub(crate) fn add(&self, token: String, inbox: Arc<Inbox>, channel: u16) {
        lock(&self.by_token).insert(token, (inbox, channel));
    }

    pub(crate) fn remove(&self, token: &str) {
        lock(&self.by_token).remove(token);
    }

    pub(crate) fn has(&self, token: &str) -> bool {
        lock(&self.by_token).contains_key(token)
    }

    /// False if nobody has this token.
    pub(crate) fn send(&self, token: &str, reply: Reply) -> bool {
        let found = lock(&self.by_token).get(token).cloned();
        found.is_some_and(|(inbox, channel)| {
            inbox.push(channel, reply);
            true
        })
    }
}

impl Inbox {
    fn push(&self, channel: u16, reply: Reply) {
        let bytes = reply
            .body
            .len()
            .saturating_add(reply.properties.len())
            .saturating_add(AROUND_BYTES);
        let mut waiting = lock(&self.waiting);
        if waiting.bytes.saturating_add(bytes) > INBOX_BYTES_MAX && !waiting.replies.is_empty() {
            return;
        }
        waiting.bytes = waiting.bytes.saturating_add(bytes);
        waiting.replies.push((channel, reply));
        drop(waiting);
        self.notify.notify_one();
    }

    /// All replies since the last call, with the channels that they are for.
    pub(crate) fn take(&self) -> Vec<(u16, Reply)> {
        std::mem::take(&mut *lock(&self.waiting)).replies
    }

    /// Waits until there is a reply.
    pub(crate) async fn raised(&self) {
        while lock(&self.waiting).replies.is_empty() {
            self.notify.notified().await;
        }
    }
}

/// What is locked is whole whenever the lock is free.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! What waited too long: messages at the head of their queue, and queues that nobody uses.
//!
//! A queue asks for a look whenever another message is the first one, if any may expire. The look tells when that message
//! expires, and until then nothing is done. Behind the head messages may have expired as well; nobody sees that, as
//! they are found when they become the first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::Broker;
use crate::queue::{Queue, Reader, deadline_ms};

/// Messages that are looked at together.
const LOOK_MAX: u64 = 64;

/// What a queue asks for.
#[derive(Debug)]
pub(crate) enum Look {
    /// At its head.
    Head(Arc<Queue>),
    /// Whether it is used.
    Use(Arc<Queue>),
    /// At the sizes of what an earlier life left.
    Sizes(Arc<Queue>),
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at_ms: i64,
    /// Orders what is due at the same time.
    number: u64,
    what: Watched,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Watched {
    Head,
    Use,
}

/// The task that takes out what has expired.
pub(crate) struct Expiry {
    broker: Broker,
    /// The soonest first. Queues lie beside, as they have no order.
    due: BinaryHeap<Reverse<Due>>,
    queues: std::collections::HashMap<u64, Weak<Queue>>,
    next_number: u64,
}

impl Expiry {
    pub(crate) fn new(broker: Broker) -> Expiry {
        Expiry {
            broker,
            due: BinaryHeap::new(),
            queues: std::collections::HashMap::new(),
            next_number: 0,
        }
    }

    /// Until the broker stops.
    pub(crate) async fn run(
        mut self,
        mut looks: mpsc::UnboundedReceiver<Look>,
        mut stop: watch::Receiver<bool>,
    ) {
        loop {
            let now_ms = self.broker.clock().wall_ms();
            let wait = self
                .due
                .peek()
                .map(|Reverse(due)| due.at_ms.saturating_sub(now_ms).max(0));
            let look = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                () = sleep(wait) => None,
                look = looks.recv() => look,
            };
            match look {
                None => self.fire().await,
                Some(Look::Head(queue)) => self.look_at_head(&queue).await,
                Some(Look::Use(queue)) => self.look_at_use(&queue),
                Some(Look::Sizes(queue)) => look_at_sizes(&queue).await,
            }
        }
    }

    async fn fire(&mut self) {
        let Some(Reverse(due)) = self.due.pop() else {
            return;
        };
        let Some(queue) = self.queues.remove(&due.number).and_then(|queue| queue.upgrade()) else {
            return;
        };
        match due.what {
            Watched::Head => self.look_at_head(&queue).await,
            Watched::Use => self.look_at_use(&queue),
        }
    }

    fn note(&mut self, at_ms: i64, what: Watched, queue: &Arc<Queue>) {
        let number = self.next_number;
        self.next_number += 1;
        self.queues.insert(number, Arc::downgrade(queue));
        self.due.push(Reverse(Due { at_ms, number, what }));
    }

    /// Takes out what has expired at the head, and notes when the next message does.
    async fn look_at_head(&mut self, queue: &Arc<Queue>) {
        while let Some(peeked) = queue.peek_head(LOOK_MAX) {
            let now_ms = self.broker.clock().wall_ms();
            let ttl_ms = queue.definition().options.message_ttl_ms;
            let (priority, offsets) = (peeked.priority, peeked.offsets.clone());
            let mut first = None;
            let mut reader = Reader::of_dead(queue.clone());
            let read = reader.read(peeked, |delivered| {
                let deadline = deadline_ms(&delivered.message, ttl_ms, delivered.published_ms);
                let has_expired = deadline.is_some_and(|deadline| deadline <= now_ms);
                if !has_expired {
                    first = Some((delivered.offset, deadline));
                }
                has_expired
            });
            if let Err((error, _)) = read.await {
                tracing::debug!(%error, queue = ?queue.definition(), "what expires cannot be read");
                return;
            }
            let end = first.map_or(offsets.end, |(offset, _)| offset);
            if let Some((offset, deadline)) = first {
                // Nobody need look at what is the head then.
                queue.head_is_known(priority, offset, deadline.is_some());
                if let Some(deadline) = deadline {
                    self.note(deadline, Watched::Head, queue);
                }
            }
            queue.expire_head(priority, offsets.start..end);
            if first.is_some() {
                return;
            }
        }
    }

    fn look_at_use(&mut self, queue: &Arc<Queue>) {
        let Some(expires_ms) = queue.definition().options.expires_ms else {
            return;
        };
        let Some(unused_ms) = queue.unused_ms() else {
            return;
        };
        let rest_ms = expires_ms.saturating_sub(unused_ms);
        if rest_ms > 0 {
            let at_ms = self.broker.clock().wall_ms().saturating_add_unsigned(rest_ms);
            self.note(at_ms, Watched::Use, queue);
            return;
        }
        let topology = self.broker.topology();
        let Some(virtual_host) = topology.virtual_host(&queue.definition().virtual_host) else {
            return;
        };
        if let Err(error) = virtual_host.expire_queue(queue) {
            tracing::warn!(%error, queue = ?queue.definition(), "a queue that nobody uses is not deleted");
        }
    }
}

/// Tells a queue with a limit of bytes how large its messages are.
async fn look_at_sizes(queue: &Arc<Queue>) {
    let mut reader = Reader::of_dead(queue.clone());
    for taken in queue.ready_ranges() {
        let priority = taken.priority;
        let read = reader.read(taken, |delivered| {
            let bytes = u32::try_from(delivered.message.body.len()).unwrap_or(u32::MAX);
            queue.note_sizes(priority, delivered.offset, &[bytes]);
            true
        });
        if let Err((error, _)) = read.await {
            tracing::warn!(%error, queue = ?queue.definition(), "the sizes of messages are not known, and do not count");
        }
    }
    queue.advance();
}

async fn sleep(ms: Option<i64>) {
    match ms {
        Some(ms) => tokio::time::sleep(Duration::from_millis(ms.unsigned_abs())).await,
        None => std::future::pending().await,
    }
}

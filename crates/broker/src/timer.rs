//! What is published later.
//!
//! ```text
//! delay -> the bucket of its time -> (the time comes near) the timer's index -> (it is due) routed and published
//! ```
//!
//! A message waits in a log; what is in memory is when each message of the buckets is due that are near: 24 bytes. An hour before its
//! time, what waits in a bucket of an hour moves on to those of minutes. Moving on and being published is one frame with leaving the
//! bucket, so that a crash neither loses nor repeats it.

mod buckets;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use firth_log::{AppendError, ReadError};
use smallvec::SmallVec;
use tokio::sync::watch;

pub(crate) use self::buckets::{BucketId, Buckets};
use crate::message::Delay;
use crate::queue::{Consumer, Delivered, Event, Handed, Mailbox, Queue, Reader, Taken};
use crate::router::route_delayed;
use crate::{Broker, Message, Publication};

/// What is in a bucket is looked at so long before it begins.
const AHEAD_MS: i64 = 60_000;
/// The timer looks at least so often, as the time may jump.
const LOOK_AFTER: Duration = Duration::from_secs(10);
/// Messages that are published together.
const TOGETHER_MAX: usize = 1000;
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// The task that publishes what is due.
pub(crate) struct Timer {
    broker: Broker,
    mailbox: Arc<Mailbox>,
    /// Buckets that are looked at.
    near: HashMap<BucketId, Arc<Queue>>,
    /// What waits in them: when it is due, and where it is.
    due: BinaryHeap<Reverse<(i64, BucketId, i64)>>,
}

impl Timer {
    pub(crate) fn new(broker: Broker) -> Timer {
        Timer {
            broker,
            mailbox: Mailbox::new(),
            near: HashMap::new(),
            due: BinaryHeap::new(),
        }
    }

    /// Until the broker stops.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            self.look_at_near_buckets();
            let wait = self.wait();
            let buckets = &self.broker.queues().buckets;
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = self.mailbox.raised() => {}
                () = buckets.changed.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = self.turn() => {}
            }
        }
    }

    async fn turn(&mut self) {
        for event in self.mailbox.take() {
            if let Event::Taken { queue, taken, .. } = event
                && let Some(id) = BucketId::of_queue(queue.id())
            {
                self.index(id, &queue, taken).await;
            }
        }
        self.publish_due().await;
    }

    fn now_ms(&self) -> i64 {
        self.broker.clock().wall_ms()
    }

    /// Until something is due, or a bucket begins.
    fn wait(&self) -> Duration {
        let now_ms = self.now_ms();
        let due = self.due.peek().map(|Reverse((at_ms, ..))| *at_ms);
        let begins = self.broker.queues().buckets.next_beginning(now_ms + AHEAD_MS);
        let begins = begins.map(|start_ms| start_ms - AHEAD_MS);
        let next = due.into_iter().chain(begins).min();
        let wait =
            next.map(|at_ms| Duration::from_millis(at_ms.saturating_sub(now_ms).max(0).unsigned_abs()));
        wait.map_or(LOOK_AFTER, |wait| wait.min(LOOK_AFTER))
    }

    fn look_at_near_buckets(&mut self) {
        let now_ms = self.now_ms();
        for (id, queue) in self.broker.queues().buckets.beginning_before(now_ms + AHEAD_MS) {
            if id.end_ms() < now_ms && self.broker.queues().buckets.remove_empty(id) {
                self.near.remove(&id);
                continue;
            }
            if self.near.contains_key(&id) {
                continue;
            }
            let consumer = Consumer {
                key: 0,
                mailbox: self.mailbox.clone(),
                priority: 0,
                credits: SmallVec::new(),
                exclusive: true,
            };
            if queue.consume(consumer).is_ok() {
                self.near.insert(id, queue);
            }
        }
    }

    /// Notes when messages of a bucket are due. From a bucket of an hour they go to those of minutes.
    async fn index(&mut self, id: BucketId, queue: &Arc<Queue>, taken: Taken) {
        if id.is_hour {
            let mut rest = Some(taken);
            while let Some(taken) = rest.take() {
                rest = self.move_on(queue, taken).await;
            }
            return;
        }
        let mut reader = Reader::of_dead(queue.clone());
        let read = reader.read(taken, |delivered| {
            self.due.push(Reverse((due_ms(&delivered), id, delivered.offset)));
            true
        });
        if let Err((error, taken)) = read.await {
            unreadable(&error, taken.offsets.start);
        }
    }

    /// Moves as much as one frame holds to buckets of minutes. Returns what is left.
    async fn move_on(&mut self, queue: &Arc<Queue>, taken: Taken) -> Option<Taken> {
        let mut publication = self.broker.publication();
        let mut reader = Reader::of_dead(queue.clone());
        let read = reader.read(taken.clone(), |delivered| {
            let delay = delivered.message.delay.unwrap_or_default();
            match publication.delay_until(delay, &delivered.message) {
                Ok(()) => Handed::from(!publication.is_full()),
                Err(_) => Handed::Refused,
            }
        });
        let left = match read.await {
            Ok(left) => left,
            Err((error, taken)) => {
                unreadable(&error, taken.offsets.start);
                return None;
            }
        };
        let end = left.as_ref().map_or(taken.offsets.end, |left| left.offsets.start);
        let moved = taken.offsets.start..end;
        if moved.is_empty() {
            tokio::time::sleep(RETRY_AFTER).await;
            return left;
        }
        self.store(&mut publication, queue, vec![(taken.priority, moved)])
            .await;
        left
    }

    async fn publish_due(&mut self) {
        loop {
            let now_ms = self.now_ms();
            let mut due: BTreeMap<BucketId, Vec<i64>> = BTreeMap::new();
            let mut count = 0;
            while count < TOGETHER_MAX
                && let Some(Reverse((at_ms, id, offset))) = self.due.peek().copied()
                && at_ms <= now_ms
            {
                self.due.pop();
                due.entry(id).or_default().push(offset);
                count += 1;
            }
            if count == 0 {
                return;
            }
            for (id, offsets) in due {
                if let Some(queue) = self.near.get(&id).cloned() {
                    self.publish(id, &queue, offsets).await;
                }
            }
        }
    }

    /// Publishes messages of a bucket, which leave it then. What the disk has no room for is tried again.
    async fn publish(&mut self, id: BucketId, queue: &Arc<Queue>, offsets: Vec<i64>) {
        let mut publication = self.broker.publication();
        let mut reader = Reader::of_dead(queue.clone());
        let mut settled = Vec::new();
        for offset in offsets {
            let read = reader.read(Taken::one(offset), |delivered| {
                match self.publish_one(&mut publication, &delivered.message) {
                    Ok(()) => Handed::Enough,
                    Err(_) => Handed::Refused,
                }
            });
            match read.await {
                Ok(None) => settled.push((0, offset..offset + 1)),
                Ok(Some(_)) => {
                    let again_ms = self.now_ms().saturating_add(RETRY_AFTER.as_millis() as i64);
                    self.due.push(Reverse((again_ms, id, offset)));
                }
                Err((error, _)) => unreadable(&error, offset),
            }
            if publication.is_full() {
                let settled = std::mem::take(&mut settled);
                self.store(&mut publication, queue, settled).await;
                publication = self.broker.publication();
            }
        }
        self.store(&mut publication, queue, settled).await;
    }

    /// What is bound to the exchange now gets the message. Where that is nothing, or the exchange is gone, the message goes.
    fn publish_one(&self, publication: &mut Publication, message: &Message<'_>) -> Result<(), AppendError> {
        let delay = message.delay.unwrap_or_default();
        let (host, exchange) = (text(delay.virtual_host), text(message.exchange));
        let Some(virtual_host) = self.broker.topology().virtual_host(&host) else {
            return Ok(());
        };
        let targets = self.broker.formats().look(message.properties, |headers, more| {
            let own = text(message.routing_key);
            let mut keys = vec![&*own];
            keys.extend(more);
            route_delayed(&virtual_host, &exchange, &keys, headers)
        });
        let message = Message {
            delay: None,
            ..*message
        };
        if let Some(targets) = targets {
            publication.publish(virtual_host.name(), &targets.queues, &message)?;
            publication.publish_to_topics(&self.broker, &targets.topics, &message);
        }
        Ok(())
    }

    async fn store(
        &self,
        publication: &mut Publication,
        queue: &Arc<Queue>,
        settled: Vec<(u8, std::ops::Range<i64>)>,
    ) {
        loop {
            match publication.store_with_settled(queue, &settled) {
                Ok(_) => return,
                Err(AppendError::Full) => tokio::time::sleep(RETRY_AFTER).await,
                Err(error) => {
                    tracing::warn!(%error, "delayed messages are not published, and wait for the next start");
                    return;
                }
            }
        }
    }
}

fn unreadable(error: &ReadError, first: i64) {
    tracing::warn!(%error, first, "delayed messages cannot be read, and wait for the next start");
}

fn due_ms(delivered: &Delivered<'_>) -> i64 {
    delivered.message.delay.unwrap_or_default().due_ms
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

impl Publication {
    /// Adds a message that is published to its exchange later.
    ///
    /// # Errors
    /// The bucket could not be created.
    pub fn delay(
        &mut self,
        virtual_host: &str,
        delay_ms: u32,
        message: &Message<'_>,
    ) -> Result<(), AppendError> {
        let delay = Delay {
            due_ms: self.now_ms().saturating_add(delay_ms.into()),
            virtual_host: virtual_host.as_bytes(),
        };
        self.delay_until(delay, message)
    }

    fn delay_until(&mut self, delay: Delay<'_>, message: &Message<'_>) -> Result<(), AppendError> {
        let message = Message {
            delay: Some(delay),
            ..*message
        };
        let now_ms = self.now_ms();
        // A bucket may be closed just now; then there is a new one.
        loop {
            let bucket = self.queues().buckets.at(self.queues(), delay.due_ms, now_ms);
            let published = self.publish(&Arc::default(), std::slice::from_ref(&bucket), &message)?;
            if published.queues > 0 {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests;

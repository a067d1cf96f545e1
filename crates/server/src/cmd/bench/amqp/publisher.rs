//! A connection that publishes: a task that sends, and one that takes confirms.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::BytesMut;
use firth_amqp_codec::{BasicProperties, Method, basic, write_content};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::super::link::due;
use super::super::tally::Tally;
use super::link::{CHANNEL, Link, Reading};
use super::message::Mark;
use crate::environment::since_boot;

/// What is gathered before it is written.
const WRITE_BYTES: usize = 64 * 1024;

pub(super) struct Publisher {
    pub(super) queue: String,
    pub(super) mark: Mark,
    pub(super) body: Vec<u8>,
    pub(super) delivery_mode: u8,
    pub(super) in_flight: usize,
    /// Time between two messages; absent where one follows the other.
    pub(super) every: Option<Duration>,
    /// By all publishers.
    pub(super) published: Arc<AtomicU64>,
}

impl Publisher {
    /// Publishes until the tally says that it is enough.
    pub(super) fn start(
        self,
        link: Link,
        tally: &Arc<Tally>,
        workers: &mut JoinSet<Result<()>>,
    ) -> Result<()> {
        let (reading, write) = link.into_halves();
        let (send, sent) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(self.in_flight));
        let mut properties = BytesMut::new();
        let described = BasicProperties {
            delivery_mode: Some(self.delivery_mode),
            ..BasicProperties::default()
        };
        described.write(&mut properties)?;
        let sending = Sending {
            publish: basic::Publish {
                routing_key: self.queue.as_str().try_into()?,
                ..basic::Publish::default()
            },
            properties,
            frame_max: reading.frame_max(),
            publisher: self,
            stream: write,
            unsent: BytesMut::new(),
            send,
            room: room.clone(),
            tally: tally.clone(),
        };
        workers.spawn(sending.run());
        let confirming = Confirming {
            reading,
            sent,
            unconfirmed: Unconfirmed::default(),
            body_bytes: 0,
            room,
            tally: tally.clone(),
        };
        workers.spawn(confirming.run());
        Ok(())
    }
}

struct Sending {
    publisher: Publisher,
    publish: basic::Publish,
    properties: BytesMut,
    frame_max: u32,
    stream: OwnedWriteHalf,
    unsent: BytesMut,
    /// When each message was due, and its bytes.
    send: mpsc::UnboundedSender<(Duration, usize)>,
    /// As many permits as messages may be published.
    room: Arc<Semaphore>,
    tally: Arc<Tally>,
}

impl Sending {
    async fn run(mut self) -> Result<()> {
        let began = since_boot();
        let mut woke = began;
        for turn in 0_u64.. {
            let due = self.publisher.every.map(|every| began + due(every, turn));
            if let Some(due) = due
                && due > since_boot()
            {
                self.flush().await?;
                tokio::select! {
                    () = tokio::time::sleep(due.saturating_sub(since_boot())) => woke = since_boot(),
                    () = self.tally.stopped() => break,
                }
            }
            if self.room.available_permits() == 0 {
                self.flush().await?;
            }
            // Nobody closes it.
            let Ok(permit) = self.room.acquire().await else {
                break;
            };
            permit.forget();
            if !self.tally.give(1) {
                break;
            }
            self.publisher.published.fetch_add(1, Ordering::Relaxed);
            // What waits for the server is late by its fault, and what waits for the timer of this process is not.
            let at = due.map_or_else(since_boot, |due| woke.max(due));
            self.publisher.mark.stamp(at, &mut self.publisher.body);
            if self.send.send((at, self.publisher.body.len())).is_err() {
                // Who takes confirms has failed, and says why.
                return Ok(());
            }
            let (publish, body) = (&self.publish, &self.publisher.body);
            write_content(
                &mut self.unsent,
                CHANNEL,
                self.frame_max,
                publish,
                &self.properties,
                body,
            );
            if self.unsent.len() >= WRITE_BYTES {
                self.flush().await?;
            }
        }
        self.flush().await?;
        // A server that is told that nothing more comes would hang up before its last confirms.
        self.stream.forget();
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        let written = self.stream.write_all_buf(&mut self.unsent).await;
        written.context("the connection is gone")
    }
}

struct Confirming {
    reading: Reading,
    sent: mpsc::UnboundedReceiver<(Duration, usize)>,
    unconfirmed: Unconfirmed,
    body_bytes: usize,
    room: Arc<Semaphore>,
    tally: Arc<Tally>,
}

impl Confirming {
    /// Until all that was published is confirmed and nothing more is.
    async fn run(mut self) -> Result<()> {
        loop {
            if self.unconfirmed.is_empty() && !self.wait_for_sent().await {
                return Ok(());
            }
            let command = self.reading.next().await?;
            let (tag, multiple) = match command.method {
                Method::Basic(basic::Method::Ack(ack)) => (ack.delivery_tag, ack.multiple),
                Method::Basic(basic::Method::Nack(_)) => bail!("the queue is full"),
                other => bail!("the server sent {} instead of a confirm", other.name()),
            };
            while let Ok((at, body_bytes)) = self.sent.try_recv() {
                self.unconfirmed.push(at);
                self.body_bytes = body_bytes;
            }
            let now = since_boot();
            let confirmed = self.unconfirmed.confirm(tag, multiple)?;
            for at in &confirmed {
                let bytes = self.body_bytes as u64;
                self.tally.count(1, bytes, Some(now.saturating_sub(*at)));
            }
            self.room.add_permits(confirmed.len());
        }
    }

    /// Whether there is one more.
    async fn wait_for_sent(&mut self) -> bool {
        let Some((at, body_bytes)) = self.sent.recv().await else {
            return false;
        };
        self.unconfirmed.push(at);
        self.body_bytes = body_bytes;
        true
    }
}

/// When messages were due, by their delivery tags, from the oldest that is not confirmed.
#[derive(Default)]
struct Unconfirmed {
    before: u64,
    due: VecDeque<Option<Duration>>,
}

impl Unconfirmed {
    fn is_empty(&self) -> bool {
        self.due.is_empty()
    }

    fn push(&mut self, due: Duration) {
        self.due.push_back(Some(due));
    }

    /// Those that are confirmed with this one.
    fn confirm(&mut self, tag: u64, multiple: bool) -> Result<Vec<Duration>> {
        let last = tag
            .checked_sub(self.before + 1)
            .and_then(|at| usize::try_from(at).ok());
        let last = last.filter(|at| *at < self.due.len());
        let last = last.with_context(|| format!("message {tag} does not wait for a confirm"))?;
        let first = if multiple { 0 } else { last };
        let confirmed: Vec<_> = self
            .due
            .range_mut(first..=last)
            .filter_map(Option::take)
            .collect();
        ensure!(!confirmed.is_empty(), "message {tag} was confirmed twice");
        while let Some(None) = self.due.front() {
            self.due.pop_front();
            self.before += 1;
        }
        Ok(confirmed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_confirmed_once_alone_or_with_others() {
        let mut unconfirmed = Unconfirmed::default();
        (1..=4).for_each(|due| unconfirmed.push(Duration::from_secs(due)));
        let seconds = |confirmed: Vec<Duration>| confirmed.iter().map(Duration::as_secs).collect::<Vec<_>>();
        assert_eq!(seconds(unconfirmed.confirm(2, false).unwrap()), [2]);
        assert!(unconfirmed.confirm(2, false).is_err());
        assert_eq!(seconds(unconfirmed.confirm(3, true).unwrap()), [1, 3]);
        assert!(unconfirmed.confirm(3, true).is_err());
        assert!(unconfirmed.confirm(5, true).is_err());
        assert_eq!(seconds(unconfirmed.confirm(4, true).unwrap()), [4]);
        assert!(unconfirmed.is_empty());
    }
}

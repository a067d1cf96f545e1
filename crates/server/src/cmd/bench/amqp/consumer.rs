//! A connection that consumes and acknowledges.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::BytesMut;
use firth_amqp_codec::{Command, Method, basic, write_method};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::super::tally::Tally;
use super::link::{CHANNEL, Link, Reading};
use super::message::Mark;
use crate::environment::since_boot;

/// How often it looks whether it is over.
const LOOK: Duration = Duration::from_millis(50);
/// Until what was published last has to come.
const ARRIVAL_MAX: Duration = Duration::from_secs(10);

pub(super) struct Consumer {
    pub(super) queue: String,
    pub(super) mark: Mark,
    pub(super) prefetch: u16,
    pub(super) published: Arc<AtomicU64>,
    /// By all consumers, measured or not.
    pub(super) consumed: Arc<AtomicU64>,
}

impl Consumer {
    /// Consumes until it is over and all has come.
    pub(super) async fn start(
        self,
        mut link: Link,
        tally: &Arc<Tally>,
        workers: &mut JoinSet<Result<()>>,
    ) -> Result<()> {
        let prefetch_count = self.prefetch;
        link.call(basic::Qos {
            prefetch_count,
            ..basic::Qos::default()
        })
        .await?;
        let consume = basic::Consume {
            queue: self.queue.as_str().try_into()?,
            ..basic::Consume::default()
        };
        link.call(consume).await?;
        let (reading, write) = link.into_halves();
        let (tally, unsent) = (tally.clone(), BytesMut::new());
        workers.spawn(
            Consuming {
                consumer: self,
                reading,
                write,
                unsent,
                tally,
            }
            .run(),
        );
        Ok(())
    }
}

struct Consuming {
    consumer: Consumer,
    reading: Reading,
    write: OwnedWriteHalf,
    unsent: BytesMut,
    tally: Arc<Tally>,
}

impl Consuming {
    async fn run(mut self) -> Result<()> {
        let mut heard = since_boot();
        loop {
            if let Ok(command) = timeout(LOOK, self.reading.next()).await {
                heard = since_boot();
                self.take(command?)?;
                while let Some(command) = self.reading.received()? {
                    self.take(command)?;
                }
                let written = self.write.write_all_buf(&mut self.unsent).await;
                written.context("the connection is gone")?;
            }
            let is_over = self.tally.is_stopped() || self.tally.is_enough();
            let published = self.consumer.published.load(Ordering::Relaxed);
            let is_all = self.consumer.consumed.load(Ordering::Relaxed) >= published;
            if is_over && is_all {
                return Ok(());
            }
            if is_over && since_boot().saturating_sub(heard) > ARRIVAL_MAX {
                bail!("not all that was published has come");
            }
        }
    }

    fn take(&mut self, command: Command) -> Result<()> {
        let Method::Basic(basic::Method::Deliver(deliver)) = command.method else {
            bail!("the server sent {} instead of a message", command.method.name());
        };
        let body = command
            .content
            .map(|content| content.body.into_bytes())
            .unwrap_or_default();
        if let Some(due) = self.consumer.mark.due(&body) {
            self.consumer.consumed.fetch_add(1, Ordering::Relaxed);
            self.tally.count_consumed(since_boot().saturating_sub(due));
        }
        let ack = basic::Ack {
            delivery_tag: deliver.delivery_tag,
            multiple: false,
        };
        write_method(&mut self.unsent, CHANNEL, &ack);
        Ok(())
    }
}

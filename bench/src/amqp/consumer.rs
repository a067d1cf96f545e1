//! A connection that consumes queues, checks what it gets, and acknowledges it.

use anyhow::{Context, Result, bail, ensure};
use firth_amqp_codec::{Method, basic};
use hdrhistogram::Histogram;

use super::{link::Link, message::Stamp};

/// How deliveries are acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acks {
    /// The server takes them for acknowledged when it sends them.
    Automatic,
    /// Each so many deliveries, all of them at once; 1 is each by itself.
    Every(u32),
    /// Only one in so many, by itself: the others stay.
    OneIn(u32),
}

pub(super) struct Consumer {
    pub(super) link: Link,
    acks: Acks,
    body_bytes: usize,
    /// For each of its queues and each publisher, the number that may come next at the earliest.
    next: Vec<Vec<u64>>,
    /// The last delivery, and the last that was acknowledged with all before it.
    delivered_tag: u64,
    acked_tag: u64,
}

impl Consumer {
    /// Consumes `queues`, whose consumer tags are their places here.
    pub(super) fn new(
        mut link: Link,
        queues: &[String],
        acks: Acks,
        prefetch: u16,
        body_bytes: usize,
        publishers: usize,
    ) -> Result<Self> {
        link.call(basic::Qos {
            prefetch_count: prefetch,
            ..basic::Qos::default()
        })?;
        for (place, queue) in queues.iter().enumerate() {
            let consume = basic::Consume {
                queue: queue.as_str().try_into()?,
                consumer_tag: place.to_string().as_str().try_into()?,
                no_ack: acks == Acks::Automatic,
                // The answer would come among deliveries of the queues before.
                no_wait: true,
                ..basic::Consume::default()
            };
            link.queue(consume);
        }
        Ok(Self {
            link,
            acks,
            body_bytes,
            next: vec![vec![0; publishers]; queues.len()],
            delivered_tag: 0,
            acked_tag: 0,
        })
    }

    /// Waits until the server knows all consumers of this connection. Nothing may be in their queues yet.
    pub(super) fn wait_until_known(&mut self) -> Result<()> {
        // The server answers in the order in which it was asked.
        let answer = self.link.call(basic::Cancel::default())?;
        ensure!(
            matches!(answer, Method::Basic(basic::Method::CancelOk(_))),
            "a consumer got {}",
            answer.name()
        );
        Ok(())
    }

    /// Takes what was delivered, and acknowledges it. Returns how many messages it was.
    pub(super) fn take(&mut self, now_ns: impl Fn() -> u64, latency: &mut Histogram<u64>) -> Result<u64> {
        self.link.flush()?;
        self.link.receive()?;
        let mut delivered = 0;
        let now_ns = now_ns();
        while let Some(command) = self.link.next_command()? {
            let Method::Basic(basic::Method::Deliver(deliver)) = &command.method else {
                bail!("a consumer got {}", command.method.name());
            };
            let body = command
                .content
                .map(|content| content.body.into_bytes())
                .unwrap_or_default();
            ensure!(body.len() == self.body_bytes, "a message of {} bytes", body.len());
            let stamp = Stamp::read(&body)?;
            self.check_order(deliver, &stamp)?;
            latency.saturating_record(now_ns.saturating_sub(stamp.sent_ns));
            delivered += 1;
            self.acknowledge(deliver.delivery_tag)?;
        }
        self.link.flush()?;
        Ok(delivered)
    }

    /// A queue gives the messages of a publisher in their order. Other consumers may have those that are left out.
    fn check_order(&mut self, deliver: &basic::Deliver, stamp: &Stamp) -> Result<()> {
        let place: usize = deliver
            .consumer_tag
            .to_str()
            .context("a tag that is text")?
            .parse()?;
        let next = self
            .next
            .get_mut(place)
            .and_then(|next| next.get_mut(stamp.publisher as usize));
        let next = next.with_context(|| format!("nobody sends {stamp:?} to consumer {place}"))?;
        ensure!(
            deliver.redelivered || stamp.number >= *next,
            "number {next} or a later one was to come, not {stamp:?}"
        );
        *next = (*next).max(stamp.number + 1);
        Ok(())
    }

    fn acknowledge(&mut self, tag: u64) -> Result<()> {
        ensure!(
            tag == self.delivered_tag + 1,
            "delivery tag {tag} after {}",
            self.delivered_tag
        );
        self.delivered_tag = tag;
        let (due, multiple) = match self.acks {
            Acks::Automatic => (false, false),
            Acks::Every(every) => (tag - self.acked_tag >= u64::from(every), every > 1),
            Acks::OneIn(one_in) => (tag.is_multiple_of(u64::from(one_in)), false),
        };
        if due {
            self.acked_tag = tag;
            self.link.queue(basic::Ack {
                delivery_tag: tag,
                multiple,
            });
        }
        Ok(())
    }

    /// Acknowledges what was kept back for an acknowledgement of several.
    pub(super) fn acknowledge_rest(&mut self) -> Result<()> {
        if matches!(self.acks, Acks::Every(every) if every > 1) && self.delivered_tag > self.acked_tag {
            self.acked_tag = self.delivered_tag;
            self.link.queue(basic::Ack {
                delivery_tag: self.delivered_tag,
                multiple: true,
            });
        }
        self.link.flush()
    }
}

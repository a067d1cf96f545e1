//! Publishers and consumers on one thread: nothing but the server stands between them, and they read one clock.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use rustix::event::{PollFd, Timespec, poll};

use super::{consumer::Consumer, publisher::Publisher};
use crate::report::latency_histogram;

/// A message this much behind its time is reported as late.
const LATE: Duration = Duration::from_millis(1);
/// Without anything that comes.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// A turn without a pace ends after this, to look at the clock.
const TURN_MAX: Duration = Duration::from_millis(10);

/// Messages since a measurement began.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Counts {
    pub(super) published: u64,
    pub(super) confirmed: u64,
    pub(super) delivered: u64,
    pub(super) late: u64,
}

/// When publishing ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    Elapsed(Duration),
    Published(u64),
}

pub(super) struct Session {
    origin: Instant,
    publishers: Vec<Publisher>,
    pub(super) consumers: Vec<Consumer>,
    /// How many queues get each message.
    copies: u64,
    pub(super) counts: Counts,
    /// Messages that were published before, and of which not all is done.
    owed: Counts,
    pub(super) to_confirm: Histogram<u64>,
    pub(super) to_consume: Histogram<u64>,
    heard: Instant,
    /// Who publishes first, so that a pace is shared evenly.
    turn: usize,
}

impl Session {
    pub(super) fn new(publishers: Vec<Publisher>, consumers: Vec<Consumer>, copies: u64) -> Result<Self> {
        for publisher in &publishers {
            publisher.link.set_nonblocking()?;
        }
        for consumer in &consumers {
            consumer.link.set_nonblocking()?;
        }
        crate::process::precise_timers()?;
        Ok(Self {
            origin: Instant::now(),
            publishers,
            consumers,
            copies,
            counts: Counts::default(),
            owed: Counts::default(),
            to_confirm: latency_histogram(),
            to_consume: latency_histogram(),
            heard: Instant::now(),
            turn: 0,
        })
    }

    /// Begins to count anew.
    pub(super) fn reset(&mut self) {
        self.owed.published += self.counts.published;
        self.owed.confirmed += self.counts.confirmed;
        self.owed.delivered += self.counts.delivered;
        self.counts = Counts::default();
        self.to_confirm.reset();
        self.to_consume.reset();
    }

    /// Publishes as fast as windows allow, or `rate` messages a second.
    pub(super) fn publish(&mut self, until: Until, rate: Option<f64>) -> Result<()> {
        let began = Instant::now();
        let before = self.counts.published;
        let total = match (until, rate) {
            (Until::Published(count), _) => count,
            (Until::Elapsed(duration), Some(rate)) => (duration.as_secs_f64() * rate) as u64,
            (Until::Elapsed(_), None) => u64::MAX,
        };
        loop {
            let elapsed = began.elapsed();
            let published = self.counts.published - before;
            if published >= total
                || matches!(until, Until::Elapsed(duration) if elapsed >= duration && rate.is_none())
            {
                return Ok(());
            }
            let due = rate.map_or(total, |rate| {
                ((elapsed.as_secs_f64() * rate) as u64 + 1).min(total)
            });
            self.publish_due(due.saturating_sub(published), rate, elapsed, published)?;
            let wait = match rate {
                None => TURN_MAX,
                Some(rate) => {
                    let next = Duration::from_secs_f64((self.counts.published - before) as f64 / rate);
                    next.saturating_sub(began.elapsed()).min(TURN_MAX)
                }
            };
            self.wait(wait)?;
        }
    }

    fn publish_due(&mut self, due: u64, rate: Option<f64>, elapsed: Duration, before: u64) -> Result<()> {
        let now_ns = self.now_ns();
        let mut left = due;
        for _ in 0..self.publishers.len() {
            let count = self.publishers.len();
            let allowed = match rate {
                // What is due together is dealt out.
                Some(_) => left.min(due.div_ceil(count as u64)),
                None => left,
            };
            left -= self.publishers[self.turn].publish(allowed, now_ns)?;
            self.turn = (self.turn + 1) % count;
        }
        let published = due - left;
        self.counts.published += published;
        if let Some(rate) = rate {
            let late = (0..published)
                .filter(|index| elapsed > LATE + Duration::from_secs_f64((before + index) as f64 / rate));
            self.counts.late += late.count() as u64;
        }
        Ok(())
    }

    /// Waits until all that was published is confirmed, and delivered if somebody consumes.
    pub(super) fn drain(&mut self) -> Result<()> {
        loop {
            let published = self.owed.published + self.counts.published;
            let confirmed = self.owed.confirmed + self.counts.confirmed;
            let delivered = self.owed.delivered + self.counts.delivered;
            let wanted = if self.consumers.is_empty() {
                0
            } else {
                published * self.copies
            };
            if confirmed >= published && delivered >= wanted {
                ensure!(
                    delivered <= wanted || self.consumers.is_empty(),
                    "{delivered} deliveries of {wanted} messages"
                );
                return self.acknowledge_rest();
            }
            ensure!(
                self.heard.elapsed() < SILENCE_MAX,
                "of {published} messages {confirmed} were confirmed, and {delivered} of {wanted} delivered"
            );
            self.wait(TURN_MAX)?;
        }
    }

    /// Waits for so many deliveries since the count began.
    pub(super) fn consume(&mut self, count: u64) -> Result<()> {
        self.heard = Instant::now();
        while self.counts.delivered < count {
            ensure!(
                self.heard.elapsed() < SILENCE_MAX,
                "{} of {count} messages were delivered",
                self.counts.delivered
            );
            self.wait(TURN_MAX)?;
        }
        self.acknowledge_rest()
    }

    fn acknowledge_rest(&mut self) -> Result<()> {
        for consumer in &mut self.consumers {
            consumer.acknowledge_rest()?;
        }
        while self
            .consumers
            .iter()
            .any(|consumer| !consumer.link.unsent.is_empty())
        {
            self.wait(TURN_MAX)?;
        }
        Ok(())
    }

    pub(super) fn now_ns(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }

    /// Waits at most so long for any connection to be ready, and serves those that are.
    fn wait(&mut self, timeout: Duration) -> Result<()> {
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: timeout.as_nanos().min(999_999_999) as i64,
        };
        let links = self.publishers.iter().map(|publisher| &publisher.link);
        let links = links.chain(self.consumers.iter().map(|consumer| &consumer.link));
        let mut polled: Vec<_> = links
            .map(|link| PollFd::new(&link.stream, link.interest()))
            .collect();
        poll(&mut polled, Some(&timeout))?;
        let ready: Vec<bool> = polled.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(polled);
        let (publishers, consumers) = ready.split_at(self.publishers.len());
        if ready.contains(&true) {
            self.heard = Instant::now();
        }
        let origin = self.origin;
        let now_ns = || origin.elapsed().as_nanos() as u64;
        for (publisher, _) in self
            .publishers
            .iter_mut()
            .zip(publishers)
            .filter(|(_, ready)| **ready)
        {
            self.counts.confirmed += publisher.take(now_ns(), &mut self.to_confirm)?;
        }
        for (consumer, _) in self
            .consumers
            .iter_mut()
            .zip(consumers)
            .filter(|(_, ready)| **ready)
        {
            self.counts.delivered += consumer.take(now_ns, &mut self.to_consume)?;
        }
        Ok(())
    }

    pub(super) fn close(self) -> Result<()> {
        for publisher in self.publishers {
            publisher.link.close()?;
        }
        for consumer in self.consumers {
            consumer.link.close()?;
        }
        Ok(())
    }
}

//! A connection that publishes, each message to the next of its queues, and takes confirms.

use std::collections::VecDeque;

use anyhow::{Result, bail, ensure};
use firth_amqp_codec::{Method, basic};
use hdrhistogram::Histogram;

use super::{
    link::Link,
    message::{Stamp, Template},
};

/// No more is prepared while the socket has so much to send.
const UNSENT_BYTES: usize = 256 << 10;

pub(super) struct Publisher {
    pub(super) link: Link,
    id: u32,
    /// One for each of its queues, with how many went there.
    routes: Vec<(Template, u64)>,
    next_route: usize,
    /// Messages that may be unconfirmed.
    window: usize,
    unconfirmed: Unconfirmed,
}

impl Publisher {
    pub(super) fn new(link: Link, id: u32, templates: Vec<Template>, window: usize) -> Self {
        let routes = templates.into_iter().map(|template| (template, 0)).collect();
        Self {
            link,
            id,
            routes,
            next_route: 0,
            window,
            unconfirmed: Unconfirmed::default(),
        }
    }

    /// Publishes at most `allowed` messages, as far as window and socket have room.
    pub(super) fn publish(&mut self, allowed: u64, now_ns: u64) -> Result<u64> {
        let mut published = 0;
        while published < allowed
            && self.unconfirmed.count < self.window
            && self.link.unsent.len() < UNSENT_BYTES
        {
            let (template, number) = &mut self.routes[self.next_route];
            let stamp = Stamp {
                sent_ns: now_ns,
                publisher: self.id,
                number: *number,
            };
            template.write(&stamp, &mut self.link.unsent);
            *number += 1;
            self.next_route = (self.next_route + 1) % self.routes.len();
            self.unconfirmed.begin(now_ns);
            published += 1;
        }
        self.link.flush()?;
        Ok(published)
    }

    /// Takes what the server has said. Returns how many messages it confirmed.
    pub(super) fn take(&mut self, now_ns: u64, latency: &mut Histogram<u64>) -> Result<u64> {
        self.link.flush()?;
        self.link.receive()?;
        let mut confirmed = 0;
        while let Some(command) = self.link.next_command()? {
            match command.method {
                Method::Basic(basic::Method::Ack(ack)) => {
                    confirmed += self
                        .unconfirmed
                        .confirm(ack.delivery_tag, ack.multiple, now_ns, latency)?;
                }
                Method::Basic(basic::Method::Nack(nack)) => {
                    bail!("message {} was refused", nack.delivery_tag)
                }
                other => bail!("a publisher got {}", other.name()),
            }
        }
        Ok(confirmed)
    }
}

/// Messages by their delivery tag, from the oldest that is not confirmed.
#[derive(Default)]
struct Unconfirmed {
    /// How many were confirmed before the first of `began_ns`.
    before: u64,
    /// When each was begun; nothing where it was confirmed before an older one.
    began_ns: VecDeque<Option<u64>>,
    count: usize,
}

impl Unconfirmed {
    fn begin(&mut self, now_ns: u64) {
        self.began_ns.push_back(Some(now_ns));
        self.count += 1;
    }

    fn confirm(
        &mut self,
        tag: u64,
        multiple: bool,
        now_ns: u64,
        latency: &mut Histogram<u64>,
    ) -> Result<u64> {
        let last = tag.checked_sub(self.before + 1).map(|at| at as usize);
        let Some(last) = last.filter(|&at| at < self.began_ns.len()) else {
            bail!("a confirm of message {tag}, which does not wait for it");
        };
        let first = if multiple { 0 } else { last };
        let mut confirmed = 0;
        for began_ns in self.began_ns.range_mut(first..=last) {
            if let Some(began_ns) = began_ns.take() {
                latency.saturating_record(now_ns.saturating_sub(began_ns));
                confirmed += 1;
            }
        }
        ensure!(confirmed > 0, "message {tag} is confirmed twice");
        while self.began_ns.front().is_some_and(Option::is_none) {
            self.began_ns.pop_front();
            self.before += 1;
        }
        self.count -= confirmed;
        Ok(confirmed as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::latency_histogram;

    #[test]
    fn each_message_is_confirmed_once() {
        let mut unconfirmed = Unconfirmed::default();
        let mut latency = latency_histogram();
        (0..5).for_each(|now_ns| unconfirmed.begin(now_ns));
        let mut confirm = |tag, multiple| unconfirmed.confirm(tag, multiple, 100, &mut latency);
        assert_eq!(confirm(3, false).unwrap(), 1);
        assert!(confirm(3, false).is_err());
        assert_eq!(confirm(4, true).unwrap(), 3);
        assert!(confirm(4, true).is_err());
        assert!(confirm(6, true).is_err());
        assert_eq!(confirm(5, true).unwrap(), 1);
        assert_eq!((unconfirmed.before, unconfirmed.count), (5, 0));
        assert_eq!(latency.len(), 5);
    }
}

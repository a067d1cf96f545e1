//! Where a message goes that is published to an exchange.
//!
//! - A message is matched with all of its routing keys at each exchange it comes to; an exchange that finds no destination
//!   hands it to its alternate exchange, if it has one and that exists.
//! - Each exchange sees the message once, so cycles end; each queue and each topic gets it once.
//! - The default exchange knows every queue by its name, and has no bindings. As an alternate exchange it finds nothing,
//!   as in RabbitMQ.
//! - A delayed exchange keeps a message that names a delay: it is among the [`Targets`] itself, and what is bound to it is
//!   found by [`route_delayed`] when the delay is over. No other exchange keeps the message again.

mod cache;
mod consistent_hash;
mod header_match;
mod matcher;
mod partition;
mod sinks;
mod topic_trie;

use std::sync::Arc;

use smallvec::SmallVec;

pub use self::cache::RouteCache;
pub(crate) use self::consistent_hash::weight;
pub use self::header_match::{HeaderMatch, HeaderValue, Headers, MatchMode, NoHeaders};
use self::matcher::Looks;
pub(crate) use self::matcher::Matcher;
pub use self::partition::{PARTITION_KEY_HEADER, partition_key, partition_of};
pub(crate) use self::sinks::Sink;
use crate::topology::{Contents, DEFAULT_EXCHANGE, Exchange, VirtualHost};
use crate::{Queue, TopicId};

/// The header that says how long a delayed exchange keeps a message, in milliseconds.
pub const DELAY_HEADER: &str = "x-delay";

/// Where a message goes.
#[derive(Clone, Debug)]
pub struct Targets {
    /// Where it was published to.
    pub exchange: Arc<Exchange>,
    /// Each once, in ascending order of their ids. Streams are among the topics.
    pub queues: Vec<Arc<Queue>>,
    /// Each once, in ascending order. [`partition_of`] tells the partition.
    pub topics: Vec<TopicId>,
    /// Exchanges that keep the message until its delay is over.
    pub delayed: Vec<Arc<Exchange>>,
}

impl Targets {
    /// Whether the message goes nowhere.
    pub fn is_empty(&self) -> bool {
        self.queues.is_empty() && self.topics.is_empty() && self.delayed.is_empty()
    }

    fn none(exchange: Arc<Exchange>) -> Targets {
        Targets {
            exchange,
            queues: Vec::new(),
            topics: Vec::new(),
            delayed: Vec::new(),
        }
    }
}

/// Where a message goes whose delay at `exchange` is over. None if there is no such exchange any more.
pub fn route_delayed(
    virtual_host: &VirtualHost,
    exchange: &str,
    keys: &[&str],
    headers: &(impl Headers + ?Sized),
) -> Option<Targets> {
    virtual_host.read(|contents, _| {
        let message = Message {
            keys,
            headers,
            is_delay_over: true,
        };
        route(contents, exchange, &message).map(|(targets, _)| targets)
    })
}

/// How long delayed exchanges keep a message, in milliseconds; None for one that is not delayed.
pub fn delay_ms(headers: &(impl Headers + ?Sized)) -> Option<u32> {
    let delay = match headers.get(DELAY_HEADER)? {
        HeaderValue::Integer(delay) => delay,
        HeaderValue::Float(delay) if delay.abs() < 1e18 => delay as i128,
        HeaderValue::Bytes(digits) => std::str::from_utf8(&digits).ok()?.parse().ok()?,
        _ => return None,
    };
    u32::try_from(delay).ok().filter(|delay| *delay > 0)
}

/// What is to be routed.
struct Message<'a, H: ?Sized> {
    keys: &'a [&'a str],
    headers: &'a H,
    is_delay_over: bool,
}

/// None if there is no such exchange.
fn route<H: Headers + ?Sized>(
    contents: &Contents,
    exchange: &str,
    message: &Message<'_, H>,
) -> Option<(Targets, Looks)> {
    let routing = contents.routing(exchange)?;
    let mut targets = Targets::none(routing.exchange.clone());
    let mut looks = Looks::default();
    if exchange == DEFAULT_EXCHANGE {
        looks.at_keys = true;
        let queues = message.keys.iter().filter_map(|key| contents.queue(key));
        queues.for_each(|queue| targets.add_queue(queue));
    } else {
        walk(contents, exchange, message, &mut targets, &mut looks);
    }
    targets.queues.sort_unstable_by_key(|queue| queue.id());
    targets.queues.dedup_by_key(|queue| queue.id());
    targets.topics.sort_unstable();
    targets.topics.dedup();
    Some((targets, looks))
}

fn walk<H: Headers + ?Sized>(
    contents: &Contents,
    from: &str,
    message: &Message<'_, H>,
    targets: &mut Targets,
    looks: &mut Looks,
) {
    let mut seen: SmallVec<[&str; 8]> = SmallVec::new();
    seen.extend(contents.routing(from).map(|routing| &*routing.exchange.name));
    let mut next = 0;
    while let Some(name) = seen.get(next).copied() {
        next += 1;
        // A binding leads to what exists; an alternate exchange need not.
        let Some(routing) = contents.routing(name) else {
            continue;
        };
        let exchange = &routing.exchange;
        looks.add(&exchange.kind);
        let keeps = exchange.kind.is_delayed() && !message.is_delay_over;
        if keeps && delay_ms(message.headers).is_some() {
            targets.delayed.push(exchange.clone());
            continue;
        }
        let mut is_matched = false;
        routing.matcher.matching(message.keys, message.headers, |sink| {
            is_matched = true;
            match sink {
                Sink::Queue(queue) => targets.queues.push(queue.clone()),
                Sink::Topic(topic) => targets.topics.push(**topic),
                Sink::Exchange(exchange) => visit(&mut seen, &exchange.name),
            }
        });
        if let Some(alternate) = exchange.alternate_exchange.as_ref().filter(|_| !is_matched) {
            visit(&mut seen, alternate);
        }
    }
}

fn visit<'a>(seen: &mut SmallVec<[&'a str; 8]>, name: &'a str) {
    if !seen.contains(&name) {
        seen.push(name);
    }
}

impl Targets {
    fn add_queue(&mut self, queue: &Arc<Queue>) {
        match queue.definition().topic {
            Some(topic) => self.topics.push(topic),
            None => self.queues.push(queue.clone()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;

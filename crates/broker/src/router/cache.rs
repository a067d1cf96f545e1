//! What a connection remembers of where messages went.
//!
//! A route is valid for as long as no exchange and no binding of the virtual host has changed, which a number tells that is
//! looked at each time. That queues come and go is no such change: what the default exchange finds is valid until its
//! queue is deleted, and that it found nothing is not remembered. So queues that are made for one reply each, as clients
//! do, empty nobody's cache.

use std::collections::HashMap;
use std::sync::Arc;

use super::header_match::Headers;
use super::{Message, Targets, route};
use crate::Queue;
use crate::topology::{DEFAULT_EXCHANGE, VirtualHost};

/// What the routes of one connection may take in memory. When it would be more, all are forgotten.
const BYTES_MAX: usize = 64 * 1024;
/// About what a route takes beside its key and its queues.
const ROUTE_BYTES: usize = 200;

#[derive(Debug)]
pub struct RouteCache {
    virtual_host: Arc<VirtualHost>,
    /// Of the virtual host, when the routes were found.
    generation: u64,
    routes: HashMap<Box<str>, Routes>,
    /// What the default exchange found, by the name of the queue.
    queues: HashMap<Box<str>, (Arc<Queue>, Arc<Targets>)>,
    bytes: usize,
}

/// Those of one exchange.
#[derive(Debug, Default)]
struct Routes {
    /// Where the key does not matter.
    of_all: Option<Arc<Targets>>,
    by_key: HashMap<Box<str>, Arc<Targets>>,
}

impl RouteCache {
    pub fn new(virtual_host: Arc<VirtualHost>) -> RouteCache {
        RouteCache {
            virtual_host,
            generation: 0,
            routes: HashMap::new(),
            queues: HashMap::new(),
            bytes: 0,
        }
    }

    pub fn virtual_host(&self) -> &Arc<VirtualHost> {
        &self.virtual_host
    }

    /// Where a message goes. None if there is no such exchange. What is remembered is found without an allocation and
    /// without a lock.
    pub fn route(
        &mut self,
        exchange: &str,
        key: &str,
        headers: &(impl Headers + ?Sized),
    ) -> Option<Arc<Targets>> {
        let found = match exchange {
            DEFAULT_EXCHANGE => self.cached_queue(key),
            _ => self.cached(exchange, key),
        };
        found.or_else(|| self.look(exchange, key, headers))
    }

    /// Where a message goes that has several routing keys, of which the first is its own. It is not remembered.
    pub fn route_keys(
        &mut self,
        exchange: &str,
        keys: &[&str],
        headers: &(impl Headers + ?Sized),
    ) -> Option<Arc<Targets>> {
        if let [key] = keys {
            return self.route(exchange, key, headers);
        }
        let message = Message {
            keys,
            headers,
            is_delay_over: false,
        };
        let routed = self
            .virtual_host
            .read(|contents, _| route(contents, exchange, &message));
        routed.map(|(targets, _)| Arc::new(targets))
    }

    fn cached(&mut self, exchange: &str, key: &str) -> Option<Arc<Targets>> {
        if self.virtual_host.generation() != self.generation {
            return None;
        }
        let routes = self.routes.get(exchange)?;
        routes.of_all.as_ref().or_else(|| routes.by_key.get(key)).cloned()
    }

    fn cached_queue(&mut self, name: &str) -> Option<Arc<Targets>> {
        let (queue, targets) = self.queues.get(name)?;
        (!queue.is_deleted()).then(|| targets.clone())
    }

    fn look(&mut self, exchange: &str, key: &str, headers: &(impl Headers + ?Sized)) -> Option<Arc<Targets>> {
        let message = Message {
            keys: &[key],
            headers,
            is_delay_over: false,
        };
        let (routed, queue, generation) = self.virtual_host.read(|contents, generation| {
            let queue = contents.queue(key).filter(|_| exchange == DEFAULT_EXCHANGE);
            (route(contents, exchange, &message), queue.cloned(), generation)
        });
        if generation != self.generation {
            self.generation = generation;
            self.forget();
        }
        let (targets, looks) = routed?;
        let targets = Arc::new(targets);
        if exchange == DEFAULT_EXCHANGE {
            if let Some(queue) = queue {
                self.make_room(key, &targets);
                self.queues.insert(key.into(), (queue, targets.clone()));
            }
        } else if !looks.at_headers {
            self.make_room(key, &targets);
            let routes = self.routes.entry(exchange.into()).or_default();
            match looks.at_keys {
                true => _ = routes.by_key.insert(key.into(), targets.clone()),
                false => routes.of_all = Some(targets.clone()),
            }
        }
        Some(targets)
    }

    fn make_room(&mut self, key: &str, targets: &Targets) {
        let destinations = targets.queues.len().saturating_add(targets.topics.len());
        let bytes = ROUTE_BYTES
            .saturating_add(key.len())
            .saturating_add(destinations.saturating_mul(size_of::<Arc<Queue>>()));
        if self.bytes.saturating_add(bytes) > BYTES_MAX {
            self.queues.clear();
            self.forget();
        }
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Forgets all but what the default exchange found.
    fn forget(&mut self) {
        self.routes.clear();
        self.bytes = self.queues.len().saturating_mul(ROUTE_BYTES);
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        let routes = self.routes.values().map(|routes| routes.by_key.len());
        self.queues.len() + routes.sum::<usize>()
    }
}

//! Publishes what died where its queue says.
//!
//! One frame holds what is published and what left the queue: after a crash a message is in one of them, and not in both. What
//! the disk has no room for stays where it is, and is tried again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use firth_log::AppendError;
use tokio::sync::{mpsc, watch};

use super::{Death, DeathRecord, add, deaths, encode, is_cycle};
use crate::queue::{Delivered, Handed, Queue, Reader, Taken};
use crate::router::RouteCache;
use crate::{Broker, Message, Publication};

const RETRY_AFTER: Duration = Duration::from_millis(200);

/// The task that publishes dead messages.
pub(crate) struct Burying {
    broker: Broker,
    routes: HashMap<Arc<str>, RouteCache>,
}

impl Burying {
    pub(crate) fn new(broker: Broker) -> Burying {
        Burying {
            broker,
            routes: HashMap::new(),
        }
    }

    /// Until the broker stops.
    pub(crate) async fn run(
        mut self,
        mut deaths: mpsc::UnboundedReceiver<Death>,
        mut stop: watch::Receiver<bool>,
    ) {
        loop {
            let death = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                death = deaths.recv() => death,
            };
            let Some(death) = death else { return };
            let mut rest = Some(death.taken);
            while let Some(taken) = rest.take() {
                tokio::select! {
                    _ = stop.wait_for(|stop| *stop) => return,
                    left = self.bury(&death.queue, taken, death.reason) => rest = left,
                }
            }
        }
    }

    /// As much as one frame holds. Returns what is left.
    async fn bury(&mut self, queue: &Arc<Queue>, taken: Taken, reason: super::Reason) -> Option<Taken> {
        let mut publication = self.broker.publication();
        let dead = taken.clone();
        let read = Reader::of_dead(queue.clone())
            .read(taken, |delivered| {
                match self.publish(&mut publication, queue, &delivered, reason) {
                    Ok(()) => Handed::from(!publication.is_full()),
                    Err(_) => Handed::Refused,
                }
            })
            .await;
        let left = match read {
            Ok(left) => left,
            Err((error, taken)) => {
                tracing::warn!(%error, queue = ?queue.definition(), first = taken.offsets.start, "dead messages cannot be read, and stay in their queue");
                return None;
            }
        };
        let end = left.as_ref().map_or(dead.offsets.end, |left| left.offsets.start);
        let count = end.abs_diff(dead.offsets.start);
        let (buried, left) = dead.split(count);
        if count == 0 {
            tokio::time::sleep(RETRY_AFTER).await;
            return left;
        }
        loop {
            match publication.store_with_settled(queue, &[(buried.priority, buried.offsets.clone())]) {
                Ok(_) => break,
                Err(AppendError::Full) => tokio::time::sleep(RETRY_AFTER).await,
                Err(error) => {
                    tracing::warn!(%error, queue = ?queue.definition(), "dead messages are not published, and stay in their queue");
                    return None;
                }
            }
        }
        left
    }

    fn publish(
        &mut self,
        publication: &mut Publication,
        queue: &Queue,
        delivered: &Delivered<'_>,
        reason: super::Reason,
    ) -> Result<(), AppendError> {
        let definition = queue.definition();
        let Some(exchange) = definition.options.dead_letter_exchange.as_deref() else {
            return Ok(());
        };
        let virtual_host = &definition.virtual_host;
        let known = self.routes.get(virtual_host);
        if known.is_none_or(|routes| routes.virtual_host().is_deleted()) {
            let Some(found) = self.broker.topology().virtual_host(virtual_host) else {
                return Ok(());
            };
            self.routes.insert(virtual_host.clone(), RouteCache::new(found));
        }
        let Some(routes) = self.routes.get_mut(virtual_host) else {
            return Ok(());
        };
        let message = &delivered.message;
        let own = String::from_utf8_lossy(message.routing_key);
        let new_key = definition.options.dead_letter_routing_key.as_deref();
        let (targets, death) = self.broker.formats().look(message.properties, |headers, more| {
            let mut keys = vec![&*own];
            keys.extend(more);
            let death = DeathRecord {
                reason,
                count: 1,
                time_ms: self.broker.clock().wall_ms(),
                queue: definition.name.as_bytes().to_vec(),
                exchange: message.exchange.to_vec(),
                routing_keys: keys.iter().map(|key| key.as_bytes().to_vec()).collect(),
                expiration_ms: message.expiration_ms,
            };
            let keys = new_key.map_or(keys, |key| vec![key]);
            (routes.route_keys(exchange, &keys, headers), death)
        });
        let Some(targets) = targets else {
            return Ok(());
        };
        let known = add(deaths(message.deaths), death);
        let outside = |target: &&Arc<Queue>| !is_cycle(&known, target.name().as_bytes());
        let queues: Vec<_> = targets.queues.iter().filter(outside).cloned().collect();
        let dead = Message {
            exchange: exchange.as_bytes(),
            routing_key: new_key.map_or(message.routing_key, str::as_bytes),
            expiration_ms: None,
            deaths: &encode(&known),
            ..*message
        };
        publication.publish(virtual_host, &queues, &dead)?;
        publication.publish_to_topics(&self.broker, &targets.topics, &dead);
        Ok(())
    }
}

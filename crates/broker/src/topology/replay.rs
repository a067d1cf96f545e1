//! What a start makes of the log.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, RwLock};

use super::journal::Journal;
use super::record::{self, Ids, Stored, StoredQueue, VirtualHostId};
use super::{Binding, Destination, FIRST_VIRTUAL_HOST, Topology, VirtualHost, VirtualHostSettings};
use crate::queues::Queues;
use crate::topics::Topics;
use crate::{Error, Queue, QueueDefinition, QueueId, StateError, StateLog};

/// Ids that are skipped where the record of those that were given out is lost; nobody gave out as many.
const IDS_SKIPPED: u64 = 1 << 32;

/// What the log says, before anything is made of it.
pub(crate) struct Replay {
    log: StateLog,
    /// In the order of their keys: what something rests on comes before it.
    stored: Vec<Stored>,
}

impl Replay {
    /// # Errors
    /// A record is not understood.
    pub(crate) fn read(log: StateLog) -> Result<Replay, Error> {
        let mut stored = Vec::new();
        for replayed in log.take_replayed() {
            let decoded = record::decode(&replayed.record).map_err(|what| log.unreadable(&replayed, what))?;
            stored.push(decoded);
        }
        Ok(Replay { log, stored })
    }

    /// Ids that were never given out, and what the log says of that.
    fn ids(&self) -> (Ids, Option<Ids>) {
        let mut reserved = None;
        let mut next = Ids {
            queue: 1,
            virtual_host: VirtualHostId::FIRST.0 + 1,
        };
        for stored in &self.stored {
            match stored {
                Stored::Ids(ids) => {
                    next = *ids;
                    reserved = Some(*ids);
                }
                Stored::VirtualHost(id, ..) => {
                    next.virtual_host = next.virtual_host.max(id.0.saturating_add(1));
                }
                Stored::Queue(_, queue) => next.queue = next.queue.max(queue.id.0.saturating_add(1)),
                Stored::Exchange(..) | Stored::Binding(..) => {}
            }
        }
        if reserved.is_none() && !self.stored.is_empty() {
            next.queue = next.queue.saturating_add(IDS_SKIPPED);
            next.virtual_host = next.virtual_host.saturating_add(IDS_SKIPPED);
        }
        (next, reserved)
    }
}

pub(super) fn open(replay: Replay, queues: Arc<Queues>, topics: Arc<Topics>) -> Result<Topology, StateError> {
    let (next, reserved) = replay.ids();
    let Replay { log, stored } = replay;
    let mut restored = Restored {
        journal: Arc::new(Journal::new(log, queues, topics, next, reserved)),
        by_id: HashMap::new(),
        orphans: Vec::new(),
    };
    if reserved.is_none() {
        // Nothing was ever stored, or the record that says so is lost.
        let settings = VirtualHostSettings::default();
        restored.virtual_host(VirtualHostId::FIRST, FIRST_VIRTUAL_HOST.into(), settings);
    }
    for stored in stored {
        if let Some(orphan) = restored.restore(stored) {
            restored.orphans.push(orphan);
        }
    }
    let Restored {
        journal,
        by_id,
        orphans,
    } = restored;
    if !orphans.is_empty() {
        tracing::info!(
            records = orphans.len(),
            "what lost what it rests on is removed from the topology"
        );
    }
    let removals: Vec<_> = orphans.iter().map(Stored::removal).collect();
    journal.append_removals(&removals)?;
    let by_name: BTreeMap<_, _> = by_id
        .into_values()
        .map(|virtual_host| (virtual_host.name().clone(), virtual_host))
        .collect();
    Ok(Topology {
        journal,
        virtual_hosts: RwLock::new(by_name),
    })
}

struct Restored {
    journal: Arc<Journal>,
    by_id: HashMap<VirtualHostId, Arc<VirtualHost>>,
    orphans: Vec<Stored>,
}

impl Restored {
    /// Returns what has lost what it rests on: it would come back when that is declared again.
    fn restore(&mut self, stored: Stored) -> Option<Stored> {
        match stored {
            Stored::Ids(_) => None,
            Stored::VirtualHost(id, name, settings) => self.virtual_host(id, name, settings),
            Stored::Exchange(id, exchange) => {
                let Some(virtual_host) = self.by_id.get(&id) else {
                    return Some(Stored::Exchange(id, exchange));
                };
                virtual_host.restore(|contents| contents.put_exchange(Arc::new(exchange)));
                None
            }
            Stored::Queue(id, queue) => self.queue(id, queue),
            Stored::Binding(id, binding) => self.binding(id, binding),
        }
    }

    /// Of two with one name the older was deleted, by a record that was given up.
    fn virtual_host(
        &mut self,
        id: VirtualHostId,
        name: Arc<str>,
        settings: VirtualHostSettings,
    ) -> Option<Stored> {
        let mut others = self.by_id.values();
        let other = others
            .find(|other| *other.name() == name && other.id() != id)
            .map(|other| other.id());
        if other.is_some_and(|other| other > id) {
            return Some(Stored::VirtualHost(id, name, settings));
        }
        let virtual_host = VirtualHost::new(id, name.clone(), settings, self.journal.clone());
        self.by_id.insert(id, Arc::new(virtual_host));
        let older = other.and_then(|other| self.by_id.remove(&other))?;
        Some(Stored::VirtualHost(older.id(), name, older.settings()))
    }

    fn queue(&self, id: VirtualHostId, stored: StoredQueue) -> Option<Stored> {
        let Some(virtual_host) = self.by_id.get(&id) else {
            return Some(Stored::Queue(id, stored));
        };
        let topics = &self.journal.topics;
        let is_there = |topic| topics.read(|topics| topics.get_by_id(topic).is_some());
        if stored.topic.is_some_and(|topic| !is_there(topic)) {
            return Some(Stored::Queue(id, stored));
        }
        let definition = QueueDefinition {
            id: QueueId(stored.id.0),
            virtual_host: virtual_host.name().clone(),
            name: stored.name,
            durable: true,
            auto_delete: stored.auto_delete,
            exclusive: None,
            options: self.journal.shared_options(stored.options),
            arguments: self.journal.shared_arguments(stored.arguments),
            topic: stored.topic,
        };
        let queue = Queue::create(&self.journal.queues, definition);
        virtual_host.restore(|contents| contents.put_queue(queue));
        None
    }

    fn binding(&self, id: VirtualHostId, binding: Binding) -> Option<Stored> {
        let is_there = |destination: &Destination| match destination {
            Destination::Topic(name) => {
                let found = self
                    .journal
                    .topics
                    .read(|topics| topics.get(name).map(|topic| topic.id));
                found.is_some() && found == binding.topic()
            }
            Destination::Queue(_) | Destination::Exchange(_) => true,
        };
        let Some(virtual_host) = self.by_id.get(&id).filter(|_| is_there(&binding.destination)) else {
            return Some(Stored::Binding(id, binding));
        };
        let put = virtual_host.restore(|contents| {
            // The names of what is there, so that each is in memory once.
            let source = contents.exchange(&binding.source)?.name.clone();
            let destination = match &binding.destination {
                Destination::Queue(name) => {
                    Destination::Queue(contents.queue(name)?.definition().name.clone())
                }
                Destination::Exchange(name) => Destination::Exchange(contents.exchange(name)?.name.clone()),
                Destination::Topic(name) => Destination::Topic(name.clone()),
            };
            let binding = Binding {
                source,
                destination,
                ..binding.clone()
            };
            contents.put_binding(Arc::new(binding));
            Some(())
        });
        put.is_none().then_some(Stored::Binding(id, binding))
    }
}

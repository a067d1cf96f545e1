//! What lies in a virtual host, and what routes through it. It is changed as a whole, under the lock of its virtual host.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use firth_log::Commit;

use super::bindings::Bindings;
use super::{Binding, Destination, Exchange, VirtualHostSettings, exchange};
use crate::router::{Matcher, Sink};
use crate::{ConnectionId, Queue, QueueId};

#[derive(Debug)]
pub(crate) struct Contents {
    pub(super) settings: VirtualHostSettings,
    /// Whoever still has the virtual host is refused.
    pub(super) is_deleted: bool,
    exchanges: HashMap<Arc<str>, Routing>,
    queues: HashSet<ByName>,
    /// Of each connection.
    exclusive: HashMap<ConnectionId, BTreeMap<QueueId, Arc<Queue>>>,
    pub(super) bindings: Bindings,
    /// Of the newest record.
    pub(super) commit: Commit,
}

/// An exchange, and how it finds destinations.
#[derive(Debug)]
pub(crate) struct Routing {
    pub(crate) exchange: Arc<Exchange>,
    pub(crate) matcher: Matcher,
    /// Bindings of which it is the source.
    bindings: usize,
}

/// A queue that is found by its name: a map would hold the name once more.
#[derive(Debug)]
struct ByName(Arc<Queue>);

/// What goes together, with all that cannot stay without it.
#[derive(Debug, Default)]
pub(super) struct Removal {
    pub(super) queues: Vec<Arc<Queue>>,
    /// Sorted by name.
    pub(super) exchanges: Vec<Arc<Exchange>>,
    pub(super) bindings: Vec<Arc<Binding>>,
}

impl Contents {
    pub(super) fn new(settings: VirtualHostSettings) -> Contents {
        let mut contents = Contents::empty(settings);
        exchange::predeclared().for_each(|exchange| contents.put_exchange(Arc::new(exchange)));
        contents
    }

    /// Without the exchanges that every virtual host has.
    pub(super) fn empty(settings: VirtualHostSettings) -> Contents {
        Contents {
            settings,
            is_deleted: false,
            exchanges: HashMap::new(),
            queues: HashSet::new(),
            exclusive: HashMap::new(),
            bindings: Bindings::default(),
            commit: Commit::done(),
        }
    }

    pub(crate) fn routing(&self, exchange: &str) -> Option<&Routing> {
        self.exchanges.get(exchange)
    }

    pub(super) fn exchange(&self, name: &str) -> Option<&Arc<Exchange>> {
        self.routing(name).map(|routing| &routing.exchange)
    }

    pub(super) fn exchanges(&self) -> impl Iterator<Item = &Arc<Exchange>> {
        self.exchanges.values().map(|routing| &routing.exchange)
    }

    pub(crate) fn queue(&self, name: &str) -> Option<&Arc<Queue>> {
        self.queues.get(name).map(|found| &found.0)
    }

    pub(super) fn queues(&self) -> impl Iterator<Item = &Arc<Queue>> {
        self.queues.iter().map(|found| &found.0)
    }

    pub(super) fn queue_count(&self) -> usize {
        self.queues.len()
    }

    pub(super) fn exclusive_queues(&self, connection: ConnectionId) -> Vec<Arc<Queue>> {
        let queues = self.exclusive.get(&connection);
        queues.map_or(Vec::new(), |queues| queues.values().cloned().collect())
    }

    pub(super) fn put_exchange(&mut self, exchange: Arc<Exchange>) {
        let routing = Routing {
            matcher: Matcher::new(&exchange.kind),
            exchange: exchange.clone(),
            bindings: 0,
        };
        self.exchanges.insert(exchange.name.clone(), routing);
    }

    pub(super) fn put_queue(&mut self, queue: Arc<Queue>) {
        if let Some(connection) = queue.definition().exclusive {
            let queues = self.exclusive.entry(connection).or_default();
            queues.insert(queue.id(), queue.clone());
        }
        self.queues.insert(ByName(queue));
    }

    /// The source and the destination exist.
    pub(super) fn put_binding(&mut self, binding: Arc<Binding>) {
        let Some(sink) = self.sink(&binding) else { return };
        if let Some(routing) = self.exchanges.get_mut(&binding.source)
            && self.bindings.insert(binding.clone())
        {
            routing.matcher.add(&binding, sink);
            routing.bindings += 1;
        }
    }

    /// None where the destination does not exist.
    fn sink(&self, binding: &Binding) -> Option<Sink> {
        match &binding.destination {
            Destination::Queue(name) => {
                let queue = self.queue(name)?;
                match queue.definition().topic {
                    Some(topic) => Some(Sink::Topic(Box::new(topic))),
                    None => Some(Sink::Queue(queue.clone())),
                }
            }
            Destination::Exchange(name) => self.exchange(name).cloned().map(Sink::Exchange),
            Destination::Topic(_) => binding.topic().map(|topic| Sink::Topic(Box::new(topic))),
        }
    }

    /// Whether a binding is there after a restart, as both of its ends are.
    pub(super) fn is_binding_stored(&self, binding: &Binding) -> bool {
        let is_durable = |exchange: &str| self.exchange(exchange).is_some_and(|exchange| exchange.durable);
        let is_stored = |queue: &Arc<Queue>| queue.definition().is_stored();
        is_durable(&binding.source)
            && match &binding.destination {
                Destination::Queue(name) => self.queue(name).is_some_and(is_stored),
                Destination::Exchange(name) => is_durable(name),
                Destination::Topic(_) => true,
            }
    }

    /// Whether the exchange has bindings of which it is the source.
    pub(super) fn is_used(&self, exchange: &str) -> bool {
        self.routing(exchange).is_some_and(|routing| routing.bindings > 0)
    }

    /// All that goes with these: their bindings, and auto-delete exchanges that lose their last one.
    pub(super) fn removal(
        &self,
        queues: Vec<Arc<Queue>>,
        exchanges: Vec<Arc<Exchange>>,
        bindings: Vec<Arc<Binding>>,
    ) -> Removal {
        let mut planned = Planned {
            contents: self,
            removal: Removal::default(),
            seen: BTreeSet::new(),
            lost: HashMap::new(),
        };
        bindings.into_iter().for_each(|binding| planned.binding(binding));
        for queue in queues {
            let destination = Destination::Queue(queue.definition().name.clone());
            self.bindings
                .to(&destination)
                .for_each(|binding| planned.binding(binding.clone()));
            planned.removal.queues.push(queue);
        }
        exchanges
            .into_iter()
            .for_each(|exchange| planned.removal.exchanges.push(exchange));
        planned.finish()
    }

    /// Returns whether anything was removed that routes.
    pub(super) fn remove(&mut self, removal: &Removal) -> bool {
        let goes = |source: &str| {
            let found = removal
                .exchanges
                .binary_search_by(|exchange| (*exchange.name).cmp(source));
            found.is_ok()
        };
        // An exchange that goes takes along what it has of its bindings.
        for binding in removal.bindings.iter().filter(|binding| !goes(&binding.source)) {
            self.unroute(binding);
        }
        for binding in &removal.bindings {
            self.bindings.remove(binding);
        }
        for exchange in &removal.exchanges {
            self.exchanges.remove(&exchange.name);
        }
        for queue in &removal.queues {
            self.queues.remove(queue.name());
            self.remove_exclusive(queue);
        }
        !removal.bindings.is_empty() || !removal.exchanges.is_empty()
    }

    fn unroute(&mut self, binding: &Arc<Binding>) {
        let Some(sink) = self.sink(binding) else { return };
        if let Some(routing) = self.exchanges.get_mut(&binding.source) {
            routing.matcher.remove(binding, &sink);
            routing.bindings -= 1;
        }
    }

    fn remove_exclusive(&mut self, queue: &Arc<Queue>) {
        let Some(connection) = queue.definition().exclusive else {
            return;
        };
        if let Some(queues) = self.exclusive.get_mut(&connection) {
            queues.remove(&queue.id());
            if queues.is_empty() {
                self.exclusive.remove(&connection);
            }
        }
    }
}

struct Planned<'a> {
    contents: &'a Contents,
    removal: Removal,
    seen: BTreeSet<*const Binding>,
    /// How many bindings each source loses.
    lost: HashMap<Arc<str>, usize>,
}

impl Planned<'_> {
    fn binding(&mut self, binding: Arc<Binding>) {
        if !self.seen.insert(Arc::as_ptr(&binding)) {
            return;
        }
        let lost = self.lost.entry(binding.source.clone()).or_default();
        *lost += 1;
        if let Some(routing) = self.contents.routing(&binding.source)
            && routing.exchange.auto_delete
            && *lost == routing.bindings
        {
            self.removal.exchanges.push(routing.exchange.clone());
        }
        self.removal.bindings.push(binding);
    }

    fn finish(mut self) -> Removal {
        let mut next = 0;
        // An exchange that goes may take the last binding of another.
        while let Some(exchange) = self.removal.exchanges.get(next).cloned() {
            next += 1;
            let contents = self.contents;
            let destination = Destination::Exchange(exchange.name.clone());
            for binding in contents
                .bindings
                .to(&destination)
                .chain(contents.bindings.from(&exchange.name))
            {
                self.binding(binding.clone());
            }
        }
        self.removal
            .exchanges
            .sort_unstable_by(|a, b| a.name.cmp(&b.name));
        self.removal.exchanges.dedup_by(|a, b| a.name == b.name);
        self.removal
    }
}

impl Borrow<str> for ByName {
    fn borrow(&self) -> &str {
        self.0.name()
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &ByName) -> bool {
        self.0.name() == other.0.name()
    }
}

impl Eq for ByName {}

impl Hash for ByName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name().hash(state);
    }
}

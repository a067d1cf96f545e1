//! The bindings of a virtual host, in two orders.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Binding, Destination};

/// All bindings, found by their source and by their destination. There may be very many: each is in memory once.
#[derive(Debug, Default)]
pub(crate) struct Bindings {
    by_source: BTreeSet<BySource>,
    by_destination: BTreeSet<ByDestination>,
}

#[derive(Clone, Debug)]
struct BySource(Arc<Binding>);

#[derive(Clone, Debug)]
struct ByDestination(Arc<Binding>);

impl Bindings {
    /// Returns false if the same binding is there already.
    pub(super) fn insert(&mut self, binding: Arc<Binding>) -> bool {
        self.by_destination.insert(ByDestination(binding.clone())) && self.by_source.insert(BySource(binding))
    }

    /// Returns false if there was no such binding.
    pub(super) fn remove(&mut self, binding: &Arc<Binding>) -> bool {
        self.by_destination.remove(&ByDestination(binding.clone()));
        self.by_source.remove(&BySource(binding.clone()))
    }

    /// The binding that is the same as `other`.
    pub(super) fn get(&self, other: &Arc<Binding>) -> Option<&Arc<Binding>> {
        self.by_source.get(&BySource(other.clone())).map(|found| &found.0)
    }

    /// All bindings, sorted by source and destination.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Binding>> {
        self.by_source.iter().map(|found| &found.0)
    }

    /// The bindings from an exchange, sorted by destination.
    pub(super) fn from(&self, source: &str) -> impl Iterator<Item = &Arc<Binding>> {
        let first = BySource(Arc::new(least(source.into(), Destination::Queue("".into()))));
        self.by_source
            .range(first..)
            .map(|found| &found.0)
            .take_while(move |binding| *binding.source == *source)
    }

    /// The bindings to a destination, sorted by source.
    pub(super) fn to(&self, destination: &Destination) -> impl Iterator<Item = &Arc<Binding>> {
        let first = ByDestination(Arc::new(least("".into(), destination.clone())));
        self.by_destination
            .range(first..)
            .map(|found| &found.0)
            .take_while(move |binding| binding.destination == *destination)
    }
}

/// What comes before all other bindings with this source and this destination.
fn least(source: Arc<str>, destination: Destination) -> Binding {
    Binding {
        source,
        destination,
        key: "".into(),
        details: None,
    }
}

impl Ord for BySource {
    fn cmp(&self, other: &BySource) -> Ordering {
        let (a, b) = (&*self.0, &*other.0);
        let by_source = a.source.cmp(&b.source);
        by_source
            .then_with(|| a.destination.cmp(&b.destination))
            .then_with(|| a.key.cmp(&b.key))
            .then_with(|| a.arguments().cmp(b.arguments()))
    }
}

impl Ord for ByDestination {
    fn cmp(&self, other: &ByDestination) -> Ordering {
        let (a, b) = (&*self.0, &*other.0);
        let by_destination = a.destination.cmp(&b.destination);
        by_destination
            .then_with(|| a.source.cmp(&b.source))
            .then_with(|| a.key.cmp(&b.key))
            .then_with(|| a.arguments().cmp(b.arguments()))
    }
}

impl PartialOrd for BySource {
    fn partial_cmp(&self, other: &BySource) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialOrd for ByDestination {
    fn partial_cmp(&self, other: &ByDestination) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for BySource {
    fn eq(&self, other: &BySource) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl PartialEq for ByDestination {
    fn eq(&self, other: &ByDestination) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for BySource {}
impl Eq for ByDestination {}

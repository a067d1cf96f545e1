//! All topics: what requests look up, and what the owner of the definitions changes.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use crate::{Topic, TopicId};

/// Topics by name and by id. The sets hold the topics alone, since there may be very many.
#[derive(Debug, Default, Clone)]
pub(crate) struct TopicMap {
    by_name: HashSet<ByName>,
    by_id: HashSet<ById>,
    partitions: usize,
}

/// A topic that is found by its name.
#[derive(Clone)]
struct ByName(Arc<Topic>);

/// A topic that is found by its id.
#[derive(Clone)]
struct ById(Arc<Topic>);

/// What a definition does to a [`TopicMap`].
#[derive(Debug, Clone)]
pub(crate) enum TopicChange {
    /// A new topic, or an old one with another configuration.
    Put(Arc<Topic>),
    Remove(Arc<Topic>),
}

impl TopicMap {
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Topic>> {
        self.by_name.get(name).map(|found| &found.0)
    }

    pub(crate) fn get_by_id(&self, id: TopicId) -> Option<&Arc<Topic>> {
        self.by_id.get(&id).map(|found| &found.0)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Partitions of all topics together.
    pub(crate) fn partition_count(&self) -> usize {
        self.partitions
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.by_name.iter().map(|found| &found.0)
    }

    pub(crate) fn apply(&mut self, change: &TopicChange) {
        let replaced = match change {
            TopicChange::Put(topic) => {
                self.partitions += topic.partitions.len();
                self.by_id.replace(ById(topic.clone()));
                self.by_name.replace(ByName(topic.clone()))
            }
            TopicChange::Remove(topic) => {
                self.by_id.remove(&topic.id);
                self.by_name.take(&*topic.name)
            }
        };
        self.partitions -= replaced.map_or(0, |found| found.0.partitions.len());
    }
}

impl PartialEq for TopicMap {
    fn eq(&self, other: &TopicMap) -> bool {
        self.len() == other.len() && self.iter().all(|topic| other.get(&topic.name) == Some(topic))
    }
}

impl Eq for TopicMap {}

impl Borrow<str> for ByName {
    fn borrow(&self) -> &str {
        &self.0.name
    }
}

impl Borrow<TopicId> for ById {
    fn borrow(&self) -> &TopicId {
        &self.0.id
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &ByName) -> bool {
        self.0.name == other.0.name
    }
}

impl PartialEq for ById {
    fn eq(&self, other: &ById) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for ByName {}
impl Eq for ById {}

impl Hash for ByName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name.hash(state);
    }
}

impl Hash for ById {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id.hash(state);
    }
}

impl fmt::Debug for ByName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ById {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The topics that exist durably. Looked up by every request, changed by the owner of the definitions alone.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    shared: RwLock<Shared>,
    /// All topics by name as they were when they were last asked for; emptied when they change.
    sorted: Mutex<Sorted>,
}

#[derive(Debug, Default)]
struct Shared {
    map: TopicMap,
    /// How often the map was changed.
    version: u64,
}

#[derive(Debug, Default)]
struct Sorted {
    version: u64,
    topics: Option<Arc<[Arc<Topic>]>>,
}

impl Topics {
    pub(crate) fn new(map: TopicMap) -> Topics {
        Topics {
            shared: RwLock::new(Shared { map, version: 0 }),
            sorted: Mutex::default(),
        }
    }

    pub(crate) fn read<T>(&self, f: impl FnOnce(&TopicMap) -> T) -> T {
        f(&self.shared().map)
    }

    /// All topics, sorted by name. Sorting is done outside of the lock under which requests look topics up, and once
    /// for as long as nothing changes: tools ask for all topics all the time.
    pub(crate) fn sorted(&self) -> Arc<[Arc<Topic>]> {
        let version = self.shared().version;
        {
            let sorted = self.sorted.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(topics) = sorted.topics.as_ref().filter(|_| sorted.version == version) {
                return topics.clone();
            }
        }
        let (mut topics, version) = {
            let shared = self.shared();
            let topics: Vec<Arc<Topic>> = shared.map.iter().cloned().collect();
            (topics, shared.version)
        };
        topics.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let topics: Arc<[Arc<Topic>]> = topics.into();
        *self.sorted.lock().unwrap_or_else(PoisonError::into_inner) = Sorted {
            version,
            topics: Some(topics.clone()),
        };
        topics
    }

    /// What the topics are now, and their version, unless that is the `known` one.
    pub(crate) fn read_changed<T>(
        &self,
        known: Option<u64>,
        f: impl FnOnce(&TopicMap) -> T,
    ) -> Option<(u64, T)> {
        let shared = self.shared();
        (known != Some(shared.version)).then(|| (shared.version, f(&shared.map)))
    }

    pub(crate) fn apply(&self, changes: &[TopicChange]) {
        if changes.is_empty() {
            return;
        }
        {
            let mut shared = self.shared.write().unwrap_or_else(|_| half_changed());
            changes.iter().for_each(|change| shared.map.apply(change));
            shared.version += 1;
        }
        // It would keep topics that were deleted.
        let mut sorted = self.sorted.lock().unwrap_or_else(PoisonError::into_inner);
        sorted.topics = None;
    }

    fn shared(&self) -> RwLockReadGuard<'_, Shared> {
        self.shared.read().unwrap_or_else(|_| half_changed())
    }
}

/// A panic left the map half changed. What it would answer is unknown, so the process ends and recovery takes over.
fn half_changed() -> ! {
    tracing::error!("a thread panicked while it changed the topics; aborting so that recovery takes over");
    std::process::abort()
}

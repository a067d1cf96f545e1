//! Virtual hosts: each with exchanges, queues and bindings of its own, behind a lock of its own.

use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use firth_log::Commit;
use tokio::sync::watch;

use super::contents::{Contents, Removal};
use super::journal::Journal;
use super::record::{Stored, StoredQueue, VirtualHostId};
use super::{Binding, Exchange, TopologyError};
use crate::{Queue, QueueDefinition, StateRecord};

/// What can be changed about a virtual host. What is None is not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VirtualHostSettings {
    pub description: String,
    pub tags: Vec<String>,
    /// How many queues it may have.
    pub max_queues: Option<u64>,
    /// How many connections may use it at a time.
    pub max_connections: Option<u64>,
}

/// What was declared, now or before.
#[derive(Clone, Debug)]
pub struct Declared<T> {
    pub item: Arc<T>,
    /// Otherwise it was there: whoever declared it compares.
    pub is_new: bool,
    /// The reply waits for it.
    pub commit: Commit,
}

/// A queue that was deleted.
#[derive(Clone, Debug)]
pub struct DeletedQueue {
    /// How many were ready.
    pub messages: u64,
    /// The reply waits for it.
    pub commit: Commit,
}

/// A virtual host. Whoever still has it after its deletion finds nothing in it, and is refused.
pub struct VirtualHost {
    id: VirtualHostId,
    name: Arc<str>,
    pub(super) journal: Arc<Journal>,
    contents: RwLock<Contents>,
    /// How often exchanges and bindings were changed.
    generation: AtomicU64,
    pub(super) connections: AtomicU64,
    deleted: watch::Sender<bool>,
}

impl VirtualHost {
    pub(super) fn new(
        id: VirtualHostId,
        name: Arc<str>,
        settings: VirtualHostSettings,
        journal: Arc<Journal>,
    ) -> VirtualHost {
        VirtualHost {
            id,
            name,
            journal,
            contents: RwLock::new(Contents::new(settings)),
            generation: AtomicU64::new(1),
            connections: AtomicU64::new(0),
            deleted: watch::Sender::new(false),
        }
    }

    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn id(&self) -> VirtualHostId {
        self.id
    }

    pub fn settings(&self) -> VirtualHostSettings {
        self.read(|contents, _| contents.settings.clone())
    }

    /// Replaces the settings. Limits that are exceeded then only refuse what is new.
    pub fn configure(&self, settings: VirtualHostSettings) -> Result<Commit, TopologyError> {
        super::check_settings(&settings)?;
        let mut contents = self.write()?;
        let stored = Stored::VirtualHost(self.id, self.name.clone(), settings.clone());
        self.store(&mut contents, &[stored.record()])?;
        contents.settings = settings;
        Ok(contents.commit.clone())
    }

    /// Becomes true when the virtual host is deleted: its connections are to be closed then.
    pub fn deleted(&self) -> watch::Receiver<bool> {
        self.deleted.subscribe()
    }

    /// Whether it was deleted. One that has its name again is another one.
    pub fn is_deleted(&self) -> bool {
        *self.deleted.borrow()
    }

    /// How many connections use it.
    pub fn connection_count(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Of the newest record: a reply that says what is there waits for it.
    pub fn commit(&self) -> Commit {
        self.read(|contents, _| contents.commit.clone())
    }

    pub fn exchange(&self, name: &str) -> Option<Arc<Exchange>> {
        self.read(|contents, _| contents.exchange(name).cloned())
    }

    /// All exchanges, sorted by name.
    pub fn exchanges(&self) -> Vec<Arc<Exchange>> {
        let mut exchanges: Vec<_> = self.read(|contents, _| contents.exchanges().cloned().collect());
        exchanges.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        exchanges
    }

    pub fn queue(&self, name: &str) -> Option<Arc<Queue>> {
        self.read(|contents, _| contents.queue(name).cloned())
    }

    /// All queues, sorted by name.
    pub fn queues(&self) -> Vec<Arc<Queue>> {
        let mut queues: Vec<_> = self.read(|contents, _| contents.queues().cloned().collect());
        queues.sort_unstable_by(|a, b| a.name().cmp(b.name()));
        queues
    }

    pub fn queue_count(&self) -> usize {
        self.read(|contents, _| contents.queue_count())
    }

    /// It differs when an exchange or a binding was changed.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Shows the contents, and the generation that they are of. Nothing is to be done there that takes long.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Contents, u64) -> T) -> T {
        let contents = self.shared();
        look(&contents, self.generation.load(Ordering::Relaxed))
    }

    /// The contents, to be changed.
    pub(super) fn write(&self) -> Result<RwLockWriteGuard<'_, Contents>, TopologyError> {
        let contents = self.contents.write().unwrap_or_else(|_| half_changed());
        match contents.is_deleted {
            true => Err(TopologyError::UnknownVirtualHost(self.name.to_string())),
            false => Ok(contents),
        }
    }

    /// Routes that were found before are not valid any more. The contents are locked.
    pub(super) fn rerouted(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Appends records of what is about to be changed.
    pub(super) fn store(
        &self,
        contents: &mut Contents,
        records: &[StateRecord],
    ) -> Result<(), TopologyError> {
        self.journal.found()?;
        contents.commit = self.journal.append(records)?;
        Ok(())
    }

    /// Removes, from the log and from the contents. The queues are closed already, so that they are removed in memory even
    /// where that cannot be stored.
    pub(super) fn remove(&self, contents: &mut Contents, removal: &Removal) -> Result<(), TopologyError> {
        let stored = self.journal.append_removals(&self.removals(contents, removal));
        if contents.remove(removal) {
            self.rerouted();
        }
        if let Some(commit) = stored? {
            contents.commit = commit;
        }
        Ok(())
    }

    pub(super) fn removals(&self, contents: &Contents, removal: &Removal) -> Vec<StateRecord> {
        let bindings = removal
            .bindings
            .iter()
            .filter(|binding| contents.is_binding_stored(binding))
            .map(|binding| Stored::Binding(self.id, Binding::clone(binding)));
        let exchanges = removal
            .exchanges
            .iter()
            .filter(|exchange| exchange.durable)
            .map(|exchange| Stored::Exchange(self.id, Exchange::clone(exchange)));
        let queues = removal
            .queues
            .iter()
            .filter(|queue| queue.definition().is_stored())
            .map(|queue| self.stored_queue(queue.definition()));
        let all = bindings.chain(exchanges).chain(queues);
        all.map(|stored| stored.removal()).collect()
    }

    pub(super) fn stored_queue(&self, definition: &QueueDefinition) -> Stored {
        let stored = StoredQueue {
            id: definition.id,
            name: definition.name.clone(),
            auto_delete: definition.auto_delete,
            options: (*definition.options).clone(),
            arguments: definition.arguments.to_vec(),
            topic: definition.topic,
        };
        Stored::Queue(self.id, stored)
    }

    /// Removes its record and empties it for ever. Returns what was in it.
    pub(super) fn close(&self) -> Result<(Contents, Commit), TopologyError> {
        let mut contents = self.write()?;
        let stored = Stored::VirtualHost(self.id, self.name.clone(), contents.settings.clone());
        let commit = self.journal.append_removals(&[stored.removal()])?;
        let mut empty = Contents::empty(contents.settings.clone());
        empty.is_deleted = true;
        let old = mem::replace(&mut *contents, empty);
        self.rerouted();
        self.deleted.send_replace(true);
        Ok((old, commit.unwrap_or_else(Commit::done)))
    }

    /// Puts in what the log says.
    pub(super) fn restore<T>(&self, put: impl FnOnce(&mut Contents) -> T) -> T {
        let mut contents = self.contents.write().unwrap_or_else(|_| half_changed());
        put(&mut contents)
    }

    fn shared(&self) -> RwLockReadGuard<'_, Contents> {
        self.contents.read().unwrap_or_else(|_| half_changed())
    }
}

impl fmt::Debug for VirtualHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "virtual host '{}'", self.name)
    }
}

/// A panic left the contents half changed. What they would answer is unknown, so the process ends and recovery takes over.
fn half_changed() -> ! {
    tracing::error!(
        "a thread panicked while it changed a virtual host; aborting so that recovery takes over"
    );
    std::process::abort()
}

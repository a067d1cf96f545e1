//! What the virtual hosts share: the log of what is stored, and the ids that are given out.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use firth_log::Commit;

use super::record::{Ids, Stored, VirtualHostId};
use super::{TopologyError, VirtualHostSettings};
use crate::queues::Queues;
use crate::topics::Topics;
use crate::{Clock, ConnectionId, QueueId, QueueOptions, StateError, StateLog, StateRecord};

/// Ids that are reserved at a time; a restart skips at most as many.
const IDS_PER_BLOCK: u64 = 4096;
/// Bytes of the records that are appended at a time where it does not matter that they are together.
const CHUNK_BYTES: usize = 8 * 1024 * 1024;

pub(crate) struct Journal {
    log: StateLog,
    clock: Clock,
    /// What the queues stand on.
    pub(super) queues: Arc<Queues>,
    /// Where the topics are looked up that bindings lead to.
    pub(super) topics: Arc<Topics>,
    ids: Mutex<Given>,
    options: Mutex<Shared<QueueOptions>>,
    arguments: Mutex<Shared<[u8]>>,
    connections: AtomicU64,
}

/// The next ids, and what is stored of them.
#[derive(Debug)]
struct Given {
    next: Ids,
    /// None before anything was ever stored.
    reserved: Option<Ids>,
}

impl Journal {
    /// `next` are ids that were never given out, `reserved` is what the log says of that.
    pub(super) fn new(
        log: StateLog,
        queues: Arc<Queues>,
        topics: Arc<Topics>,
        next: Ids,
        reserved: Option<Ids>,
    ) -> Journal {
        Journal {
            log,
            clock: queues.environment.clock.clone(),
            queues,
            topics,
            ids: Mutex::new(Given { next, reserved }),
            options: Mutex::default(),
            arguments: Mutex::default(),
            connections: AtomicU64::new(1),
        }
    }

    /// The id of a new queue. That of one which is not stored needs no record: nothing refers to it after a restart.
    pub(super) fn queue_id(&self, is_stored: bool) -> Result<QueueId, TopologyError> {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        if is_stored {
            self.reserve(&mut ids)?;
        }
        let id = ids.next.queue;
        ids.next.queue = id.saturating_add(1);
        Ok(QueueId(id))
    }

    pub(super) fn virtual_host_id(&self) -> Result<VirtualHostId, TopologyError> {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        self.reserve(&mut ids)?;
        let id = ids.next.virtual_host;
        ids.next.virtual_host = id.saturating_add(1);
        Ok(VirtualHostId(id))
    }

    /// To be called before anything else is stored. From then on the virtual host that there is from the start is there because
    /// it is stored, so that it can be deleted.
    pub(super) fn found(&self) -> Result<(), StateError> {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        match ids.reserved {
            Some(_) => Ok(()),
            None => self.reserve(&mut ids),
        }
    }

    /// What is appended later is not durable before this.
    fn reserve(&self, ids: &mut Given) -> Result<(), StateError> {
        let next = ids.next;
        let is_enough =
            |reserved: &Ids| next.queue < reserved.queue && next.virtual_host < reserved.virtual_host;
        if ids.reserved.as_ref().is_some_and(is_enough) {
            return Ok(());
        }
        let reserved = Ids {
            queue: next.queue.saturating_add(IDS_PER_BLOCK),
            virtual_host: next.virtual_host.saturating_add(IDS_PER_BLOCK),
        };
        let mut records = vec![Stored::Ids(reserved).record()];
        if ids.reserved.is_none() {
            let (id, settings) = (VirtualHostId::FIRST, VirtualHostSettings::default());
            records.push(Stored::VirtualHost(id, super::FIRST_VIRTUAL_HOST.into(), settings).record());
        }
        self.append(&records)?;
        ids.reserved = Some(reserved);
        Ok(())
    }

    pub(super) fn connection_id(&self) -> ConnectionId {
        ConnectionId(self.connections.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn state_log(&self) -> &StateLog {
        &self.log
    }

    /// Appends all records together, unless the disk is full. The log is founded.
    pub(super) fn append(&self, records: &[StateRecord]) -> Result<Commit, StateError> {
        match self.log.is_full() {
            true => Err(StateError::Full),
            false => self.log.append(records, self.clock.wall_ms()),
        }
    }

    /// Appends removals, also to a full disk, so many together as fit: what one leaves behind, the next start removes.
    pub(super) fn append_removals(&self, records: &[StateRecord]) -> Result<Option<Commit>, StateError> {
        let mut commit = None;
        let mut rest = records;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = rest.iter().take_while(|record| {
                bytes += record.key.len();
                bytes <= CHUNK_BYTES
            });
            let (together, others) = rest.split_at(fits.count().max(1));
            commit = Some(self.log.append(together, self.clock.wall_ms())?);
            rest = others;
        }
        Ok(commit)
    }

    pub(super) fn shared_options(&self, options: QueueOptions) -> Arc<QueueOptions> {
        let mut shared = self.options.lock().unwrap_or_else(PoisonError::into_inner);
        shared.get(Arc::new(options))
    }

    pub(super) fn shared_arguments(&self, arguments: Vec<u8>) -> Arc<[u8]> {
        let mut shared = self.arguments.lock().unwrap_or_else(PoisonError::into_inner);
        shared.get(arguments.into())
    }
}

/// One value for all that are equal, since there may be very many.
#[derive(Debug)]
struct Shared<T: ?Sized> {
    values: HashSet<Arc<T>>,
    /// When there are so many, those are forgotten that nobody has any more.
    sweep_at: usize,
}

/// What is kept before it is looked at for the first time.
const SWEEP_AT_MIN: usize = 64;

impl<T: ?Sized> Default for Shared<T> {
    fn default() -> Shared<T> {
        Shared {
            values: HashSet::new(),
            sweep_at: SWEEP_AT_MIN,
        }
    }
}

impl<T: Eq + Hash + ?Sized> Shared<T> {
    fn get(&mut self, value: Arc<T>) -> Arc<T> {
        if let Some(known) = self.values.get(&value) {
            return known.clone();
        }
        if self.values.len() >= self.sweep_at {
            self.values.retain(|value| Arc::strong_count(value) > 1);
            self.sweep_at = self.values.len().saturating_mul(2).max(SWEEP_AT_MIN);
        }
        self.values.insert(value.clone());
        value
    }
}

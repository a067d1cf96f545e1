//! All consumer groups: each a state machine behind a lock of its own ([`group`]), with what is parked in it.
//!
//! ```text
//! handler -- turn --> Group --> records --> the broker's log of groups --> commit
//!    ^                  | replies                                             |
//!    '------------------'------------- waits until it is durable -------------'
//! ```
//!
//! - A reply waits for the newest record of its group, also where it stores nothing itself: what it says may rest on that
//!   record, and no crash is to take back what was said.
//! - The lock of a group is held while its records are appended, so that the log has them in the order in which they took
//!   effect. The engine takes its own lock inside, and calls nothing of ours. Nothing else is locked inside, and no lock is
//!   held across an await.
//! - One task waits for the deadlines of all groups ([`deadlines`]), one for what expires ([`expiry`]).
//! - What all groups take in memory is counted, and bounded by [`GroupSettings::memory_bytes`].

mod deadlines;
mod expiry;
mod group;
mod member;
mod observed;
mod offsets;
pub(crate) mod record;
mod settings;
mod subscription;
mod turn;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use firth_broker::{Broker, Commit, Replayed, StateError, StateRecord, TopicId, Unreadable};
use tokio::sync::oneshot;

use self::deadlines::Deadlines;
pub(crate) use self::group::{
    Commit as OffsetsToCommit, CommittedPartition, Described, Group, Join, Leaving, Sync,
};
use self::member::NEVER;
pub(crate) use self::member::{Protocol, Ticket};
pub use self::observed::ObservedGroup;
pub(crate) use self::offsets::Committed;
use self::record::Stored;
pub use self::record::unreadable;
pub use self::settings::GroupSettings;
pub use self::turn::Cause;
pub(crate) use self::turn::{Joined, Reply};
use self::turn::{Now, Turn};
use crate::metrics::Metrics;

/// A reply, and what it waits for.
type Answer = (Reply, Commit);

/// A handle to all groups; clones share them.
#[derive(Clone)]
pub(crate) struct Groups {
    shared: Arc<Shared>,
}

struct Shared {
    broker: Broker,
    settings: GroupSettings,
    metrics: Arc<Metrics>,
    entries: RwLock<HashMap<Arc<str>, Arc<Entry>>>,
    deadlines: Deadlines,
    /// What all groups take in memory.
    bytes: AtomicUsize,
    tickets: AtomicU64,
}

struct Entry {
    id: Arc<str>,
    slot: Mutex<Slot>,
}

struct Slot {
    group: Group,
    waiting: HashMap<Ticket, oneshot::Sender<Answer>>,
    /// Of the newest record.
    commit: Commit,
    /// When the deadlines' task will look at it.
    scheduled_ms: u64,
    /// As the group was after the last turn.
    bytes: usize,
    /// It is in the map no more: whoever still has it looks again.
    is_removed: bool,
}

impl Groups {
    /// The groups as the log has them, and the tasks that they need.
    ///
    /// # Errors
    /// A record cannot be read.
    pub(crate) fn open(
        broker: Broker,
        settings: GroupSettings,
        metrics: Arc<Metrics>,
    ) -> Result<Groups, Unreadable> {
        let replayed = broker.groups_log().take_replayed();
        let shared = Shared {
            settings,
            metrics,
            entries: RwLock::default(),
            deadlines: Deadlines::default(),
            bytes: AtomicUsize::new(0),
            tickets: AtomicU64::new(0),
            broker,
        };
        let groups = Groups {
            shared: Arc::new(shared),
        };
        groups.restore(&replayed)?;
        let broker = &groups.shared.broker;
        broker.spawn("group deadlines", |stop| deadlines::run(groups.clone(), stop));
        broker.spawn("group expiry", |stop| expiry::run(groups.clone(), stop));
        Ok(groups)
    }

    fn restore(&self, replayed: &[Replayed]) -> Result<(), Unreadable> {
        let now_ms = self.now().monotonic_ms;
        let mut restored: HashMap<Arc<str>, Group> = HashMap::new();
        for record in replayed {
            let stored = record::read(self.shared.broker.groups_log(), record)?;
            let (Stored::Group(id, _) | Stored::Offset(id, ..)) = &stored;
            let group = restored
                .entry(id.clone())
                .or_insert_with(|| Group::new(id.clone()));
            match stored {
                Stored::Group(_, stored) => group.restore(stored, now_ms),
                Stored::Offset(_, topic, partition, committed) => {
                    group.restore_offset(topic, partition, committed);
                }
            }
        }
        for (id, group) in restored {
            let entry = Arc::new(Entry::new(id.clone(), group));
            self.put(entry.clone());
            // Its memory and its deadlines are taken up.
            self.turn(&entry, |_, _| ());
        }
        Ok(())
    }

    pub(crate) fn settings(&self) -> &GroupSettings {
        &self.shared.settings
    }

    /// Joins a group, which a new member creates. None if there is no such group.
    pub(crate) fn join(&self, id: &str, is_new: bool, join: impl FnOnce(Ticket) -> Join) -> Option<Waiting> {
        let mut join = Some(join);
        self.park(id, is_new, |ticket, group, turn| {
            if let Some(join) = join.take() {
                group.join(join(ticket), turn);
            }
        })
    }

    pub(crate) fn sync(&self, id: &str, sync: impl FnOnce(Ticket) -> Sync) -> Option<Waiting> {
        let mut sync = Some(sync);
        self.park(id, false, |ticket, group, turn| {
            if let Some(sync) = sync.take() {
                group.sync(sync(ticket), turn);
            }
        })
    }

    /// Creates the group if there is none.
    fn ensure(&self, id: &str) {
        if self.find(id).is_none() {
            let id: Arc<str> = id.into();
            self.put(Arc::new(Entry::new(id.clone(), Group::new(id))));
        }
    }

    /// Has an entry in the map, unless its group has one.
    fn put(&self, entry: Arc<Entry>) {
        let mut entries = self.write();
        entries.entry(entry.id.clone()).or_insert(entry);
        self.shared.metrics.set_groups(entries.len());
    }

    /// Has a group do something that is answered at once. None if there is no such group.
    pub(crate) fn with<T>(
        &self,
        id: &str,
        mut f: impl FnMut(&mut Group, &mut Turn<'_>) -> T,
    ) -> Option<(T, Commit)> {
        loop {
            let entry = self.find(id)?;
            if let Some(done) = self.turn(&entry, &mut f) {
                return Some(done);
            }
            self.forget(&entry);
        }
    }

    /// As [`Groups::with`], for a group that is created if there is none.
    pub(crate) fn with_new<T>(
        &self,
        id: &str,
        mut f: impl FnMut(&mut Group, &mut Turn<'_>) -> T,
    ) -> (T, Commit) {
        loop {
            self.ensure(id);
            if let Some(done) = self.with(id, &mut f) {
                return done;
            }
        }
    }

    /// Looks at all groups, one after the other.
    pub(crate) fn look_at_all<T>(&self, mut look: impl FnMut(&Group) -> Option<T>) -> (Vec<T>, Vec<Commit>) {
        let (mut seen, mut commits) = (Vec::new(), Vec::new());
        for entry in self.all() {
            let slot = entry.lock();
            if slot.is_removed || slot.group.is_void() {
                continue;
            }
            if let Some(found) = look(&slot.group) {
                seen.push(found);
                if !slot.commit.is_durable() {
                    commits.push(slot.commit.clone());
                }
            }
        }
        (seen, commits)
    }

    /// Offsets of these topics are no one's any more.
    pub(crate) fn forget_topics(&self, topics: &[TopicId]) {
        for entry in self.all() {
            self.turn(&entry, |group, turn| {
                topics.iter().for_each(|topic| group.forget_topic(*topic, turn));
            });
        }
    }

    /// Memory that all groups take.
    fn bytes(&self) -> usize {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// Has a group do something whose reply may come much later.
    fn park(
        &self,
        id: &str,
        is_new: bool,
        mut f: impl FnMut(Ticket, &mut Group, &mut Turn<'_>),
    ) -> Option<Waiting> {
        let ticket = self.shared.tickets.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        let mut sender = Some(sender);
        loop {
            if is_new {
                self.ensure(id);
            }
            let Some(entry) = self.find(id) else {
                match is_new {
                    // It was void for somebody else in between.
                    true => continue,
                    false => return None,
                }
            };
            let mut slot = entry.lock();
            if slot.is_removed {
                drop(slot);
                self.forget(&entry);
                continue;
            }
            slot.waiting.extend(sender.take().map(|sender| (ticket, sender)));
            self.turn_of(&entry, slot, &mut |group: &mut Group, turn: &mut Turn<'_>| {
                f(ticket, group, turn)
            });
            return Some(Waiting(receiver));
        }
    }

    /// None if the group was removed.
    fn turn<T>(
        &self,
        entry: &Arc<Entry>,
        mut f: impl FnMut(&mut Group, &mut Turn<'_>) -> T,
    ) -> Option<(T, Commit)> {
        let slot = entry.lock();
        if slot.is_removed {
            return None;
        }
        Some(self.turn_of(entry, slot, &mut f))
    }

    fn turn_of<T>(
        &self,
        entry: &Arc<Entry>,
        mut slot: MutexGuard<'_, Slot>,
        f: &mut impl FnMut(&mut Group, &mut Turn<'_>) -> T,
    ) -> (T, Commit) {
        let now = self.now();
        let result = self.change(&mut slot, now, f);
        let commit = slot.commit.clone();
        let wake_ms = slot.group.wake_ms();
        let schedule = wake_ms < slot.scheduled_ms;
        if schedule {
            slot.scheduled_ms = wake_ms;
        }
        let is_void = slot.group.is_void() && slot.waiting.is_empty();
        if is_void {
            slot.is_removed = true;
            self.count_bytes(slot.bytes, 0);
        }
        drop(slot);
        if is_void {
            self.forget(entry);
        } else if schedule {
            self.shared.deadlines.add(wake_ms, entry.id.clone());
        }
        (result, commit)
    }

    fn change<T>(&self, slot: &mut Slot, now: Now, f: &mut impl FnMut(&mut Group, &mut Turn<'_>) -> T) -> T {
        let Slot {
            group,
            waiting,
            commit,
            bytes,
            ..
        } = slot;
        let mut journal = |records: &[StateRecord]| -> Result<(), StateError> {
            if !records.is_empty() {
                *commit = self.shared.broker.groups_log().append(records, now.wall_ms)?;
            }
            Ok(())
        };
        let mut turn = Turn {
            now,
            settings: &self.shared.settings,
            room: self.shared.settings.memory_bytes.saturating_sub(self.bytes()),
            journal: &mut journal,
            replies: Vec::new(),
            rebalances: Vec::new(),
        };
        let result = f(group, &mut turn);
        if group.wake_ms() <= now.monotonic_ms {
            group.tick(&mut turn);
        }
        let Turn {
            replies, rebalances, ..
        } = turn;
        for (ticket, reply) in replies {
            // The client may have gone.
            if let Some(sender) = waiting.remove(&ticket) {
                let _ = sender.send((reply, commit.clone()));
            }
        }
        rebalances
            .into_iter()
            .for_each(|cause| self.shared.metrics.rebalanced(cause));
        let now_bytes = group.bytes();
        self.count_bytes(*bytes, now_bytes);
        *bytes = now_bytes;
        result
    }

    fn count_bytes(&self, before: usize, now: usize) {
        if now >= before {
            self.shared
                .bytes
                .fetch_add(now.saturating_sub(before), Ordering::Relaxed);
        } else {
            self.shared
                .bytes
                .fetch_sub(before.saturating_sub(now), Ordering::Relaxed);
        }
        self.shared.metrics.set_group_bytes(self.bytes());
    }

    fn now(&self) -> Now {
        let clock = self.shared.broker.clock();
        Now {
            monotonic_ms: u64::try_from(clock.monotonic().as_millis()).unwrap_or(u64::MAX),
            wall_ms: clock.wall_ms(),
        }
    }

    fn find(&self, id: &str) -> Option<Arc<Entry>> {
        self.read().get(id).cloned()
    }

    fn all(&self) -> Vec<Arc<Entry>> {
        self.read().values().cloned().collect()
    }

    /// Takes an entry out of the map that says it is removed, unless another one has its place.
    fn forget(&self, entry: &Arc<Entry>) {
        let mut entries = self.write();
        if entries
            .get(&entry.id)
            .is_some_and(|known| Arc::ptr_eq(known, entry))
        {
            entries.remove(&entry.id);
            self.shared.metrics.set_groups(entries.len());
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<Arc<str>, Arc<Entry>>> {
        self.shared.entries.read().unwrap_or_else(|_| half_changed())
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<Arc<str>, Arc<Entry>>> {
        self.shared.entries.write().unwrap_or_else(|_| half_changed())
    }
}

impl Entry {
    fn new(id: Arc<str>, group: Group) -> Entry {
        let slot = Slot {
            group,
            waiting: HashMap::new(),
            commit: Commit::done(),
            scheduled_ms: NEVER,
            bytes: 0,
            is_removed: false,
        };
        Entry {
            id,
            slot: Mutex::new(slot),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(|_| half_changed())
    }
}

/// A request that is parked in a group.
pub(crate) struct Waiting(oneshot::Receiver<Answer>);

impl Waiting {
    /// None where the group is gone, with all that was parked in it.
    pub(crate) async fn reply(self) -> Option<Answer> {
        self.0.await.ok()
    }
}

/// A panic left a group half changed. What it would answer is unknown, so the process ends and recovery takes over.
fn half_changed() -> ! {
    tracing::error!("a thread panicked while it changed a group; aborting so that recovery takes over");
    std::process::abort()
}

//! The deadlines of all groups, in one queue: a group is looked at when it says that something is due, and not before.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::Groups;
use super::member::NEVER;

/// The longest sleep. The broker's clock is not the runtime's: it may go on by more while this sleeps, as on a machine that
/// was suspended.
const SLEEP_MS_MAX: u64 = 100;
/// Groups that are looked at before others get the thread.
const GROUPS_PER_TURN: usize = 64;

/// A group that has moved its deadline further away, as each heartbeat does, keeps its place: it is looked at too early
/// once, and then has another.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    queue: Mutex<BTreeSet<(u64, Arc<str>)>>,
    earlier: Notify,
}

impl Deadlines {
    pub(super) fn add(&self, at_ms: u64, group: Arc<str>) {
        let mut queue = self.queue();
        let first_ms = queue.first().map_or(NEVER, |(at_ms, _)| *at_ms);
        queue.insert((at_ms, group));
        drop(queue);
        if at_ms < first_ms {
            self.earlier.notify_one();
        }
    }

    fn next_ms(&self) -> Option<u64> {
        self.queue().first().map(|(at_ms, _)| *at_ms)
    }

    fn take_due(&self, now_ms: u64) -> Vec<(u64, Arc<str>)> {
        let mut queue = self.queue();
        let mut due = Vec::new();
        while due.len() < GROUPS_PER_TURN && queue.first().is_some_and(|(at_ms, _)| *at_ms <= now_ms) {
            due.extend(queue.pop_first());
        }
        due
    }

    fn queue(&self) -> MutexGuard<'_, BTreeSet<(u64, Arc<str>)>> {
        // The queue is whole whenever the lock is free: an entry is either there or not.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task: does what is due, until `stop` says so.
pub(super) async fn run(groups: Groups, mut stop: watch::Receiver<bool>) {
    loop {
        let earlier = groups.shared.deadlines.earlier.notified();
        let now_ms = groups.now().monotonic_ms;
        let sleep = async {
            match groups.shared.deadlines.next_ms() {
                Some(at_ms) => {
                    let ms = at_ms.saturating_sub(now_ms).min(SLEEP_MS_MAX);
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = earlier => {}
            () = sleep => {}
        }
        for (at_ms, id) in groups.shared.deadlines.take_due(groups.now().monotonic_ms) {
            groups.look_at(at_ms, &id);
        }
        tokio::task::yield_now().await;
    }
}

impl Groups {
    fn look_at(&self, at_ms: u64, id: &str) {
        let Some(entry) = self.find(id) else { return };
        {
            let mut slot = entry.lock();
            if slot.scheduled_ms != at_ms {
                return;
            }
            slot.scheduled_ms = NEVER;
        }
        self.turn(&entry, |group, turn| group.tick(turn));
    }
}

//! Slows down those who guess passwords, by their address and by the user whose password they guess.
//!
//! After a few failures, attempts get turns, each some time after the one before it, and that time grows with each failure. An attempt
//! waits for its turn if that comes soon, else it is refused without a look at its password. Passwords that were found right before are
//! not subject to any of this, so that nobody can keep a client out which has been here since the start.
//!
//! What is remembered is bounded, forgotten after a while without failures, and names nobody: the tables have keyed digests.

use std::collections::HashMap;
use std::hash::Hasher;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use siphasher::sip::SipHasher24;

use super::{Origin, Refused};
use crate::{Clock, Environment};

/// Failures in a row before an address has to wait; many clients may share it.
const FREE_OF_ADDRESS: u32 = 20;
/// Failures in a row before attempts for a user have to wait.
const FREE_OF_USER: u32 = 10;
/// Between the first two turns. It doubles with each failure.
const INTERVAL: Duration = Duration::from_millis(100);
const INTERVAL_MAX: Duration = Duration::from_secs(2);
/// The longest that an attempt waits for its turn.
const WAIT_MAX: Duration = Duration::from_secs(4);
/// Without a failure for this long, there were none.
const FORGET_AFTER: Duration = Duration::from_secs(60);
/// Addresses that are remembered, and users.
const ENTRIES_MAX: usize = 10_000;

pub(super) struct Guard {
    clock: Clock,
    key: [u8; 16],
    addresses: Table,
    users: Table,
}

struct Table {
    free: u32,
    entries: Mutex<HashMap<u64, Entry>>,
}

#[derive(Clone, Copy, Default)]
struct Entry {
    failures: u32,
    last_failure: Duration,
    next_turn: Duration,
}

impl Guard {
    pub(super) fn new(environment: &Environment) -> Guard {
        Guard {
            clock: environment.clock.clone(),
            key: (environment.random)(),
            addresses: Table::new(FREE_OF_ADDRESS),
            users: Table::new(FREE_OF_USER),
        }
    }

    /// Waits until an attempt may be made.
    pub(super) async fn wait(&self, user: &str, from: Origin) -> Result<(), Refused> {
        let now = self.clock.monotonic();
        let address = self.addresses.turn(self.address(from), now)?;
        let user = self.users.turn(self.user(user), now)?;
        let wait = address.max(user).saturating_sub(now);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    pub(super) fn failed(&self, user: &str, from: Origin) {
        let now = self.clock.monotonic();
        self.addresses.failed(self.address(from), now);
        self.users.failed(self.user(user), now);
    }

    /// What an address tries on one user is not made up for by what it knows of another.
    pub(super) fn succeeded(&self, user: &str) {
        self.users.lock().remove(&self.user(user));
    }

    fn user(&self, name: &str) -> u64 {
        self.digest(name.as_bytes())
    }

    fn address(&self, from: Origin) -> u64 {
        self.digest(from.counted().to_string().as_bytes())
    }

    fn digest(&self, bytes: &[u8]) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(bytes);
        hasher.finish()
    }
}

impl Table {
    fn new(free: u32) -> Table {
        Table {
            free,
            entries: Mutex::default(),
        }
    }

    /// When an attempt may be made, and the one after it later.
    fn turn(&self, key: u64, now: Duration) -> Result<Duration, Refused> {
        let mut entries = self.lock();
        let Some(entry) = entries.get_mut(&key) else {
            return Ok(now);
        };
        if entry.is_forgotten(now) {
            entries.remove(&key);
            return Ok(now);
        }
        let Some(doublings) = entry.failures.checked_sub(self.free) else {
            return Ok(now);
        };
        let turn = entry.next_turn.max(now);
        if turn.saturating_sub(now) > WAIT_MAX {
            return Err(Refused::TooManyFailures);
        }
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        entry.next_turn = turn.saturating_add(INTERVAL.saturating_mul(factor).min(INTERVAL_MAX));
        Ok(turn)
    }

    fn failed(&self, key: u64, now: Duration) {
        let mut entries = self.lock();
        if entries.len() >= ENTRIES_MAX && !entries.contains_key(&key) {
            entries.retain(|_, entry| !entry.is_forgotten(now));
        }
        if entries.len() >= ENTRIES_MAX && !entries.contains_key(&key) {
            // So many failed within a minute that one of them is forgotten: the one that failed least.
            let least = entries
                .iter()
                .min_by_key(|(_, entry)| (entry.failures, entry.last_failure));
            if let Some(least) = least.map(|(key, _)| *key) {
                entries.remove(&least);
            }
        }
        let entry = entries.entry(key).or_default();
        if entry.is_forgotten(now) {
            *entry = Entry::default();
        }
        entry.failures = entry.failures.saturating_add(1);
        entry.last_failure = now;
    }

    /// The map is whole whenever the lock is free.
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn is_forgotten(&self, now: Duration) -> bool {
        now.saturating_sub(self.last_failure) >= FORGET_AFTER
    }
}

#[cfg(test)]
mod tests;

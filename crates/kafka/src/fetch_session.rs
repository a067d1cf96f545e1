//! Fetch sessions (KIP-227): the broker remembers what a client asks for, so that a request names only what changed
//! in it, and a response only the partitions that have something new.
//!
//! ```text
//! request (id, epoch)   means                                        answer
//! (any, -1)             no session; closes the one that is named     all partitions, session id 0
//! (any, 0)              a new session; closes the one that is named  all partitions, the id of the new session
//! (id, n)               the n-th request of the session              what is new, or error 70, 71 or 106
//! ```
//!
//! A session lives here between two requests; during one, the handler has it. Whoever asks for a session that is
//! away got no answer to his last request, and starts again with a new one.

mod partitions;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use firth_kafka_codec::{ErrorCode, FetchRequest};

pub(crate) use self::partitions::{Partitions, Place};

/// A session that was not used for so long gives way to a new one when all places are taken, and one that is older
/// gives way to a larger one (`min.incremental.fetch.session.eviction.ms`, which Kafka fixes at this).
const EVICTABLE_AFTER: Duration = Duration::from_secs(120);

/// Partitions of all sessions together.
const PARTITIONS_MAX: usize = 1_000_000;

const NO_SESSION: i32 = 0;
const INITIAL_EPOCH: i32 = 0;
const FINAL_EPOCH: i32 = -1;

/// The sessions of a broker.
#[derive(Clone)]
pub(crate) struct FetchSessions {
    entries: Arc<Mutex<HashMap<i32, Entry>>>,
    sessions_max: usize,
}

struct Entry {
    /// The epoch of the next request.
    epoch: i32,
    /// Whether its requests name topics by id, which may not change (KIP-516).
    by_id: bool,
    size: usize,
    created: Duration,
    used: Duration,
    /// Absent while a request has them.
    partitions: Option<Box<Partitions>>,
}

/// What a Fetch request asks for, with the session that it belongs to.
pub(crate) struct Turn {
    pub(crate) partitions: Box<Partitions>,
    pub(crate) session: Session,
}

pub(crate) enum Session {
    /// All partitions are answered, and nothing is remembered.
    None,
    /// All partitions are answered, and remembered if there is a place.
    New,
    /// What is new is answered.
    Open(Lease),
}

/// The right to put a session back. Dropped without that, the session is closed: its client will not have got the
/// answer, so its next epoch would be wrong anyway.
pub(crate) struct Lease {
    sessions: FetchSessions,
    id: i32,
    is_back: bool,
}

impl FetchSessions {
    pub(crate) fn new(sessions_max: usize) -> FetchSessions {
        FetchSessions {
            entries: Arc::default(),
            sessions_max,
        }
    }

    /// Sessions that are open.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Begins the answer to a request. `now` is monotonic.
    ///
    /// # Errors
    /// The code of the whole response.
    pub(crate) fn turn(&self, request: &FetchRequest, by_id: bool, now: Duration) -> Result<Turn, ErrorCode> {
        let (id, epoch) = (request.session_id, request.session_epoch);
        if epoch == INITIAL_EPOCH || epoch == FINAL_EPOCH {
            self.lock().remove(&id);
            let mut partitions = Box::new(Partitions::new(by_id));
            partitions.update(&request.topics, &[]);
            let session = if epoch == INITIAL_EPOCH {
                Session::New
            } else {
                Session::None
            };
            return Ok(Turn { partitions, session });
        }
        let mut partitions = {
            let mut entries = self.lock();
            let entry = entries.get_mut(&id).ok_or(ErrorCode::FetchSessionIdNotFound)?;
            if entry.epoch != epoch {
                return Err(ErrorCode::InvalidFetchSessionEpoch);
            }
            if entry.by_id != by_id {
                return Err(ErrorCode::FetchSessionTopicIdError);
            }
            let partitions = entry
                .partitions
                .take()
                .ok_or(ErrorCode::InvalidFetchSessionEpoch)?;
            entry.epoch = next_epoch(epoch);
            entry.used = now;
            partitions
        };
        let lease = Lease {
            sessions: self.clone(),
            id,
            is_back: false,
        };
        partitions.update(&request.topics, &request.forgotten_topics_data);
        if partitions.is_empty() {
            // The client forgot all that it had: the session ends with the lease.
            return Ok(Turn {
                partitions,
                session: Session::None,
            });
        }
        Ok(Turn {
            partitions,
            session: Session::Open(lease),
        })
    }

    /// Remembers the partitions of an answered request as a new session and gives its id, or 0 if there is no place.
    pub(crate) fn create(&self, partitions: Box<Partitions>, random: [u8; 16], now: Duration) -> i32 {
        let mut entries = self.lock();
        let size = partitions.len();
        let fits = total_size(&entries).saturating_add(size) <= PARTITIONS_MAX;
        if size == 0 || !fits || entries.len() >= self.sessions_max && !evict(&mut entries, size, now) {
            return NO_SESSION;
        }
        let [a, b, c, d, ..] = random;
        let mut id = i32::from_be_bytes([a, b, c, d]) & i32::MAX;
        while id == NO_SESSION || entries.contains_key(&id) {
            id = id.wrapping_add(1) & i32::MAX;
        }
        let entry = Entry {
            epoch: next_epoch(INITIAL_EPOCH),
            by_id: partitions.by_id(),
            size,
            created: now,
            used: now,
            partitions: Some(partitions),
        };
        entries.insert(id, entry);
        id
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i32, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    pub(crate) fn id(&self) -> i32 {
        self.id
    }

    /// Ends the request. If the session was closed meanwhile, it stays closed.
    pub(crate) fn put_back(mut self, partitions: Box<Partitions>) {
        let mut entries = self.sessions.lock();
        let Some(entry) = entries.get_mut(&self.id) else {
            return;
        };
        let grew = partitions.len() > entry.size;
        entry.size = partitions.len();
        entry.partitions = Some(partitions);
        self.is_back = !grew || total_size(&entries) <= PARTITIONS_MAX;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.is_back {
            self.sessions.lock().remove(&self.id);
        }
    }
}

fn total_size(entries: &HashMap<i32, Entry>) -> usize {
    entries
        .values()
        .fold(0, |sum, entry| sum.saturating_add(entry.size))
}

/// After the largest epoch comes 1, as 0 asks for a new session.
fn next_epoch(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}

/// Makes a place for a session of `size` partitions, if one may be taken: the one that was not used for the longest
/// time, or else the smallest, so that those who gain most from a session keep theirs.
fn evict(entries: &mut HashMap<i32, Entry>, size: usize, now: Duration) -> bool {
    let stale = entries.iter().min_by_key(|(_, entry)| entry.used);
    let victim = match stale {
        Some((id, entry)) if now.saturating_sub(entry.used) > EVICTABLE_AFTER => Some(*id),
        _ => {
            let settled = entries
                .iter()
                .filter(|(_, entry)| now.saturating_sub(entry.created) > EVICTABLE_AFTER);
            let smallest = settled.min_by_key(|(_, entry)| entry.size);
            smallest.filter(|(_, entry)| entry.size < size).map(|(id, _)| *id)
        }
    };
    victim.is_some_and(|id| entries.remove(&id).is_some())
}

#[cfg(test)]
mod tests;

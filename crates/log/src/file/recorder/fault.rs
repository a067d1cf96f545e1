//! Operations that fail, and operations that do not return for a while.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Errno, Recorder};

/// The operations of the seam that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Open,
    List,
    CreateDir,
    Rename,
    Remove,
    SyncDir,
    Read,
    Write,
    SetLen,
    Sync,
}

/// A failure to come: of the `nth` operation from now, counted from 1, among those that match.
///
/// A write that fails may have reached the disk in part, so in images it is there, or not, or torn, for good. What a
/// failed flush was to make durable, no later flush makes durable: Linux takes the pages for clean afterwards.
/// Anything else that fails has no effect.
#[derive(Clone, Debug)]
pub struct Fault {
    /// `None`: any operation.
    pub kind: Option<Kind>,
    /// What the path begins with; of a rename the old one.
    pub path: String,
    pub nth: u64,
    pub error: Errno,
    /// Whether all that match fail from then on, or that one alone.
    pub forever: bool,
}

impl Fault {
    /// Fails one operation, whatever its path.
    pub fn once(kind: impl Into<Option<Kind>>, nth: u64, error: Errno) -> Fault {
        Fault {
            kind: kind.into(),
            path: String::new(),
            nth,
            error,
            forever: false,
        }
    }

    /// Fails that operation and all that follow.
    pub fn forever(kind: impl Into<Option<Kind>>, nth: u64, error: Errno) -> Fault {
        Fault {
            forever: true,
            ..Fault::once(kind, nth, error)
        }
    }

    /// Restricts it to paths that begin with `path`.
    pub fn at(self, path: &str) -> Fault {
        Fault {
            path: path.to_owned(),
            ..self
        }
    }

    fn matches(&self, kind: Kind, path: &str) -> bool {
        self.kind.is_none_or(|only| only == kind) && path.starts_with(&self.path)
    }
}

/// Keeps operations in flight while it exists; see [`Recorder::hold`].
pub struct Hold {
    pub(super) recorder: Recorder,
    pub(super) id: u64,
}

impl Hold {
    /// Waits until this hold has stopped `operations` of them.
    pub fn wait_for(&self, operations: usize) {
        let shared = &self.recorder.shared;
        drop(shared.wait(shared.lock(), |state| state.faults.blocked(self.id) >= operations));
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.recorder.shared.lock().faults.release(self.id);
        self.recorder.shared.holds_changed.notify_all();
    }
}

#[derive(Default)]
pub(super) struct Faults {
    /// Each with the number of matching operations it has seen.
    armed: Vec<(Fault, u64)>,
    /// Paths, and how long calls take that write them or flush them.
    slow: Vec<(String, Duration)>,
    counts: BTreeMap<Kind, u64>,
    holds: BTreeMap<u64, Held>,
    holds_made: u64,
}

struct Held {
    kind: Kind,
    path: String,
    blocked: usize,
}

impl Faults {
    pub(super) fn arm(&mut self, fault: Fault) {
        self.armed.push((fault, 0));
    }

    pub(super) fn disarm(&mut self) {
        self.armed.clear();
        self.slow.clear();
    }

    pub(super) fn slow(&mut self, path: &str, latency: Duration) {
        self.slow.push((path.to_owned(), latency));
    }

    pub(super) fn latency(&self, path: &str) -> Option<Duration> {
        let slow = self.slow.iter().find(|(slow, _)| path.starts_with(slow));
        slow.map(|(_, latency)| *latency)
    }

    pub(super) fn count(&self, kind: Option<Kind>) -> u64 {
        let counted = self
            .counts
            .iter()
            .filter(|(counted, _)| kind.is_none_or(|kind| kind == **counted));
        counted.map(|(_, count)| count).sum()
    }

    /// Counts an operation, and tells the error it is to fail with.
    pub(super) fn strike(&mut self, kind: Kind, path: &str) -> Option<Errno> {
        *self.counts.entry(kind).or_default() += 1;
        let mut error = None;
        for (fault, seen) in self
            .armed
            .iter_mut()
            .filter(|(fault, _)| fault.matches(kind, path))
        {
            *seen += 1;
            if *seen == fault.nth || (fault.forever && *seen > fault.nth) {
                error = error.or(Some(fault.error));
            }
        }
        error
    }

    pub(super) fn hold(&mut self, kind: Kind, path: &str) -> u64 {
        self.holds_made += 1;
        self.holds.insert(
            self.holds_made,
            Held {
                kind,
                path: path.to_owned(),
                blocked: 0,
            },
        );
        self.holds_made
    }

    pub(super) fn release(&mut self, id: u64) {
        self.holds.remove(&id);
    }

    /// The hold that stops this operation, if one does.
    pub(super) fn holding(&self, kind: Kind, path: &str) -> Option<u64> {
        let mut holds = self.holds.iter();
        holds
            .find(|(_, held)| held.kind == kind && path.starts_with(&held.path))
            .map(|(id, _)| *id)
    }

    pub(super) fn block(&mut self, id: u64) {
        if let Some(held) = self.holds.get_mut(&id) {
            held.blocked += 1;
        }
    }

    pub(super) fn blocked(&self, id: u64) -> usize {
        self.holds.get(&id).map_or(0, |held| held.blocked)
    }

    pub(super) fn is_held(&self, id: u64) -> bool {
        self.holds.contains_key(&id)
    }
}

//! Holds the lanes to the pace of sealing, once a burst has become load.
//!
//! Lanes may write while the backlog, what was written and is in no segment, lies in memory: from there it is sealed
//! without reading it back. A larger one, which a burst left behind, is worked off: for two bytes that are sealed one may
//! be written.

use std::sync::{Condvar, Mutex};

use crate::environment::Options;
use crate::lock::{abort, lock};

/// What sealing may let in ahead of the lanes, in bytes.
const CREDIT_BYTES_MAX: u64 = 4 * 1024 * 1024;

pub(crate) struct Gate {
    /// A backlog up to here lies in memory.
    memory_bytes: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Off while load may still be a burst.
    holds: bool,
    closed: bool,
    /// Written and in no segment.
    backlog_bytes: u64,
    /// What the segment that is being written has of it.
    sealing_bytes: u64,
    credit_bytes: u64,
}

impl State {
    fn is_in_memory(&self, memory_bytes: u64) -> bool {
        self.backlog_bytes.saturating_sub(self.sealing_bytes) < memory_bytes
    }
}

impl Gate {
    pub(crate) fn new(options: &Options, backlog_bytes: u64) -> Gate {
        // The rest is for readers and for the segment that is being written. Sealing begins with a segment's worth.
        let memory_bytes = (options.cache_bytes as u64 / 2).max(options.segment_bytes / 2 * 3);
        Gate {
            memory_bytes,
            state: Mutex::new(State {
                backlog_bytes,
                ..State::default()
            }),
            changed: Condvar::new(),
        }
    }

    /// Waits until a block of so many bytes may be written.
    pub(crate) fn pass(&self, bytes: u64) {
        let is_shut = |state: &mut State| {
            state.holds && !state.closed && state.credit_bytes == 0 && !state.is_in_memory(self.memory_bytes)
        };
        let state = self.changed.wait_while(lock(&self.state), is_shut);
        let mut state = state.unwrap_or_else(|_| abort());
        state.credit_bytes = state.credit_bytes.saturating_sub(bytes);
        state.backlog_bytes += bytes;
    }

    /// Whether lanes wait for sealing at all.
    pub(crate) fn hold(&self, holds: bool) {
        let mut state = lock(&self.state);
        if state.holds != holds {
            state.holds = holds;
            state.credit_bytes = 0;
            self.changed.notify_all();
        }
    }

    /// So many bytes more are in the segment that is being written.
    pub(crate) fn progress(&self, bytes: u64) {
        let mut state = lock(&self.state);
        state.sealing_bytes += bytes;
        if !state.is_in_memory(self.memory_bytes) {
            state.credit_bytes = (state.credit_bytes + bytes / 2).min(CREDIT_BYTES_MAX);
        }
        self.changed.notify_all();
    }

    /// The segment is there, or was given up, and holds so many bytes of the backlog.
    pub(crate) fn sealed(&self, bytes: u64) {
        let mut state = lock(&self.state);
        state.backlog_bytes = state.backlog_bytes.saturating_sub(bytes);
        state.sealing_bytes = 0;
        self.changed.notify_all();
    }

    /// Nobody waits any more.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.changed.notify_all();
    }
}

//! Holds the lanes to the pace of sealing, once a burst has become load.
//!
//! Lanes may write while the backlog, what was written and is in no segment, lies in memory: from there it is sealed
//! without reading it back. A larger one, which a burst left behind, is worked off: for two bytes that are sealed one may
//! be written, half of it when they are read back and half when they are in the segment, so that nobody waits for a whole
//! segment.

use crate::environment::Options;
use crate::lock::{abort, lock};
use crate::sync::{Condvar, Mutex};

/// What sealing may let in ahead of the lanes, in bytes.
const CREDIT_BYTES_MAX: i64 = 4 * 1024 * 1024;

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
    /// What may pass ahead of sealing. A block passes where there is any, and what it takes beyond is owed.
    credit_bytes: i64,
}

impl State {
    fn is_in_memory(&self, memory_bytes: u64) -> bool {
        self.backlog_bytes.saturating_sub(self.sealing_bytes) < memory_bytes
    }

    /// A backlog in memory needs none.
    fn give_credit(&mut self, bytes: u64, memory_bytes: u64) {
        if !self.is_in_memory(memory_bytes) {
            self.credit_bytes = (self.credit_bytes + bytes.cast_signed()).min(CREDIT_BYTES_MAX);
        }
    }

    fn is_shut(&self, memory_bytes: u64) -> bool {
        self.holds && !self.closed && self.credit_bytes <= 0 && !self.is_in_memory(memory_bytes)
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
        let state = self
            .changed
            .wait_while(lock(&self.state), |state| state.is_shut(self.memory_bytes));
        let mut state = state.unwrap_or_else(|_| abort());
        if state.holds && !state.is_in_memory(self.memory_bytes) {
            state.credit_bytes -= bytes.cast_signed();
        }
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

    /// So many bytes more of the backlog were read back, to be sealed.
    pub(crate) fn read_back(&self, bytes: u64) {
        lock(&self.state).give_credit(bytes / 4, self.memory_bytes);
        self.changed.notify_all();
    }

    /// So many bytes more are in the segment that is being written.
    pub(crate) fn progress(&self, bytes: u64) {
        let mut state = lock(&self.state);
        state.sealing_bytes += bytes;
        state.give_credit(bytes / 4, self.memory_bytes);
        drop(state);
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

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn gate(backlog_mib: u64) -> Gate {
        let options = Options {
            cache_bytes: 8 * MIB as usize,
            segment_bytes: MIB,
            ..Options::default()
        };
        Gate::new(&options, backlog_mib * MIB)
    }

    fn is_shut(gate: &Gate) -> bool {
        lock(&gate.state).is_shut(gate.memory_bytes)
    }

    #[test]
    fn a_burst_passes_whatever_its_backlog() {
        let gate = gate(0);
        (0..100).for_each(|_| gate.pass(MIB));
        assert!(!is_shut(&gate));
        gate.hold(true);
        assert!(is_shut(&gate));
        gate.hold(false);
        assert!(!is_shut(&gate));
    }

    #[test]
    fn a_backlog_in_memory_stays_there() {
        let gate = gate(3);
        gate.hold(true);
        gate.pass(MIB);
        assert!(is_shut(&gate));
        gate.progress(MIB / 2);
        assert!(!is_shut(&gate));
        gate.pass(MIB / 2);
        assert!(is_shut(&gate));
        // The segment is there, and what it holds counts no more.
        gate.progress(MIB / 2);
        gate.sealed(MIB);
        gate.pass(MIB / 2);
        assert!(is_shut(&gate));
    }

    #[test]
    fn a_larger_one_shrinks_while_half_of_what_is_sealed_passes() {
        let gate = gate(100);
        gate.hold(true);
        assert!(is_shut(&gate));
        let mut passed = 0;
        for _ in 0..96 {
            for step in [Gate::read_back, Gate::progress] {
                step(&gate, MIB);
                while !is_shut(&gate) {
                    gate.pass(MIB);
                    passed += 1;
                }
            }
            gate.sealed(MIB);
        }
        assert!((46..=50).contains(&passed), "{passed}");
    }

    #[test]
    fn a_segment_that_was_given_up_is_sealed_again() {
        let gate = gate(4);
        gate.hold(true);
        gate.progress(MIB);
        assert!(!is_shut(&gate));
        gate.sealed(0);
        assert!(is_shut(&gate));
        gate.close();
        assert!(!is_shut(&gate));
    }
}

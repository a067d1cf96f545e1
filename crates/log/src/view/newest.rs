//! How much of a log its newest records take.

use super::{SealedExtent, State, TailExtent, View};
use crate::lock::lock;

/// The newest stretches of a log, while they take less than a number of bytes.
pub(crate) struct Counted {
    /// Where they begin.
    pub(crate) first_offset: i64,
    pub(crate) bytes: u64,
    /// The stretch before them, with which they take as many.
    pub(crate) before: Option<Stretch>,
    /// The log's start.
    pub(crate) start: i64,
    /// What was published since the engine was opened.
    pub(crate) published_bytes: u64,
}

#[derive(Clone)]
pub(crate) enum Stretch {
    Sealed(SealedExtent),
    Tail(TailExtent),
}

impl Stretch {
    pub(crate) fn first_offset(&self) -> i64 {
        match self {
            Stretch::Sealed(extent) => extent.first_offset,
            Stretch::Tail(extent) => extent.first_offset,
        }
    }

    pub(crate) fn next_offset(&self) -> i64 {
        match self {
            Stretch::Sealed(extent) => extent.next_offset,
            Stretch::Tail(extent) => extent.next_offset,
        }
    }

    /// Also those that were trimmed.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Stretch::Sealed(extent) => extent.bytes,
            Stretch::Tail(extent) => u64::from(extent.length),
        }
    }
}

impl View {
    pub(crate) fn published_bytes(&self) -> u64 {
        lock(&self.state).published_bytes
    }

    /// Counts from the end on.
    pub(crate) fn count_newest(&self, bytes: u64) -> Counted {
        let state = lock(&self.state);
        let mut counted = Counted {
            first_offset: state.end,
            bytes: 0,
            before: None,
            start: state.start,
            published_bytes: state.published_bytes,
        };
        if bytes == 0 {
            return counted;
        }
        for stretch in state.newest_first() {
            let with_it = counted.bytes.saturating_add(stretch.bytes());
            if with_it >= bytes {
                counted.before = Some(stretch);
                return counted;
            }
            counted.bytes = with_it;
            counted.first_offset = stretch.first_offset();
        }
        counted.first_offset = state.start;
        counted
    }
}

impl State {
    /// What only the tail holds, then what is sealed.
    fn newest_first(&self) -> impl Iterator<Item = Stretch> {
        let sealed_end = self.sealed.back().map_or(self.start, |extent| extent.next_offset);
        let tail = self.tail.iter().rev();
        let unsealed = tail.take_while(move |extent| extent.next_offset > sealed_end);
        let unsealed = unsealed.map(|extent| Stretch::Tail(extent.clone()));
        let sealed = self.sealed.iter().rev();
        unsealed.chain(sealed.map(|extent| Stretch::Sealed(*extent)))
    }
}

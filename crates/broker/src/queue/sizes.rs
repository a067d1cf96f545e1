//! How large the messages of a lane are, where a queue has a limit of bytes. Nothing of this is stored: a start reads the
//! messages, which are as few as the limit lets there be.

use std::collections::VecDeque;
use std::ops::Range;

/// Bytes of the bodies by offset.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    first: i64,
    bytes: VecDeque<u32>,
    /// Of all that is ready.
    pub(super) ready: u64,
}

impl Sizes {
    /// What is not known counts as nothing.
    pub(super) fn sum(&self, offsets: Range<i64>) -> u64 {
        let place = |offset: i64| usize::try_from(offset.saturating_sub(self.first)).unwrap_or(0);
        let end = place(offsets.end).min(self.bytes.len());
        let start = place(offsets.start).min(end);
        self.bytes.range(start..end).map(|bytes| u64::from(*bytes)).sum()
    }

    pub(super) fn of(&self, offset: i64) -> u64 {
        self.sum(offset..offset.saturating_add(1))
    }

    pub(super) fn set(&mut self, offset: i64, bytes: u32) {
        if self.bytes.is_empty() {
            self.first = offset;
        }
        while offset < self.first {
            self.bytes.push_front(0);
            self.first -= 1;
        }
        let place = usize::try_from(offset - self.first).unwrap_or(0);
        if place >= self.bytes.len() {
            self.bytes.resize(place + 1, 0);
        }
        if let Some(known) = self.bytes.get_mut(place) {
            *known = bytes;
        }
    }

    /// What lies below has left.
    pub(super) fn forget_below(&mut self, low: i64) {
        let gone = usize::try_from(low.saturating_sub(self.first)).unwrap_or(0);
        let gone = gone.min(self.bytes.len());
        self.bytes.drain(..gone);
        self.first += gone as i64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_come_in_any_order_and_go_from_below() {
        let mut sizes = Sizes::default();
        for (offset, bytes) in [(12, 3), (10, 1), (11, 2), (15, 9)] {
            sizes.set(offset, bytes);
        }
        assert_eq!(sizes.sum(0..100), 15);
        assert_eq!(sizes.sum(11..13), 5);
        sizes.forget_below(12);
        assert_eq!(sizes.sum(0..100), 12);
        sizes.forget_below(50);
        assert_eq!(sizes.sum(0..100), 0);
        sizes.set(60, 7);
        assert_eq!(sizes.sum(60..61), 7);
    }
}

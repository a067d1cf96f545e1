//! One priority of a queue: a log, and which of its offsets are ready, acquired or settled.
//!
//! ```text
//!          low                         next            end
//!   settled | settled, returned, acquired | ready        | not durable yet
//! ```
//!
//! What is not an exception costs nothing: a backlog of any length is the stretch between `next` and `end`. Settled means that
//! the message has left the queue; what of that lies below `low` is not kept.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use firth_log::LogId;

use super::offsets::{OffsetSet, PAGE};
use super::sizes::Sizes;

/// So far ahead of what was delivered a lane notes that it may have been, at least.
const AHEAD_MIN: i64 = 1024;

/// Offsets that somebody acquired together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub priority: u8,
    pub offsets: Range<i64>,
    /// They may have been delivered before.
    pub redelivered: bool,
    /// How often they were given back after a delivery, where the queue counts that.
    pub returns: u32,
}

#[derive(Debug)]
pub(crate) struct Lane {
    priority: u8,
    log: LogId,
    low: i64,
    next: i64,
    end: i64,
    settled: OffsetSet,
    returned: OffsetSet,
    /// Of what was returned those that nobody can have seen.
    unseen: OffsetSet,
    acquired: u64,
    /// Of the settled those at or behind `next`: an earlier life acquired them.
    settled_ahead: u64,
    /// What was given back, and how often, where the queue counts that.
    returns: BTreeMap<i64, u32>,
    /// Offsets below were perhaps delivered by an earlier life.
    delivered_before: i64,
    /// What was appended ends here, where somebody has to know; some of it may not be durable yet.
    appended: i64,
    /// Pages, by their numbers, in which there may be references to fan-out logs.
    referring: OffsetSet,
    /// Of the settled so many had been settled when the log was rewritten without them.
    reclaimed: u64,
    /// Where the queue has a limit of bytes.
    sizes: Option<Box<Sizes>>,
    stored: Stored,
}

/// What the state log says of the lane, and what it is to say.
#[derive(Debug, Default)]
struct Stored {
    cursor_changed: bool,
    changed_pages: BTreeSet<i64>,
    pages: BTreeSet<i64>,
    /// Offsets from here on were certainly not delivered.
    delivered_to: i64,
    /// `next` when that was said.
    said_at: i64,
    trimmed_to: i64,
}

/// What of a lane is to be stored.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change<'a> {
    Cursor(Cursor),
    Page {
        number: i64,
        settled: Option<&'a super::offsets::Page>,
        returns: Vec<(i64, u32)>,
    },
    /// The page lies below what the cursor says.
    PageGone(i64),
}

/// Everything below `low` is settled, and everything from `delivered_to` on was never delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) log: LogId,
    pub(crate) low: i64,
    pub(crate) delivered_to: i64,
}

impl Lane {
    pub(crate) fn new(priority: u8, log: LogId) -> Lane {
        let cursor = Cursor {
            log,
            low: 0,
            delivered_to: 0,
        };
        Lane::replayed(priority, cursor, 0..0)
    }

    /// A lane as the state log and the log's bounds say that it is; pages are still to be told.
    pub(crate) fn replayed(priority: u8, cursor: Cursor, bounds: Range<i64>) -> Lane {
        let low = cursor.low.max(bounds.start);
        Lane {
            priority,
            log: cursor.log,
            low,
            next: low,
            end: bounds.end.max(low),
            settled: OffsetSet::default(),
            returned: OffsetSet::default(),
            unseen: OffsetSet::default(),
            acquired: 0,
            settled_ahead: 0,
            returns: BTreeMap::new(),
            delivered_before: cursor.delivered_to,
            appended: bounds.end.max(low),
            referring: pages_of(low..bounds.end.max(low)),
            reclaimed: 0,
            sizes: None,
            stored: Stored {
                delivered_to: cursor.delivered_to,
                said_at: low,
                trimmed_to: bounds.start,
                ..Stored::default()
            },
        }
    }

    /// What a stored page says. Whatever lies below `low` is settled anyway.
    pub(crate) fn replay_page(
        &mut self,
        number: i64,
        settled: impl IntoIterator<Item = Range<i64>>,
        returns: impl IntoIterator<Item = (i64, u32)>,
    ) {
        self.stored.pages.insert(number);
        for range in settled {
            let range = range.start.max(self.low)..range.end.min(self.end);
            self.settled_ahead += self.settled.insert(range);
        }
        self.returns
            .extend(returns.into_iter().filter(|(offset, _)| *offset >= self.low));
        self.advance_low();
    }

    pub(crate) fn priority(&self) -> u8 {
        self.priority
    }

    pub(crate) fn log(&self) -> LogId {
        self.log
    }

    pub(crate) fn ready(&self) -> u64 {
        let untouched = self.end.saturating_sub(self.next).unsigned_abs();
        untouched.saturating_sub(self.settled_ahead) + self.returned.len()
    }

    /// Bytes of the bodies of what is ready, as far as they are known.
    pub(crate) fn ready_bytes(&self) -> u64 {
        self.sizes.as_ref().map_or(0, |sizes| sizes.ready)
    }

    /// Of what is on its way.
    pub(crate) fn coming_bytes(&self) -> u64 {
        let sizes = self.sizes.as_ref();
        sizes.map_or(0, |sizes| sizes.sum(self.end..self.appended))
    }

    /// The bytes of the bodies of messages that follow each other.
    pub(crate) fn note_sizes(&mut self, first: i64, bytes: &[u32]) {
        let sizes = self.sizes.get_or_insert_default();
        sizes.forget_below(self.low);
        for (offset, bytes) in (first..).zip(bytes) {
            let is_ready = self.returned.contains(offset)
                || ((self.next..self.end).contains(&offset) && !self.settled.contains(offset));
            if is_ready {
                sizes.ready = sizes.ready - sizes.of(offset) + u64::from(*bytes);
            }
            sizes.set(offset, *bytes);
        }
    }

    fn add_ready_bytes(&mut self, offsets: Range<i64>) {
        if let Some(sizes) = &mut self.sizes {
            sizes.ready += sizes.sum(offsets);
        }
    }

    pub(crate) fn acquired(&self) -> u64 {
        self.acquired
    }

    pub(crate) fn end(&self) -> i64 {
        self.end
    }

    /// Messages that are on their way: appended, and not known to be durable.
    pub(crate) fn coming(&self) -> u64 {
        self.appended.saturating_sub(self.end).max(0).unsigned_abs()
    }

    pub(crate) fn note_appended(&mut self, end: i64) {
        self.appended = self.appended.max(end);
    }

    pub(crate) fn note_references(&mut self, offsets: Range<i64>) {
        self.note_appended(offsets.end);
        self.referring.insert(pages_numbers(offsets));
    }

    pub(crate) fn appended(&self) -> i64 {
        self.appended
    }

    /// What has not left the queue and may be a reference, of what was appended.
    pub(crate) fn pending_references(&mut self) -> Vec<Range<i64>> {
        self.referring.remove(0..self.low / PAGE);
        let pages = self
            .referring
            .ranges()
            .map(|pages| pages.start * PAGE..pages.end * PAGE);
        pages
            .flat_map(|pages| self.pending(pages.start..pages.end.min(self.appended)))
            .collect()
    }

    /// There are no references in these pages, by their numbers. Where something is still to come there may be some.
    pub(crate) fn note_without_references(&mut self, pages: &[i64]) {
        let last = self.appended / PAGE;
        for page in pages.iter().filter(|page| **page < last) {
            self.referring.remove(*page..*page + 1);
        }
    }

    pub(crate) fn may_refer(&self) -> bool {
        !self.referring.is_empty()
    }

    /// Something is settled behind what is not.
    pub(crate) fn has_settled(&self) -> bool {
        !self.settled.is_empty()
    }

    /// What is still wanted of the log, where much of it is not: `None` where there is nothing to gain. `bytes` is the size of
    /// the log.
    pub(crate) fn reclaim(&mut self, bytes: u64, gain_min: u64) -> Option<Vec<Range<i64>>> {
        let settled = self.settled.len();
        self.reclaimed = self.reclaimed.min(settled);
        let (new, kept) = (settled - self.reclaimed, self.ready() + self.acquired);
        let all = (new + kept).max(1);
        let gain = u128::from(bytes) * u128::from(new) / u128::from(all);
        if new < kept || gain < u128::from(gain_min) {
            return None;
        }
        self.reclaimed = settled;
        Some(self.pending(self.low..i64::MAX))
    }

    /// What is in the log up to here can be delivered.
    pub(crate) fn advance(&mut self, end: i64) {
        if end > self.end {
            self.add_ready_bytes(self.end..end);
            self.end = end;
        }
    }

    /// The offset of the first message that is ready.
    pub(crate) fn head(&self) -> Option<i64> {
        Some(self.peek(1)?.start)
    }

    /// The first messages that are ready, at most so many. Nobody acquires them.
    pub(crate) fn peek(&self, max: u64) -> Option<Range<i64>> {
        if let Some(returned) = self.returned.next_range(0, max) {
            return Some(returned);
        }
        let start = self.settled.next_absent(self.next);
        let end = self.settled.next_present(start).unwrap_or(self.end).min(self.end);
        let end = end.min(start.saturating_add_unsigned(max));
        (start < end).then_some(start..end)
    }

    /// The first messages that are ready, at most so many, all alike in what is known of them.
    pub(crate) fn take(&mut self, max: u64) -> Option<Taken> {
        if max == 0 {
            return None;
        }
        let taken = self.take_returned(max).or_else(|| self.take_next(max))?;
        self.acquired += taken.len();
        if let Some(sizes) = &mut self.sizes {
            sizes.ready -= sizes.sum(taken.offsets.clone()).min(sizes.ready);
        }
        Some(taken)
    }

    fn take_returned(&mut self, max: u64) -> Option<Taken> {
        let mut offsets = self.returned.next_range(0, max)?;
        let returns = self.returns_of(offsets.start);
        offsets.end = self.alike_to(&offsets, returns);
        let redelivered = !self.unseen.contains(offsets.start);
        if !self.unseen.is_empty() {
            let other = match redelivered {
                true => self.unseen.next_present(offsets.start).unwrap_or(offsets.end),
                false => self.unseen.next_absent(offsets.start),
            };
            offsets.end = offsets.end.min(other);
            self.unseen.remove(offsets.clone());
        }
        self.returned.remove(offsets.clone());
        Some(Taken {
            priority: self.priority,
            offsets,
            redelivered,
            returns,
        })
    }

    fn take_next(&mut self, max: u64) -> Option<Taken> {
        let start = if self.settled_ahead > 0 {
            let start = self.settled.next_absent(self.next);
            self.settled_ahead -= self.settled.count(self.next..start);
            start
        } else {
            self.next
        };
        self.next = start;
        if start >= self.end {
            return None;
        }
        let mut end = self.end.min(start.saturating_add_unsigned(max));
        if self.settled_ahead > 0 {
            end = self.settled.next_present(start).map_or(end, |at| end.min(at));
        }
        let redelivered = start < self.delivered_before;
        if redelivered {
            end = end.min(self.delivered_before);
        }
        let returns = self.returns_of(start);
        end = self.alike_to(&(start..end), returns);
        self.next = end;
        self.note_delivery();
        Some(Taken {
            priority: self.priority,
            offsets: start..end,
            redelivered,
            returns,
        })
    }

    /// Where those end that were given back as often as the first.
    fn alike_to(&self, offsets: &Range<i64>, returns: u32) -> i64 {
        if returns == 0 {
            let counted = self.returns.range(offsets.clone()).next();
            return counted.map_or(offsets.end, |(at, _)| *at);
        }
        let mut offsets = offsets.clone();
        let end = offsets.end;
        offsets.find(|at| self.returns_of(*at) != returns).unwrap_or(end)
    }

    fn returns_of(&self, offset: i64) -> u32 {
        self.returns.get(&offset).copied().unwrap_or(0)
    }

    /// What was acquired leaves the queue.
    pub(crate) fn settle(&mut self, offsets: Range<i64>) {
        self.acquired -= offsets.end.abs_diff(offsets.start);
        self.forget(offsets);
    }

    fn forget(&mut self, offsets: Range<i64>) {
        if !self.returns.is_empty() {
            let counted: Vec<i64> = self.returns.range(offsets.clone()).map(|(at, _)| *at).collect();
            counted.iter().for_each(|at| _ = self.returns.remove(at));
        }
        // What an earlier life settled in between may have let `low` pass a part of it.
        let offsets = offsets.start.max(self.low)..offsets.end;
        if offsets.is_empty() {
            return;
        }
        if offsets.start == self.low && self.settled.is_empty() {
            self.low = offsets.end;
            self.stored.cursor_changed = true;
            return;
        }
        self.settled.insert(offsets.clone());
        self.advance_low();
        let above = offsets.start.max(self.low)..offsets.end;
        if !above.is_empty() {
            let pages = above.start / PAGE..=(above.end - 1) / PAGE;
            self.stored.changed_pages.extend(pages);
        }
    }

    fn advance_low(&mut self) {
        let low = self.settled.next_absent(self.low);
        if low == self.low {
            return;
        }
        if low > self.next {
            self.settled_ahead -= self.settled.count(self.next..low);
            self.next = low;
        }
        self.settled.remove(self.low..low);
        self.low = low;
        self.stored.cursor_changed = true;
    }

    /// What was acquired is ready again, at its place. `count` where its delivery is to be counted.
    pub(crate) fn give_back(&mut self, taken: &Taken, delivered: bool, count: bool) {
        let offsets = taken.offsets.clone();
        self.acquired -= taken.len();
        self.add_ready_bytes(offsets.clone());
        if !delivered && !taken.redelivered && offsets.end == self.next {
            self.next = offsets.start;
            return;
        }
        if count && delivered {
            for offset in offsets.clone() {
                *self.returns.entry(offset).or_default() += 1;
                self.stored.changed_pages.insert(offset / PAGE);
            }
        }
        if !delivered && !taken.redelivered {
            self.unseen.insert(offsets.clone());
        }
        self.returned.insert(offsets);
    }

    /// Everything that is ready leaves the queue. Says how much that was.
    pub(crate) fn purge(&mut self) -> u64 {
        let ready = self.ready();
        let returned: Vec<_> = self.returned.ranges().collect();
        self.returned = OffsetSet::default();
        self.unseen = OffsetSet::default();
        let untouched = self.next..self.end;
        self.settled_ahead = 0;
        self.next = self.end;
        if let Some(sizes) = &mut self.sizes {
            sizes.ready = 0;
        }
        returned
            .into_iter()
            .chain(Some(untouched).filter(|range| !range.is_empty()))
            .for_each(|range| self.forget(range));
        ready
    }

    fn note_delivery(&mut self) {
        if self.next + AHEAD_MIN / 2 > self.stored.delivered_to {
            self.stored.cursor_changed = true;
        }
    }

    /// Somebody will soon be delivered to.
    pub(crate) fn expect_delivery(&mut self) {
        self.stored.cursor_changed = true;
    }

    pub(crate) fn is_changed(&self) -> bool {
        self.stored.cursor_changed || !self.stored.changed_pages.is_empty()
    }

    /// Hands out what is to be stored, as one; it is not handed out again. With `is_last` nothing more is delivered after
    /// this.
    pub(crate) fn store(&mut self, is_last: bool, mut put: impl FnMut(Change<'_>)) {
        let stored = &mut self.stored;
        let ahead = (self.next - stored.said_at).saturating_mul(4).max(AHEAD_MIN);
        stored.delivered_to = if is_last {
            self.next.max(self.delivered_before)
        } else {
            stored.delivered_to.max(self.next.saturating_add(ahead))
        };
        stored.said_at = self.next;
        put(Change::Cursor(Cursor {
            log: self.log,
            low: self.low,
            delivered_to: stored.delivered_to,
        }));
        let first = self.low / PAGE;
        for number in std::mem::take(&mut stored.changed_pages) {
            if number < first {
                continue;
            }
            stored.pages.insert(number);
            let in_page = number * PAGE..(number + 1) * PAGE;
            put(Change::Page {
                number,
                settled: self.settled.page(number),
                returns: self
                    .returns
                    .range(in_page)
                    .map(|(at, count)| (*at, *count))
                    .collect(),
            });
        }
        let kept = stored.pages.split_off(&first);
        for number in std::mem::replace(&mut stored.pages, kept) {
            put(Change::PageGone(number));
        }
        stored.cursor_changed = false;
    }

    /// The pages as they will be when this is settled too: to be stored with something else that is to happen then.
    pub(crate) fn preview(
        &mut self,
        settled: impl IntoIterator<Item = Range<i64>>,
        mut put: impl FnMut(Change<'_>),
    ) {
        let mut all = OffsetSet::default();
        settled.into_iter().for_each(|range| _ = all.insert(range));
        for number in all.page_numbers().collect::<Vec<_>>() {
            let in_page = number * PAGE..(number + 1) * PAGE;
            let known = self.settled.page(number).map(|page| page.ranges(number));
            known
                .into_iter()
                .flatten()
                .for_each(|range| _ = all.insert(range));
            // The cursor that is stored may be behind: what it does not say the page has to.
            all.insert(in_page.start..self.low.clamp(in_page.start, in_page.end));
            self.stored.pages.insert(number);
            let returns = self.returns.range(in_page);
            put(Change::Page {
                number,
                settled: all.page(number),
                returns: returns.map(|(at, count)| (*at, *count)).collect(),
            });
        }
    }

    /// Numbers of the pages that are stored.
    pub(crate) fn stored_pages(&self) -> impl Iterator<Item = i64> + '_ {
        self.stored.pages.iter().copied()
    }

    /// The offset that the log can be trimmed to, if that is at least so much more than was said before.
    pub(crate) fn trim(&mut self, after: i64) -> Option<i64> {
        (self.low.saturating_sub(self.stored.trimmed_to) >= after).then(|| {
            self.stored.trimmed_to = self.low;
            self.low
        })
    }

    pub(crate) fn is_untrimmed(&self) -> bool {
        self.low > self.stored.trimmed_to
    }

    /// What of these has not left the queue.
    pub(crate) fn pending(&self, of: Range<i64>) -> Vec<Range<i64>> {
        let mut pending = Vec::new();
        let mut from = of.start.max(self.low);
        while from < of.end {
            let start = self.settled.next_absent(from);
            let end = self.settled.next_present(start).unwrap_or(of.end).min(of.end);
            if start < end {
                pending.push(start..end);
            }
            from = end.max(start + 1);
        }
        pending
    }

    /// Offsets that the log keeps and the queue does not need.
    #[cfg(test)]
    pub(crate) fn settled(&self) -> u64 {
        self.settled.len()
    }

    #[cfg(test)]
    pub(crate) fn low(&self) -> i64 {
        self.low
    }
}

fn pages_numbers(offsets: Range<i64>) -> Range<i64> {
    offsets.start / PAGE..(offsets.end + PAGE - 1) / PAGE
}

fn pages_of(offsets: Range<i64>) -> OffsetSet {
    let mut pages = OffsetSet::default();
    pages.insert(pages_numbers(offsets));
    pages
}

impl Taken {
    /// A message of the lowest priority that somebody acquired.
    pub(crate) fn one(offset: i64) -> Taken {
        Taken {
            priority: 0,
            offsets: offset..offset + 1,
            redelivered: false,
            returns: 0,
        }
    }

    #[expect(clippy::len_without_is_empty, reason = "nobody takes nothing")]
    pub fn len(&self) -> u64 {
        self.offsets.end.abs_diff(self.offsets.start)
    }

    /// The first so many of them, and the others.
    pub fn split(mut self, count: u64) -> (Taken, Option<Taken>) {
        if count >= self.len() {
            return (self, None);
        }
        let mut rest = self.clone();
        let at = self.offsets.start.saturating_add_unsigned(count);
        (self.offsets.end, rest.offsets.start) = (at, at);
        (self, Some(rest))
    }
}

#[cfg(test)]
mod tests;

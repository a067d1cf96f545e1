//! A set of offsets that costs at most a bit for each offset that it spans, and much less where they lie together.
//!
//! Offsets are kept by pages of 4,096: a page is full, a few ranges, or a bitmap. What a queue stores of itself are these pages.

use std::collections::BTreeMap;
use std::ops::Range;

use smallvec::SmallVec;

/// Offsets of a page.
pub(crate) const PAGE: i64 = 4096;
const WORDS: usize = 64;
/// A page with more ranges is a bitmap: these take no memory of their own.
const RANGES_MAX: usize = 4;

/// Offsets that are not negative.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OffsetSet {
    pages: BTreeMap<i64, Page>,
    len: u64,
}

/// What of a page is in the set; never nothing. Positions are relative to the page's first offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    Full,
    /// Ascending and apart from each other: first position and the one behind the last.
    Ranges(SmallVec<[(u16, u16); RANGES_MAX]>),
    Bits(Box<[u64; WORDS]>),
}

impl OffsetSet {
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn first(&self) -> Option<i64> {
        let (number, page) = self.pages.first_key_value()?;
        Some(number * PAGE + page.next(0, true)?)
    }

    pub(crate) fn contains(&self, offset: i64) -> bool {
        self.pages
            .get(&(offset / PAGE))
            .is_some_and(|page| page.next(offset % PAGE, true) == Some(offset % PAGE))
    }

    /// The first offset at or after this one that is not in the set.
    pub(crate) fn next_absent(&self, from: i64) -> i64 {
        let mut expected = from / PAGE;
        let mut position = from % PAGE;
        for (number, page) in self.pages.range(expected..) {
            if *number != expected {
                break;
            }
            if let Some(absent) = page.next(position, false) {
                return number * PAGE + absent;
            }
            (expected, position) = (number + 1, 0);
        }
        expected * PAGE + position
    }

    /// The first offset at or after this one that is in the set.
    pub(crate) fn next_present(&self, from: i64) -> Option<i64> {
        let first = from / PAGE;
        self.pages.range(first..).find_map(|(number, page)| {
            let position = if *number == first { from % PAGE } else { 0 };
            Some(number * PAGE + page.next(position, true)?)
        })
    }

    /// The first range at or after `from`, at most as long as `max`.
    pub(crate) fn next_range(&self, from: i64, max: u64) -> Option<Range<i64>> {
        let start = self.next_present(from)?;
        let most = start.saturating_add_unsigned(max);
        let mut end = start;
        // Looks no further than it has to.
        while end < most {
            let page_end = (end / PAGE + 1) * PAGE;
            let absent = match self.pages.get(&(end / PAGE)) {
                Some(page) => page.next(end % PAGE, false).map(|at| page_end - PAGE + at),
                None => Some(end),
            };
            match absent {
                Some(absent) => {
                    end = absent;
                    break;
                }
                None => end = page_end,
            }
        }
        Some(start..end.min(most))
    }

    /// All ranges, ascending and apart from each other.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range<i64>> + '_ {
        let mut from = 0;
        std::iter::from_fn(move || {
            let start = self.next_present(from)?;
            from = self.next_absent(start);
            Some(start..from)
        })
    }

    /// How many of the range are in the set.
    pub(crate) fn count(&self, range: Range<i64>) -> u64 {
        if range.is_empty() || self.is_empty() {
            return 0;
        }
        let pages = self.pages.range(range.start / PAGE..=(range.end - 1) / PAGE);
        pages.fold(0, |sum, (number, page)| sum + page.count(within(*number, &range)))
    }

    /// Adds a range; says how many were not there.
    pub(crate) fn insert(&mut self, range: Range<i64>) -> u64 {
        let mut added = 0;
        for (number, positions) in by_page(range) {
            let page = self
                .pages
                .entry(number)
                .or_insert_with(|| Page::Ranges(SmallVec::new()));
            let before = page.count(positions.clone());
            added += (positions.end - positions.start) as u64 - before;
            page.set(positions, true);
        }
        self.len += added;
        added
    }

    /// Removes a range; says how many were there.
    pub(crate) fn remove(&mut self, range: Range<i64>) -> u64 {
        if range.is_empty() {
            return 0;
        }
        let (first, last) = (range.start / PAGE, (range.end - 1) / PAGE);
        let numbers: SmallVec<[i64; 4]> = self
            .pages
            .range(first..=last)
            .map(|(number, _)| *number)
            .collect();
        let mut removed = 0;
        for number in numbers {
            let positions = within(number, &range);
            let Some(page) = self.pages.get_mut(&number) else {
                continue;
            };
            removed += page.count(positions.clone());
            page.set(positions, false);
            if page.next(0, true).is_none() {
                self.pages.remove(&number);
            }
        }
        self.len -= removed;
        removed
    }

    /// Numbers of the pages of which something is in the set, ascending.
    pub(crate) fn page_numbers(&self) -> impl Iterator<Item = i64> + '_ {
        self.pages.keys().copied()
    }

    /// A page by its number; none if nothing of it is in the set.
    pub(crate) fn page(&self, number: i64) -> Option<&Page> {
        self.pages.get(&number)
    }
}

impl Page {
    /// The first position at or after this one that is in the page, or that is not.
    fn next(&self, from: i64, present: bool) -> Option<i64> {
        if from >= PAGE {
            return None;
        }
        match self {
            Page::Full => present.then_some(from),
            Page::Ranges(ranges) if present => ranges
                .iter()
                .find(|(_, end)| i64::from(*end) > from)
                .map(|(start, _)| from.max((*start).into())),
            Page::Ranges(ranges) => {
                let at = ranges.iter().fold(from, |at, (start, end)| {
                    if (i64::from(*start)..i64::from(*end)).contains(&at) {
                        i64::from(*end)
                    } else {
                        at
                    }
                });
                (at < PAGE).then_some(at)
            }
            Page::Bits(words) => next_bit(words, from, present),
        }
    }

    /// The offsets of the page, which has this number.
    pub(crate) fn ranges(&self, number: i64) -> Vec<Range<i64>> {
        let (mut ranges, mut from) = (Vec::new(), 0);
        while let Some(start) = self.next(from, true) {
            from = self.next(start, false).unwrap_or(PAGE);
            ranges.push(number * PAGE + start..number * PAGE + from);
        }
        ranges
    }

    fn count(&self, positions: Range<i64>) -> u64 {
        let overlap =
            |start: i64, end: i64| (end.min(positions.end) - start.max(positions.start)).max(0) as u64;
        match self {
            Page::Full => overlap(0, PAGE),
            Page::Ranges(ranges) => ranges
                .iter()
                .map(|(start, end)| overlap((*start).into(), (*end).into()))
                .sum(),
            Page::Bits(words) => words_of(&positions)
                .map(|(at, mask)| u64::from((words[at] & mask).count_ones()))
                .sum(),
        }
    }

    fn set(&mut self, positions: Range<i64>, present: bool) {
        if let Page::Ranges(ranges) = self
            && changed(ranges, &positions, present)
        {
            self.tidy();
            return;
        }
        let mut words = self.bits();
        for (at, mask) in words_of(&positions) {
            if present {
                words[at] |= mask;
            } else {
                words[at] &= !mask;
            }
        }
        *self = Page::Bits(words);
        self.tidy();
    }

    /// Positions in the form that takes the least.
    fn tidy(&mut self) {
        match self {
            Page::Full => {}
            Page::Ranges(ranges) => {
                if ranges.as_slice() == [(0, PAGE as u16)] {
                    *self = Page::Full;
                }
            }
            Page::Bits(words) => {
                if let Some(ranges) = few_ranges(words) {
                    *self = Page::Ranges(ranges);
                    self.tidy();
                }
            }
        }
    }

    fn bits(&self) -> Box<[u64; WORDS]> {
        match self {
            Page::Full => Box::new([u64::MAX; WORDS]),
            Page::Bits(words) => words.clone(),
            Page::Ranges(ranges) => {
                let mut words = Box::new([0; WORDS]);
                for (start, end) in ranges {
                    for (at, mask) in words_of(&((*start).into()..(*end).into())) {
                        words[at] |= mask;
                    }
                }
                words
            }
        }
    }
}

/// Changes a few ranges; false, and nothing is changed, if there would be too many.
fn changed(ranges: &mut SmallVec<[(u16, u16); RANGES_MAX]>, positions: &Range<i64>, present: bool) -> bool {
    let (start, end) = (positions.start as u16, positions.end as u16);
    let mut result: SmallVec<[(u16, u16); RANGES_MAX]> = SmallVec::new();
    let mut joined = (start, end);
    let mut placed = !present;
    for &(from, to) in ranges.iter() {
        if present && to >= joined.0 && from <= joined.1 {
            joined = (joined.0.min(from), joined.1.max(to));
            continue;
        }
        if !placed && from > joined.1 {
            result.push(joined);
            placed = true;
        }
        if present || to <= start || from >= end {
            result.push((from, to));
            continue;
        }
        if from < start {
            result.push((from, start));
        }
        if to > end {
            result.push((end, to));
        }
    }
    if !placed {
        result.push(joined);
    }
    if result.len() > RANGES_MAX {
        return false;
    }
    *ranges = result;
    true
}

fn few_ranges(words: &[u64; WORDS]) -> Option<SmallVec<[(u16, u16); RANGES_MAX]>> {
    let mut ranges = SmallVec::new();
    let mut from = 0;
    while let Some(start) = next_bit(words, from, true) {
        if ranges.len() == RANGES_MAX {
            return None;
        }
        from = next_bit(words, start, false).unwrap_or(PAGE);
        ranges.push((start as u16, from as u16));
    }
    Some(ranges)
}

fn next_bit(words: &[u64; WORDS], from: i64, present: bool) -> Option<i64> {
    words_of(&(from..PAGE)).find_map(|(at, mask)| {
        let word = if present { words[at] } else { !words[at] };
        let found = word & mask;
        (found != 0).then(|| at as i64 * 64 + i64::from(found.trailing_zeros()))
    })
}

/// The words that hold these positions, each with the mask of them.
fn words_of(positions: &Range<i64>) -> impl Iterator<Item = (usize, u64)> + use<> {
    let (start, end) = (positions.start as usize, positions.end as usize);
    (start / 64..end.div_ceil(64)).map(move |at| {
        let from = start.saturating_sub(at * 64).min(63);
        let to = (end - at * 64).min(64);
        let below = |bits: usize| if bits == 64 { u64::MAX } else { (1 << bits) - 1 };
        (at, below(to) & !below(from))
    })
}

/// The positions of a page that a range covers.
fn within(number: i64, range: &Range<i64>) -> Range<i64> {
    let first = number * PAGE;
    (range.start - first).max(0)..(range.end - first).min(PAGE)
}

fn by_page(range: Range<i64>) -> impl Iterator<Item = (i64, Range<i64>)> {
    let pages = if range.is_empty() {
        0..0
    } else {
        range.start / PAGE..(range.end - 1) / PAGE + 1
    };
    pages.map(move |number| (number, within(number, &range)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn check(set: &OffsetSet, model: &BTreeSet<i64>) {
        assert_eq!(set.len(), model.len() as u64);
        assert_eq!(set.first(), model.first().copied());
        let listed: Vec<i64> = set.ranges().flatten().collect();
        assert!(listed.iter().eq(model.iter()));
        assert!(set.pages.values().all(|page| page.next(0, true).is_some()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn behaves_as_a_set(edits in prop::collection::vec((any::<bool>(), 0..3 * PAGE, prop_oneof![1..5i64, 1..2 * PAGE]), 1..40)) {
            let mut set = OffsetSet::default();
            let mut model = BTreeSet::new();
            for (insert, start, len) in edits {
                let range = start..start + len;
                let before = model.range(range.clone()).count() as u64;
                prop_assert_eq!(set.count(range.clone()), before);
                if insert {
                    prop_assert_eq!(set.insert(range.clone()), len as u64 - before);
                    model.extend(range.clone());
                } else {
                    prop_assert_eq!(set.remove(range.clone()), before);
                    range.clone().for_each(|offset| _ = model.remove(&offset));
                }
                check(&set, &model);
                let absent = (start..).find(|offset| !model.contains(offset));
                prop_assert_eq!(Some(set.next_absent(start)), absent);
                prop_assert_eq!(set.next_present(start), model.range(start..).next().copied());
                prop_assert_eq!(set.contains(start), model.contains(&start));
                let found = set.next_range(start, 10);
                let first = model.range(start..).next().copied();
                let expected = first.map(|first| {
                    first..(first..first + 10).find(|at| !model.contains(at)).unwrap_or(first + 10)
                });
                prop_assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn every_second_offset_costs_a_bit_each() {
        let mut set = OffsetSet::default();
        for offset in (0..100 * PAGE).step_by(2) {
            set.insert(offset..offset + 1);
        }
        assert!(set.pages.values().all(|page| matches!(page, Page::Bits(_))));
        for offset in (1..100 * PAGE).step_by(2) {
            set.insert(offset..offset + 1);
        }
        assert!(set.pages.values().all(|page| *page == Page::Full));
    }
}

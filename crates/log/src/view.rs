//! What readers see of one log: its bounds, its tail in WAL blocks, its sealed extents, and who watches it.
//!
//! Sealed extents do not overlap, and together they answer for all sealed offsets: a rewritten one takes the place of those
//! that it was made of. It is known by its segment, whose id is greater than theirs.
//!
//! Everything in a view is durable in the sense of the engine's durability. Tail and sealed extents may overlap: a
//! block that is sealed stays in the tail for as long as it is in memory, since memory is where most readers are.
//!
//! *Holes* are offsets that were acknowledged and then damaged. A read never passes one: it ends before it, or is refused
//! by its name. They are told by the view alone and not by what lies between extents, as an extent may have holes of its
//! own, and offsets may be missing where nothing was lost.

mod newest;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use crate::frame::{Bounds, ExtentUsage, LogId, ReadError};
use crate::lock::lock;
use crate::segment::{Hole, SegmentId};
use crate::signal::Signal;
use crate::stored::StoredBlock;
use crate::sync::Mutex;

pub(crate) use self::newest::{Counted, Stretch};

pub(crate) struct View {
    log: LogId,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    start: i64,
    end: i64,
    deleted: bool,
    /// What was published since the engine was opened.
    published_bytes: u64,
    tail: VecDeque<TailExtent>,
    sealed: VecDeque<SealedExtent>,
    compacted_to: i64,
    /// Ascending. Those that were found by reading may overlap others.
    lost: Vec<Lost>,
    watchers: Vec<(Weak<Signal>, u64)>,
}

/// Offsets that were given to records which are lost: a hole, unless the operator gave them up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Lost {
    first_offset: i64,
    next_offset: i64,
    is_accepted: bool,
}

/// A log's slice of a commit block.
#[derive(Clone)]
pub(crate) struct TailExtent {
    pub(crate) block: Arc<StoredBlock>,
    pub(crate) position: u32,
    pub(crate) length: u32,
    pub(crate) crc: u32,
    pub(crate) first_offset: i64,
    pub(crate) next_offset: i64,
    pub(crate) max_timestamp: i64,
}

/// A log's slice of a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SealedExtent {
    pub(crate) segment: SegmentId,
    pub(crate) first_offset: i64,
    pub(crate) next_offset: i64,
    pub(crate) bytes: u64,
    pub(crate) max_timestamp: i64,
}

impl SealedExtent {
    /// How much of it is kept of a log that starts at `start`, in bytes. Within an extent it is estimated.
    fn kept_bytes(&self, start: i64) -> u64 {
        let offsets = (self.next_offset - self.first_offset).max(1);
        let kept = self.next_offset.saturating_sub(start).clamp(0, offsets);
        let bytes = u128::from(self.bytes) * u128::from(kept.unsigned_abs());
        u64::try_from(bytes / u128::from(offsets.unsigned_abs())).unwrap_or(self.bytes)
    }
}

/// What is to be read, as of now.
pub(crate) struct Located {
    pub(crate) bounds: Bounds,
    pub(crate) source: Source,
    /// Where to read: what is before was given up.
    pub(crate) from: i64,
    /// Where the next hole begins, or what was given up: nothing from there on is for this read.
    pub(crate) to: i64,
}

/// Where a read finds its first batch, and where it goes on.
pub(crate) enum Source {
    /// Consecutive slices of blocks; the first contains the offset.
    Tail(Vec<TailExtent>),
    Sealed(SealedExtent),
    /// Nothing at or after the offset.
    Nothing,
}

/// Watchers to be raised once no lock is held.
#[derive(Default)]
pub(crate) struct Raised(Vec<(Arc<Signal>, u64)>);

impl Raised {
    pub(crate) fn raise(self) {
        for (signal, token) in self.0 {
            signal.raise(token);
        }
    }
}

/// What of segments is not kept any more.
#[derive(Default)]
pub(crate) struct Freed(pub(crate) Vec<FreedExtent>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FreedExtent {
    pub(crate) segment: SegmentId,
    pub(crate) bytes: u64,
    /// Whether nothing of the extent is kept.
    pub(crate) whole: bool,
}

impl Freed {
    fn extent(&mut self, extent: &SealedExtent, bytes: u64, whole: bool) {
        self.0.push(FreedExtent {
            segment: extent.segment,
            bytes,
            whole,
        });
    }

    /// An extent of a log that is gone.
    pub(crate) fn unwanted(&mut self, extent: &SealedExtent) {
        self.extent(extent, extent.bytes, true);
    }
}

impl View {
    pub(crate) fn new(log: LogId, start: i64, end: i64) -> View {
        View {
            log,
            state: Mutex::new(State {
                start,
                end,
                ..State::default()
            }),
        }
    }

    pub(crate) fn log(&self) -> LogId {
        self.log
    }

    pub(crate) fn bounds(&self) -> Bounds {
        let state = lock(&self.state);
        Bounds {
            start: state.start,
            end: state.end,
        }
    }

    pub(crate) fn publish(&self, extent: TailExtent, raised: &mut Raised) {
        let mut state = lock(&self.state);
        debug_assert!(extent.first_offset >= state.end);
        state.end = extent.next_offset;
        state.published_bytes += u64::from(extent.length);
        state.tail.push_back(extent);
        state.watched(raised);
    }

    /// Adds a slice that recovery found, unless it is trimmed. Slices come in the order of their blocks. False where it
    /// contradicts what is there already.
    pub(crate) fn publish_recovered(&self, extent: TailExtent) -> bool {
        let mut state = lock(&self.state);
        if extent.next_offset <= state.start {
            return true;
        }
        let sealed_end = state.sealed.back().map_or(0, |extent| extent.next_offset);
        let tail_end = state.tail.back().map_or(0, |extent| extent.next_offset);
        let follows = extent.first_offset >= sealed_end.max(tail_end);
        if follows {
            state.end = state.end.max(extent.next_offset);
            state.tail.push_back(extent);
        }
        follows
    }

    /// Offsets below `end` were given to records, whether or not they are found.
    pub(crate) fn raise_end(&self, end: i64) {
        let mut state = lock(&self.state);
        state.end = state.end.max(end);
    }

    pub(crate) fn trim(&self, to: i64, raised: &mut Raised, freed: &mut Freed) {
        let mut state = lock(&self.state);
        if to <= state.start {
            return;
        }
        let start = std::mem::replace(&mut state.start, to);
        state.end = state.end.max(to);
        while let Some(extent) = state.sealed.pop_front_if(|extent| extent.next_offset <= to) {
            freed.extent(&extent, extent.kept_bytes(start), true);
        }
        if let Some(extent) = state.sealed.front() {
            freed.extent(extent, extent.kept_bytes(start) - extent.kept_bytes(to), false);
        }
        // Slices in memory that are not sealed yet stay where they are: the sealer skips what is trimmed.
        while state.tail.front().is_some_and(|extent| extent.next_offset <= to) {
            state.tail.pop_front();
        }
        state.lost.retain(|lost| lost.next_offset > to);
        state.watched(raised);
    }

    pub(crate) fn delete(&self, raised: &mut Raised, freed: &mut Freed) {
        let mut state = lock(&self.state);
        state.deleted = true;
        state.tail.clear();
        let start = state.start;
        for extent in std::mem::take(&mut state.sealed) {
            freed.extent(&extent, extent.kept_bytes(start), true);
        }
        state.watched(raised);
    }

    pub(crate) fn is_deleted(&self) -> bool {
        lock(&self.state).deleted
    }

    /// The offsets in between were acknowledged and cannot be read any more. Says whether that is news.
    pub(crate) fn quarantine(&self, first_offset: i64, next_offset: i64) -> bool {
        let mut state = lock(&self.state);
        if state.deleted || next_offset <= state.start {
            return false;
        }
        state.end = state.end.max(next_offset);
        let mut is_news = false;
        for (first_offset, next_offset) in state.not_accepted(first_offset, next_offset) {
            is_news |= state.lose(first_offset, next_offset, false);
        }
        is_news
    }

    /// The operator gave up what is lost in between: reads pass it.
    pub(crate) fn accept(&self, first_offset: i64, next_offset: i64, raised: &mut Raised) {
        let mut state = lock(&self.state);
        state.lose(first_offset, next_offset, true);
        let (accepted, holes): (Vec<_>, Vec<_>) = state.lost.iter().partition(|lost| lost.is_accepted);
        state.lost = accepted;
        for hole in holes {
            for (first_offset, next_offset) in state.not_accepted(hole.first_offset, hole.next_offset) {
                state.lose(first_offset, next_offset, false);
            }
        }
        state.watched(raised);
    }

    /// Takes over a hole that a segment names, unless an earlier segment has what is missing there: it could not be read
    /// when the hole was named, and was put back since. Later ones have what lies around the hole.
    pub(crate) fn quarantine_sealed(&self, hole: &Hole, segment: SegmentId) {
        let is_held = lock(&self.state).sealed.iter().any(|extent| {
            extent.segment < segment
                && extent.first_offset <= hole.first_offset
                && hole.next_offset <= extent.next_offset
        });
        if !is_held {
            self.quarantine(hole.first_offset, hole.next_offset);
        }
    }

    pub(crate) fn holes(&self) -> Vec<(i64, i64)> {
        lock(&self.state).holes().collect()
    }

    /// A segment now holds this stretch. It takes the place of extents within it that are of older segments.
    pub(crate) fn sealed(&self, extent: SealedExtent, compacted_to: i64, freed: &mut Freed) {
        let mut state = lock(&self.state);
        if state.deleted || extent.next_offset <= state.start {
            return freed.unwanted(&extent);
        }
        let from = state
            .sealed
            .partition_point(|other| other.next_offset <= extent.first_offset);
        let to = state
            .sealed
            .partition_point(|other| other.first_offset < extent.next_offset);
        if state
            .sealed
            .range(from..to)
            .any(|other| other.segment > extent.segment)
        {
            return freed.unwanted(&extent);
        }
        let start = state.start;
        let mut replaced_bytes = 0;
        for replaced in state.sealed.drain(from..to) {
            replaced_bytes += replaced.bytes;
            freed.extent(&replaced, replaced.kept_bytes(start), true);
        }
        if extent.bytes < replaced_bytes {
            // What was left out is not to be read from memory.
            let is_replaced = |slice: &mut TailExtent| slice.next_offset <= extent.next_offset;
            while state.tail.pop_front_if(is_replaced).is_some() {}
        }
        freed.extent(&extent, extent.bytes - extent.kept_bytes(start), false);
        state.sealed.insert(from, extent);
        state.compacted_to = state.compacted_to.max(compacted_to);
        state.end = state.end.max(extent.next_offset);
    }

    /// Consecutive extents, from the first on that is `wanted`, without a hole in or between them: what can be made one. What
    /// is missing between two may be a loss that no hole names yet, and has to be seen at the next start.
    pub(crate) fn run(&self, wanted: impl Fn(&SealedExtent) -> bool) -> Vec<SealedExtent> {
        let state = lock(&self.state);
        let has_hole = |from: i64, to: i64| {
            let mut holes = state.holes();
            holes.any(|(first_offset, next_offset)| first_offset < to && from < next_offset)
        };
        let mut run: Vec<SealedExtent> = Vec::new();
        for extent in &state.sealed {
            let follows = run
                .last()
                .is_none_or(|last| last.next_offset == extent.first_offset);
            if follows && wanted(extent) && !has_hole(extent.first_offset, extent.next_offset) {
                run.push(*extent);
            } else if !run.is_empty() {
                break;
            }
        }
        run
    }

    /// The offset below which only the latest record of each key is kept.
    pub(crate) fn compacted_to(&self) -> i64 {
        lock(&self.state).compacted_to
    }

    /// Forgets slices of blocks up to `lsn`, which segments hold and memory does not any more.
    pub(crate) fn evict(&self, lsn: u64) {
        let mut state = lock(&self.state);
        while state.tail.front().is_some_and(|extent| extent.block.lsn <= lsn) {
            state.tail.pop_front();
        }
    }

    /// `None` where the log was deleted: it would never be raised.
    pub(crate) fn watch(&self, signal: &Arc<Signal>, token: u64) -> Option<Bounds> {
        let mut state = lock(&self.state);
        if state.deleted {
            return None;
        }
        // Signals come and go with connections; forget the dead when the list would grow.
        if state.watchers.len() == state.watchers.capacity() {
            state.watchers.retain(|(watcher, _)| watcher.strong_count() > 0);
        }
        state.watchers.push((Arc::downgrade(signal), token));
        Some(Bounds {
            start: state.start,
            end: state.end,
        })
    }

    /// Where `from` is to be read. `bytes_max` bounds how many slices are worth collecting.
    pub(crate) fn locate(&self, from: i64, bytes_max: usize) -> Result<Located, ReadError> {
        let state = lock(&self.state);
        let bounds = Bounds {
            start: state.start,
            end: state.end,
        };
        if state.deleted {
            return Err(ReadError::UnknownLog(self.log));
        }
        if from < bounds.start || from > bounds.end {
            return Err(ReadError::OutOfRange(bounds));
        }
        let from = state.behind_accepted(from);
        let hole = state.hole_after(from);
        let to = hole.map_or(i64::MAX, |(first_offset, _)| first_offset);
        let at = state.tail.partition_point(|extent| extent.next_offset <= from);
        let tail = state.tail.get(at);
        let sealed = state
            .sealed
            .get(state.sealed.partition_point(|extent| extent.next_offset <= from));
        // Where both hold the offset memory is read; where the tail begins later, the segment.
        let sealed = sealed.filter(|sealed| {
            tail.is_none_or(|tail| sealed.first_offset < tail.first_offset && from < tail.first_offset)
        });
        let first_offset = match (sealed, tail) {
            (Some(sealed), _) => sealed.first_offset,
            (None, Some(tail)) => tail.first_offset,
            (None, None) => bounds.end,
        };
        if let Some((first_offset, next_offset)) = hole.filter(|_| to <= from.max(first_offset)) {
            return Err(ReadError::Damaged {
                log: self.log,
                first_offset,
                next_offset,
            });
        }
        // What was given up may be damaged where it lies: no read runs into it, the next one begins behind it.
        let mut accepted = state.accepted().map(|lost| lost.first_offset);
        let accepted = accepted.find(|accepted| *accepted > from.max(first_offset));
        let to = accepted.map_or(to, |accepted| to.min(accepted));
        let source = match (sealed, tail) {
            (Some(sealed), _) => Source::Sealed(*sealed),
            (None, Some(_)) => Source::Tail(state.tail_slices(at, to, bytes_max)),
            (None, None) => Source::Nothing,
        };
        Ok(Located {
            bounds,
            source,
            from,
            to,
        })
    }

    /// The sealed extents from the one that holds `from`, or the first after it, up to `bytes_max` behind the end of the
    /// first. They end before `to`, and before what is in memory.
    pub(crate) fn sealed_from(&self, from: i64, to: i64, bytes_max: u64) -> Vec<SealedExtent> {
        let state = lock(&self.state);
        let at = state.sealed.partition_point(|extent| extent.next_offset <= from);
        let tail = state.tail.front().map_or(to, |tail| tail.first_offset.min(to));
        let mut bytes = 0;
        let extents = state.sealed.range(at..).enumerate();
        let within = extents.take_while(|(nth, extent)| {
            let before = bytes;
            bytes += if *nth == 0 { 0 } else { extent.bytes };
            *nth == 0 || before < bytes_max && extent.first_offset < tail
        });
        within.map(|(_, extent)| *extent).collect()
    }

    /// Candidates for a search by time, oldest first: sealed extents, then what only the tail holds.
    pub(crate) fn stretches(&self) -> (Vec<SealedExtent>, Vec<TailExtent>) {
        let state = lock(&self.state);
        let sealed_end = state
            .sealed
            .back()
            .map_or(state.start, |extent| extent.next_offset);
        let tail = state
            .tail
            .iter()
            // Not by its first offset: the log may start in the middle of it.
            .filter(|extent| extent.next_offset > sealed_end)
            .cloned()
            .collect();
        (state.sealed.iter().copied().collect(), tail)
    }

    pub(crate) fn usage(&self) -> Vec<ExtentUsage> {
        let (sealed, tail) = self.stretches();
        let sealed = sealed.into_iter().map(|extent| ExtentUsage {
            first_offset: extent.first_offset,
            next_offset: extent.next_offset,
            bytes: extent.bytes,
            max_timestamp: extent.max_timestamp,
            is_sealed: true,
        });
        let tail = tail.into_iter().map(|extent| ExtentUsage {
            first_offset: extent.first_offset,
            next_offset: extent.next_offset,
            bytes: u64::from(extent.length),
            max_timestamp: extent.max_timestamp,
            is_sealed: false,
        });
        sealed.chain(tail).collect()
    }

    /// What is missing between the start and the end, where every offset was given to a record, but for what is known to be
    /// lost.
    pub(crate) fn gaps(&self) -> Vec<(i64, i64)> {
        let (sealed, tail) = self.stretches();
        let Bounds { start, end } = self.bounds();
        let sealed = sealed
            .iter()
            .map(|extent| (extent.first_offset, extent.next_offset));
        let tail = tail
            .iter()
            .map(|extent| (extent.first_offset, extent.next_offset));
        let lost = lock(&self.state).lost.clone();
        let lost = lost.iter().map(|lost| (lost.first_offset, lost.next_offset));
        let mut known: Vec<_> = sealed.chain(tail).chain(lost).chain([(end, end)]).collect();
        known.sort_unstable();
        let mut gaps = Vec::new();
        let mut at = start;
        for (first_offset, next_offset) in known {
            if first_offset > at {
                gaps.push((at, first_offset));
            }
            at = at.max(next_offset);
        }
        gaps
    }
}

impl State {
    /// The first hole that does not end before `from`.
    fn hole_after(&self, from: i64) -> Option<(i64, i64)> {
        self.holes().find(|(_, next_offset)| *next_offset > from)
    }

    fn holes(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        let holes = self.lost.iter().filter(|lost| !lost.is_accepted);
        holes.map(|lost| (lost.first_offset, lost.next_offset))
    }

    fn accepted(&self) -> impl Iterator<Item = &Lost> {
        self.lost.iter().filter(|lost| lost.is_accepted)
    }

    /// The first offset from `from` on that was not given up.
    fn behind_accepted(&self, from: i64) -> i64 {
        let reach = |from: i64, lost: &Lost| match lost.first_offset <= from {
            true => from.max(lost.next_offset),
            false => from,
        };
        self.accepted().fold(from, reach)
    }

    /// The parts of a stretch that were not given up.
    fn not_accepted(&self, first_offset: i64, next_offset: i64) -> Vec<(i64, i64)> {
        let mut parts = Vec::new();
        let mut at = first_offset;
        for lost in self.accepted().filter(|lost| lost.next_offset > first_offset) {
            if lost.first_offset >= next_offset {
                break;
            }
            if lost.first_offset > at {
                parts.push((at, lost.first_offset));
            }
            at = at.max(lost.next_offset);
        }
        if at < next_offset {
            parts.push((at, next_offset));
        }
        parts
    }

    /// Says whether that is news.
    fn lose(&mut self, first_offset: i64, next_offset: i64, is_accepted: bool) -> bool {
        let lost = Lost {
            first_offset,
            next_offset,
            is_accepted,
        };
        let Err(at) = self.lost.binary_search(&lost) else {
            return false;
        };
        self.lost.insert(at, lost);
        true
    }

    fn tail_slices(&self, at: usize, to: i64, bytes_max: usize) -> Vec<TailExtent> {
        let mut bytes = 0;
        let mut slices: Vec<TailExtent> = Vec::new();
        let extents = self.tail.range(at..);
        for extent in extents.take_while(|extent| extent.first_offset < to) {
            slices.push(extent.clone());
            bytes += extent.length as usize;
            if bytes >= bytes_max {
                break;
            }
        }
        slices
    }

    fn watched(&mut self, raised: &mut Raised) {
        self.watchers.retain(|(watcher, token)| match watcher.upgrade() {
            Some(signal) => {
                raised.0.push((signal, *token));
                true
            }
            None => false,
        });
    }
}

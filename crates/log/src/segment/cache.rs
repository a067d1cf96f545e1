//! The parts of footers that were read lately, of all open segments together.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Extent;
use super::sections::Chunk;

/// Keeps the lists of extents, and the sparse indexes of extents, that are being read, within a limit of bytes for all
/// segments together. What was used longest ago goes first.
pub struct FooterCache {
    bytes_max: usize,
    state: Mutex<State>,
}

/// Names one opening of a segment, so that a file that was written again under its old name finds nothing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct OpenId(u64);

type Key = (OpenId, Part);

/// A part of a footer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Part {
    Extents,
    /// The chunks of a log's extent. An extent without batches has none, so that none of them names it.
    Chunks(u64),
}

#[derive(Clone)]
pub(super) enum Entries {
    Extents(Arc<[Extent]>),
    Chunks(Arc<[Chunk]>),
}

#[derive(Default)]
struct State {
    opened: u64,
    uses: u64,
    bytes: usize,
    parts: HashMap<Key, Entry>,
    /// The key of each entry under the number of its last use.
    by_use: BTreeMap<u64, Key>,
}

struct Entry {
    entries: Entries,
    last_use: u64,
}

/// What a part costs beside its entries: its places in both maps, and the counters of the `Arc`.
const ENTRY_BYTES: usize = 128;

impl FooterCache {
    /// A cache that holds at most `bytes_max` bytes, its own overhead included. 0 keeps nothing.
    pub fn new(bytes_max: usize) -> Arc<FooterCache> {
        Arc::new(FooterCache {
            bytes_max,
            state: Mutex::default(),
        })
    }

    /// Bytes held now.
    pub fn bytes(&self) -> usize {
        self.state().bytes
    }

    pub(super) fn open(&self) -> OpenId {
        let mut state = self.state();
        state.opened += 1;
        OpenId(state.opened)
    }

    pub(super) fn get(&self, segment: OpenId, part: Part) -> Option<Entries> {
        let mut state = self.state();
        let state = &mut *state;
        let entry = state.parts.get_mut(&(segment, part))?;
        state.uses += 1;
        state.by_use.remove(&entry.last_use);
        entry.last_use = state.uses;
        state.by_use.insert(entry.last_use, (segment, part));
        Some(entry.entries.clone())
    }

    pub(super) fn insert(&self, segment: OpenId, part: Part, entries: Entries) {
        let bytes = entries.cost();
        if bytes > self.bytes_max {
            return;
        }
        let mut state = self.state();
        let key = (segment, part);
        state.remove(key);
        while state.bytes + bytes > self.bytes_max {
            let Some((_, &oldest)) = state.by_use.first_key_value() else {
                break;
            };
            state.remove(oldest);
        }
        state.uses += 1;
        let last_use = state.uses;
        state.bytes += bytes;
        state.by_use.insert(last_use, key);
        state.parts.insert(key, Entry { entries, last_use });
    }

    /// Drops all parts of a segment that was closed.
    pub(super) fn close(&self, segment: OpenId) {
        let mut state = self.state();
        let keys: Vec<Key> = state
            .parts
            .keys()
            .filter(|key| key.0 == segment)
            .copied()
            .collect();
        for key in keys {
            state.remove(key);
        }
    }

    /// Every change below is complete before it can panic, so a poisoned lock protects a sound state.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remove(&mut self, key: Key) {
        if let Some(entry) = self.parts.remove(&key) {
            self.by_use.remove(&entry.last_use);
            self.bytes -= entry.entries.cost();
        }
    }
}

impl Entries {
    fn cost(&self) -> usize {
        let bytes = match self {
            Entries::Extents(extents) => size_of_val(&**extents),
            Entries::Chunks(chunks) => size_of_val(&**chunks),
        };
        bytes + ENTRY_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(chunks: usize) -> Entries {
        let chunk = Chunk {
            first_offset: 0,
            position: 4096,
            max_timestamp: 0,
            crc32c: 0,
        };
        Entries::Chunks(vec![chunk; chunks].into())
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let cache = FooterCache::new(3 * index(4).cost());
        let segment = cache.open();
        for first in 0..3 {
            cache.insert(segment, Part::Chunks(first), index(4));
        }
        assert!(cache.get(segment, Part::Chunks(0)).is_some());
        cache.insert(segment, Part::Extents, index(4));
        let parts = (0..3).map(Part::Chunks).chain([Part::Extents]);
        let kept: Vec<bool> = parts.map(|part| cache.get(segment, part).is_some()).collect();
        assert_eq!(kept, [true, false, true, true]);
    }

    #[test]
    fn bytes_stay_below_the_limit() {
        let cache = FooterCache::new(10_000);
        let segment = cache.open();
        for first in 0..1000 {
            cache.insert(segment, Part::Chunks(first % 70), index(first as usize % 90));
            assert!(cache.bytes() <= 10_000);
        }
        cache.insert(segment, Part::Extents, index(10_000));
        assert!(
            cache.get(segment, Part::Extents).is_none(),
            "a part above the limit is not kept"
        );
        cache.close(segment);
        assert_eq!(cache.bytes(), 0);
    }

    #[test]
    fn each_opening_has_its_own_entries() {
        let cache = FooterCache::new(10_000);
        let (first, second) = (cache.open(), cache.open());
        cache.insert(first, Part::Chunks(0), index(1));
        cache.insert(second, Part::Chunks(0), index(2));
        cache.close(first);
        assert!(cache.get(first, Part::Chunks(0)).is_none());
        let found = cache.get(second, Part::Chunks(0));
        assert!(matches!(found, Some(Entries::Chunks(chunks)) if chunks.len() == 2));
    }
}

//! The chunk indexes that were read lately, of all open segments together.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::sections::Chunk;

/// Keeps the sparse indexes of extents that are being read, within a limit of bytes for all segments together.
/// What was used longest ago goes first.
pub struct FooterCache {
    bytes_max: usize,
    state: Mutex<State>,
}

/// Names one opening of a segment, so that a file that was written again under its old name finds nothing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct OpenId(u64);

/// An extent: the opening of its segment, and its first chunk there.
type Key = (OpenId, u32);

#[derive(Default)]
struct State {
    opened: u64,
    uses: u64,
    bytes: usize,
    indexes: HashMap<Key, Entry>,
    /// The key of each entry under the number of its last use.
    by_use: BTreeMap<u64, Key>,
}

struct Entry {
    chunks: Arc<[Chunk]>,
    last_use: u64,
}

/// What an entry costs beside its chunks: its places in both maps, and the counters of the `Arc`.
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

    pub(super) fn get(&self, segment: OpenId, first_chunk: u32) -> Option<Arc<[Chunk]>> {
        let mut state = self.state();
        let state = &mut *state;
        let entry = state.indexes.get_mut(&(segment, first_chunk))?;
        state.uses += 1;
        state.by_use.remove(&entry.last_use);
        entry.last_use = state.uses;
        state.by_use.insert(entry.last_use, (segment, first_chunk));
        Some(entry.chunks.clone())
    }

    pub(super) fn insert(&self, segment: OpenId, first_chunk: u32, chunks: Arc<[Chunk]>) {
        let bytes = cost(&chunks);
        if bytes > self.bytes_max {
            return;
        }
        let mut state = self.state();
        let key = (segment, first_chunk);
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
        state.indexes.insert(key, Entry { chunks, last_use });
    }

    /// Drops all indexes of a segment that was closed.
    pub(super) fn close(&self, segment: OpenId) {
        let mut state = self.state();
        let keys: Vec<Key> = state
            .indexes
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
        if let Some(entry) = self.indexes.remove(&key) {
            self.by_use.remove(&entry.last_use);
            self.bytes -= cost(&entry.chunks);
        }
    }
}

fn cost(chunks: &[Chunk]) -> usize {
    size_of_val(chunks) + ENTRY_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(chunks: usize) -> Arc<[Chunk]> {
        vec![
            Chunk {
                first_offset: 0,
                position: 4096,
                max_timestamp: 0,
                crc32c: 0
            };
            chunks
        ]
        .into()
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let cache = FooterCache::new(3 * cost(&index(4)));
        let segment = cache.open();
        for first_chunk in 0..3 {
            cache.insert(segment, first_chunk, index(4));
        }
        assert!(cache.get(segment, 0).is_some());
        cache.insert(segment, 3, index(4));
        let kept: Vec<bool> = (0..4)
            .map(|first_chunk| cache.get(segment, first_chunk).is_some())
            .collect();
        assert_eq!(kept, [true, false, true, true]);
    }

    #[test]
    fn bytes_stay_below_the_limit() {
        let cache = FooterCache::new(10_000);
        let segment = cache.open();
        for first_chunk in 0..1000 {
            cache.insert(segment, first_chunk % 70, index(first_chunk as usize % 90));
            assert!(cache.bytes() <= 10_000);
        }
        cache.insert(segment, 5000, index(10_000));
        assert!(
            cache.get(segment, 5000).is_none(),
            "an index above the limit is not kept"
        );
        cache.close(segment);
        assert_eq!(cache.bytes(), 0);
    }

    #[test]
    fn each_opening_has_its_own_entries() {
        let cache = FooterCache::new(10_000);
        let (first, second) = (cache.open(), cache.open());
        cache.insert(first, 0, index(1));
        cache.insert(second, 0, index(2));
        cache.close(first);
        assert!(cache.get(first, 0).is_none());
        assert_eq!(cache.get(second, 0).map(|chunks| chunks.len()), Some(2));
    }
}

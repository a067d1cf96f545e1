//! The latest offset of each key: what the first pass of key compaction gathers and the second asks.
//!
//! Keys are not kept, but 128 bits of a hash of them, so that an entry is small whatever its key is. Two keys with the
//! same hash would be taken for one, and the older of their records deleted. By chance that is out of reach: among four
//! million keys it happens once in 10^25 compactions. On purpose it is so too, as the hash is SipHash-2-4, a
//! pseudo-random function under a key that the caller draws and nobody else learns.
//!
//! ```text
//! slots  := slot*         open addressing, linear probing
//! slot   := hash 2 x u64 | offset + 1 as u64, 0 if the slot is free
//! ```

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher24};

use crate::{Header, Record};

type Slot = [u64; 3];

const SLOT_BYTES: usize = size_of::<Slot>();
const FREE: Slot = [0; 3];

/// Room for as many keys as fit into a number of bytes that is chosen once. Offsets are never negative.
pub struct LatestOffsets {
    seed: [u8; 16],
    slots: Box<[Slot]>,
    len: usize,
    len_max: usize,
}

/// A key that is not known finds no room: the caller ends its range before the record that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no room for another key")]
pub struct Full;

impl LatestOffsets {
    /// Takes at most `bytes_max`, and no more than `keys_max` keys need. The memory is touched as it is filled.
    ///
    /// `seed` is to be random and secret: who knows it can find keys that are taken for each other.
    pub fn new(bytes_max: usize, keys_max: usize, seed: [u8; 16]) -> LatestOffsets {
        let slots = (bytes_max / SLOT_BYTES).min(slots_for(keys_max));
        // A zeroed allocation: the system gives pages when they are written.
        let slots = vec![FREE; slots].into_boxed_slice();
        LatestOffsets {
            seed,
            len: 0,
            len_max: keys_in(slots.len()),
            slots,
        }
    }

    /// Notes that `key` has a record at `offset`. Of several offsets the greatest counts.
    pub fn insert(&mut self, key: &[u8], offset: i64) -> Result<(), Full> {
        let hash = self.hash(key);
        let has_room = self.len < self.len_max;
        let slot = match find(&self.slots, hash) {
            Some(index) => self.slots.get_mut(index).ok_or(Full)?,
            None => return Err(Full),
        };
        if *slot == FREE {
            if !has_room {
                return Err(Full);
            }
            self.len = self.len.saturating_add(1);
        }
        let [first, second] = hash;
        let [.., stored] = *slot;
        *slot = [first, second, stored.max(to_stored(offset))];
        Ok(())
    }

    /// The greatest offset that was noted for `key`.
    pub fn latest(&self, key: &[u8]) -> Option<i64> {
        let index = find(&self.slots, self.hash(key))?;
        let [.., stored] = self.slots.get(index)?;
        stored.checked_sub(1).map(u64::cast_signed)
    }

    /// Whether compaction keeps a record of which the key was noted, in the batch with this header, at the time
    /// `now_ms`. It goes if its key has a later record, and so does a tombstone after its delete horizon. A record
    /// without a key goes too, as nothing will ever replace it: such are from a time at which the topic was not
    /// compacted. The rule is that of Kafka's `Cleaner.shouldRetainRecord`.
    ///
    /// The caller keeps all records of the offsets that it did not note.
    pub fn keeps(&self, header: &Header, record: &Record<'_>, now_ms: i64) -> bool {
        let Some(key) = record.key else { return false };
        let is_latest = self.latest(key).is_none_or(|latest| record.offset >= latest);
        let expired = || {
            header
                .delete_horizon_ms()
                .is_some_and(|horizon| now_ms >= horizon)
        };
        is_latest && (record.value.is_some() || !expired())
    }

    /// Keys that are known.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that are taken.
    pub fn bytes(&self) -> usize {
        self.slots.len().saturating_mul(SLOT_BYTES)
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        let mut hasher = SipHasher24::new_with_key(&self.seed);
        hasher.write(key);
        let hash = hasher.finish128();
        [hash.h1, hash.h2]
    }
}

impl std::fmt::Debug for LatestOffsets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LatestOffsets")
            .field("len", &self.len)
            .field("len_max", &self.len_max)
            .finish_non_exhaustive()
    }
}

/// Three of four slots are filled: a key that is not there is then found missing after eight looks on average.
fn keys_in(slots: usize) -> usize {
    slots.saturating_sub(slots.div_ceil(4))
}

fn slots_for(keys: usize) -> usize {
    keys.saturating_add(keys.div_ceil(3)).saturating_add(1)
}

/// Where the hash is, or else would be put. There is always a free slot, unless there is no slot at all.
fn find(slots: &[Slot], hash: [u64; 2]) -> Option<usize> {
    let [first, second] = hash;
    // The upper half of the product: the hash's share of all hashes, of the slots.
    let scaled = u128::from(first).checked_mul(slots.len() as u128)?;
    let home = usize::try_from(scaled >> u64::BITS).ok()?;
    let (before, from) = slots.split_at_checked(home)?;
    let is_found = |[a, b, stored]: &Slot| *stored == 0 || (*a, *b) == (first, second);
    match from.iter().position(is_found) {
        Some(index) => home.checked_add(index),
        None => before.iter().position(is_found),
    }
}

fn to_stored(offset: i64) -> u64 {
    offset.max(0).cast_unsigned().saturating_add(1)
}

#[cfg(test)]
mod tests;

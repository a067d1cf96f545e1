//! Byte buffers that direct I/O accepts, and the pool that keeps their memory mapped between uses.
//!
//! A fresh allocation costs a page fault per 4 KiB at its first touch, which is more than copying the 4 KiB. A
//! buffer therefore goes back to its [`BufferPool`] when the last slice of it is dropped, and is handed out
//! again without being cleared: its storage is initialised once, when it is allocated, and only `len` bytes
//! are ever visible.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::{ALIGNMENT, File};

/// A growable byte buffer whose first byte lies at a multiple of [`ALIGNMENT`].
#[derive(Default)]
pub struct AlignedBuffer {
    /// Longer than the capacity by `ALIGNMENT`, so that an aligned start lies within; empty without capacity.
    storage: Vec<u8>,
    start: usize,
    len: usize,
    pool: Option<BufferPool>,
}

impl AlignedBuffer {
    /// A buffer outside any pool. The capacity is rounded up as a pool rounds it.
    pub fn with_capacity(capacity: usize) -> AlignedBuffer {
        AlignedBuffer::over(vec![0; storage_len(capacity)], None)
    }

    fn over(storage: Vec<u8>, pool: Option<BufferPool>) -> AlignedBuffer {
        let start = storage.as_ptr().addr().wrapping_neg() % ALIGNMENT;
        AlignedBuffer {
            storage,
            start,
            len: 0,
            pool,
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that fit without a new allocation.
    pub fn capacity(&self) -> usize {
        self.storage.len().saturating_sub(ALIGNMENT)
    }

    /// The memory that it takes, whatever is in it.
    pub fn storage_bytes(&self) -> usize {
        self.storage.len()
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.storage[self.start..self.start + self.len]
    }

    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.storage[self.start..self.start + self.len]
    }

    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        let from = self.len;
        self.resize_for_overwrite(from + bytes.len());
        self.as_mut_slice()[from..].copy_from_slice(bytes);
    }

    /// Shortens the buffer, or lengthens it with zeros.
    pub fn resize_zeroed(&mut self, len: usize) {
        let from = self.len.min(len);
        self.resize_for_overwrite(len);
        self.as_mut_slice()[from..].fill(0);
    }

    /// Shortens the buffer, or lengthens it with whatever an earlier use left: the caller overwrites all of it,
    /// as a read from a file does, before anyone else sees it.
    pub fn resize_for_overwrite(&mut self, len: usize) {
        self.reserve(len.saturating_sub(self.len));
        self.len = len;
    }

    /// Makes room for `additional` bytes. Capacities grow by an eighth at least, so growing by little is amortised.
    pub fn reserve(&mut self, additional: usize) {
        let needed = self.len + additional;
        if needed <= self.capacity() {
            return;
        }
        let mut grown = match &self.pool {
            Some(pool) => pool.take(needed),
            None => AlignedBuffer::with_capacity(needed),
        };
        grown.len = self.len;
        grown.as_mut_slice().copy_from_slice(self.as_slice());
        *self = grown;
    }

    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// The content as shared, immutable bytes. The allocation goes back to its pool with the last slice.
    pub fn freeze(self) -> Bytes {
        if self.is_empty() {
            Bytes::new()
        } else {
            Bytes::from_owner(self)
        }
    }
}

impl AsRef<[u8]> for AlignedBuffer {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl Drop for AlignedBuffer {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            pool.put(mem::take(&mut self.storage));
        }
    }
}

impl fmt::Debug for AlignedBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlignedBuffer")
            .field("len", &self.len)
            .field("capacity", &self.capacity())
            .finish()
    }
}

/// Keeps the memory of dropped buffers, up to a limit in bytes; cheap to clone.
///
/// The limit is on idle memory. What is in use is bounded by those who take buffers.
#[derive(Clone)]
pub struct BufferPool {
    shared: Arc<Shared>,
}

struct Shared {
    idle_bytes_max: usize,
    idle: Mutex<Idle>,
}

/// Idle storage by its length, in each length ordered by the time of return.
#[derive(Default)]
struct Idle {
    classes: BTreeMap<usize, VecDeque<Returned>>,
    bytes: usize,
    returns: u64,
}

struct Returned {
    nth: u64,
    storage: Vec<u8>,
}

impl BufferPool {
    pub fn new(idle_bytes_max: usize) -> BufferPool {
        BufferPool {
            shared: Arc::new(Shared {
                idle_bytes_max,
                idle: Mutex::default(),
            }),
        }
    }

    /// An empty buffer of at least this capacity. Never waits: what the pool does not have is allocated.
    pub fn take(&self, capacity: usize) -> AlignedBuffer {
        let storage_len = storage_len(capacity);
        let idle = self.idle().take(storage_len);
        AlignedBuffer::over(idle.unwrap_or_else(|| vec![0; storage_len]), Some(self.clone()))
    }

    /// Reads a stretch of a file that may want direct I/O: the whole pages that hold it, and where in them it begins.
    pub(crate) fn read_pages(
        &self,
        file: &dyn File,
        position: u64,
        length: usize,
    ) -> io::Result<(AlignedBuffer, usize)> {
        let skip = (position % ALIGNMENT as u64) as usize;
        let pages = (skip + length).next_multiple_of(ALIGNMENT);
        let mut buffer = self.take(pages);
        buffer.resize_for_overwrite(pages);
        file.read_at(buffer.as_mut_slice(), position - skip as u64)?;
        Ok((buffer, skip))
    }

    /// Bytes of memory that the pool holds for the next users.
    pub fn idle_bytes(&self) -> usize {
        self.idle().bytes
    }

    /// Gives back the memory that nobody uses at the moment.
    pub fn shrink(&self) {
        let idle = mem::take(&mut *self.idle());
        drop(idle);
    }

    fn put(&self, storage: Vec<u8>) {
        let mut idle = self.idle();
        idle.put(storage);
        let mut evicted = Vec::new();
        while idle.bytes > self.shared.idle_bytes_max {
            evicted.extend(idle.evict());
        }
        // Unmapping is slow; it happens without the lock, when `evicted` is dropped.
        drop(idle);
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Idle {
    /// The storage returned last is the one most likely in the processor's cache.
    fn take(&mut self, storage_len: usize) -> Option<Vec<u8>> {
        let returned = self.classes.get_mut(&storage_len)?.pop_back()?;
        self.bytes -= storage_len;
        Some(returned.storage)
    }

    fn put(&mut self, storage: Vec<u8>) {
        self.bytes += storage.len();
        self.returns += 1;
        let returned = Returned {
            nth: self.returns,
            storage,
        };
        self.classes
            .entry(returned.storage.len())
            .or_default()
            .push_back(returned);
    }

    /// Gives up what nobody has asked for the longest, so that a change of sizes does not leave the pool full
    /// of the old ones.
    fn evict(&mut self) -> Option<Vec<u8>> {
        let oldest = |class: &VecDeque<Returned>| class.front().map_or(u64::MAX, |returned| returned.nth);
        let class = self.classes.values_mut().min_by_key(|class| oldest(class))?;
        let returned = class.pop_front()?;
        self.bytes -= returned.storage.len();
        Some(returned.storage)
    }
}

/// Room for the capacity, rounded up to one of four sizes between two powers of two, and for an aligned start. With fewer
/// sizes much of a buffer that is kept for its content would be empty, with more a pool would seldom have the one that is
/// asked for.
fn storage_len(capacity: usize) -> usize {
    let capacity = capacity.max(ALIGNMENT);
    let step = (capacity.next_power_of_two() / 8).max(ALIGNMENT);
    capacity.next_multiple_of(step) + ALIGNMENT
}

#[cfg(test)]
mod tests;

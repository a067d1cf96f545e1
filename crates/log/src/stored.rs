//! A commit block that was written: where it lies in the WAL, and its bytes for as long as memory holds them.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use crate::block::Entry;
use crate::file::Storage;
use crate::file::aligned::AlignedBuffer;
use crate::lock::lock;
use crate::quarantine;
use crate::sync::Mutex;
use crate::view::TailExtent;
use crate::wal::WalFile;

pub(crate) struct StoredBlock {
    pub(crate) lsn: u64,
    pub(crate) entries: Box<[Entry]>,
    pub(crate) payload_bytes: u64,
    /// What it takes of memory while its bytes are held, with what points to them.
    pub(crate) buffer_bytes: usize,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    /// Given up when a segment holds the block's data. Holding it keeps the file from being recycled.
    place: Option<Place>,
    buffer: Option<Bytes>,
}

#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) file: Arc<WalFile>,
    pub(crate) position: u64,
}

/// Where a slice of a block can be had from.
pub(crate) enum Slice {
    /// The slice, and what the buffer that it keeps takes of memory.
    Memory(Bytes, usize),
    Wal(Place),
    /// The block is sealed and evicted: a segment has it.
    Gone,
}

/// All of a block.
pub(crate) enum Loaded {
    /// As it was written.
    Memory(Bytes),
    /// As the WAL gives it back, to be verified.
    Wal(Bytes),
}

impl StoredBlock {
    pub(crate) fn on_disk(
        lsn: u64,
        entries: Vec<Entry>,
        place: Place,
        buffer: Option<AlignedBuffer>,
    ) -> StoredBlock {
        let payload_bytes = entries.iter().map(|entry| u64::from(entry.length)).sum();
        let buffer = buffer.map(|buffer| compact(buffer, end_of(&entries)));
        let pointers_bytes =
            size_of::<StoredBlock>() + entries.len() * (size_of::<Entry>() + size_of::<TailExtent>());
        let buffer_bytes = buffer.as_ref().map_or(0, |(_, bytes)| bytes + pointers_bytes);
        let held = Mutex::new(Held {
            place: Some(place),
            buffer: buffer.map(|(buffer, _)| buffer),
        });
        StoredBlock {
            lsn,
            entries: entries.into(),
            payload_bytes,
            buffer_bytes,
            held,
        }
    }

    /// A block without entries: nobody reads it.
    pub(crate) fn empty(lsn: u64) -> StoredBlock {
        StoredBlock {
            lsn,
            entries: Box::default(),
            payload_bytes: 0,
            buffer_bytes: 0,
            held: Mutex::default(),
        }
    }

    /// One batch of a memory log.
    pub(crate) fn in_memory(batch: Bytes) -> StoredBlock {
        let payload_bytes = batch.len() as u64;
        let buffer_bytes = batch.len();
        let held = Mutex::new(Held {
            place: None,
            buffer: Some(batch),
        });
        StoredBlock {
            lsn: 0,
            entries: Box::default(),
            payload_bytes,
            buffer_bytes,
            held,
        }
    }

    pub(crate) fn slice(&self, position: u32, length: u32) -> Slice {
        let held = lock(&self.held);
        let start = position as usize;
        match (&held.buffer, &held.place) {
            (Some(buffer), _) => {
                Slice::Memory(buffer.slice(start..start + length as usize), self.buffer_bytes)
            }
            (None, Some(place)) => Slice::Wal(place.clone()),
            (None, None) => Slice::Gone,
        }
    }

    /// The whole block, for sealing. Blocks the thread where memory does not hold it.
    pub(crate) fn load(&self) -> io::Result<Loaded> {
        let place = {
            let held = lock(&self.held);
            match (&held.buffer, &held.place) {
                (Some(buffer), _) => return Ok(Loaded::Memory(buffer.clone())),
                (None, place) => place.clone(),
            }
        };
        let place =
            place.ok_or_else(|| io::Error::other("an unsealed block is neither in memory nor in the WAL"))?;
        place
            .file
            .read(place.position, end_of(&self.entries))
            .map(Loaded::Wal)
    }

    /// Keeps a copy of the file in which the block was found damaged.
    pub(crate) fn keep_evidence(&self, storage: &dyn Storage) -> io::Result<()> {
        let place = lock(&self.held).place.clone();
        place.map_or(Ok(()), |place| quarantine::keep(storage, &place.file, self.lsn))
    }

    /// Gives the memory back, and says how much it was.
    pub(crate) fn forget_buffer(&self) -> usize {
        lock(&self.held).buffer.take().map_or(0, |_| self.buffer_bytes)
    }

    pub(crate) fn forget_place(&self) {
        lock(&self.held).place = None;
    }
}

/// Where the last slice ends, from the block's start.
fn end_of(entries: &[Entry]) -> usize {
    let end = |entry: &Entry| entry.position as usize + entry.length as usize;
    entries.iter().map(end).max().unwrap_or(0)
}

/// The bytes of a block up to its end, and what they take of memory. Most of a small one's buffer is padding and alignment, so
/// it goes back to its pool and a copy is kept.
fn compact(buffer: AlignedBuffer, end: usize) -> (Bytes, usize) {
    if end <= buffer.storage_bytes() / 2 {
        (Bytes::copy_from_slice(&buffer.as_slice()[..end]), end)
    } else {
        let bytes = buffer.storage_bytes();
        (buffer.freeze(), bytes)
    }
}

//! The WAL's files: created once, then overwritten in a circle.
//!
//! `wal/<n>` is a slot; which blocks it holds is told by the blocks' own headers, never by its name. A file is free,
//! current, or full; a full one is free again when segments hold all of its blocks and nobody reads from it. The file
//! after the current one is prepared in the background.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::background;
use crate::file::aligned::AlignedBuffer;
use crate::file::aligned::BufferPool;
use crate::file::{ALIGNMENT, Existence, File, Mode, Storage};
use crate::lock::{abort, lock};
use crate::stored::Place;
use crate::sync::{Condvar, Mutex};

pub(crate) const DIRECTORY: &str = "wal";
/// Writes that may be in flight at once.
pub(crate) const LANES: usize = 2;
const FIRST_FILE_BYTES: u64 = 8 * 1024 * 1024;
pub(crate) const FILE_BYTES_MIN: u64 = 64 * 1024;
/// What is zero-written with one call.
const ZEROES_BYTES: usize = 1024 * 1024;

/// How often a sealed file that somebody reads from is looked at again while a lane waits for it.
const PINNED_RETRY: Duration = Duration::from_millis(10);

/// When a block's write counts as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WalMode {
    /// Past the page cache, durable when the write returns.
    DirectSync,
    /// Through the page cache, followed by a flush.
    Flushed,
    /// Given to the operating system, flushed in the background.
    Unflushed,
}

impl WalMode {
    fn file_mode(self) -> Mode {
        match self {
            WalMode::DirectSync => Mode::DirectSync,
            WalMode::Flushed | WalMode::Unflushed => Mode::Buffered,
        }
    }
}

pub(crate) struct WalFile {
    pub(crate) slot: u32,
    pub(crate) bytes: u64,
    mode: WalMode,
    /// Each lane has a file description of its own, since Linux reports a write-back error once per description.
    lanes: [Arc<dyn File>; LANES],
    buffers: BufferPool,
}

impl WalFile {
    pub(crate) fn open(
        storage: &dyn Storage,
        slot: u32,
        mode: WalMode,
        buffers: BufferPool,
    ) -> io::Result<WalFile> {
        let path = path(slot);
        let open = || storage.open(&path, mode.file_mode(), Existence::MustExist);
        let lanes = [open()?, open()?];
        let bytes = lanes[0].len()? / ALIGNMENT as u64 * ALIGNMENT as u64;
        Ok(WalFile {
            slot,
            bytes,
            mode,
            lanes,
            buffers,
        })
    }

    /// Writes a block, and returns when it is as durable as the mode promises.
    pub(crate) fn write(&self, lane: usize, bytes: &[u8], position: u64) -> io::Result<()> {
        self.lanes[lane].write_at(bytes, position)?;
        if self.mode == WalMode::Flushed {
            self.lanes[lane].sync()
        } else {
            Ok(())
        }
    }

    /// Writes a stretch, which is aligned, with what it holds. Durable after [`WalFile::sync`].
    pub(crate) fn write_again(&self, position: u64, length: usize) -> io::Result<()> {
        let mut buffer = self.buffers.take(length);
        buffer.resize_for_overwrite(length);
        self.lanes[0].read_at(buffer.as_mut_slice(), position)?;
        self.lanes[0].write_at(buffer.as_slice(), position)
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.lanes.iter().try_for_each(|file| file.sync())
    }

    /// Reads any stretch, in aligned pieces as direct I/O needs them.
    pub(crate) fn read(&self, position: u64, length: usize) -> io::Result<Bytes> {
        let (buffer, skip) = self.buffers.read_pages(&*self.lanes[0], position, length)?;
        Ok(buffer.freeze().slice(skip..skip + length))
    }
}

pub(crate) fn path(slot: u32) -> String {
    format!("{DIRECTORY}/{slot:08x}")
}

pub(crate) fn parse_slot(name: &str) -> Option<u32> {
    (name.len() == 8)
        .then(|| u32::from_str_radix(name, 16).ok())
        .flatten()
}

/// Creates the file of a slot and takes its space. Where each block is flushed, zeroes are written to all of it, so that
/// those flushes write no metadata.
pub(crate) fn create(storage: &dyn Storage, slot: u32, bytes: u64, mode: WalMode) -> io::Result<()> {
    let file_mode = match mode {
        WalMode::DirectSync => Mode::Direct,
        WalMode::Flushed | WalMode::Unflushed => Mode::Buffered,
    };
    let file = storage.open(&path(slot), file_mode, Existence::CreateIfMissing)?;
    if mode == WalMode::Unflushed {
        file.set_len(bytes)?;
    } else {
        write_zeroes(&*file, bytes)?;
    }
    file.sync()?;
    storage.sync_dir(DIRECTORY)
}

fn write_zeroes(file: &dyn File, bytes: u64) -> io::Result<()> {
    let mut zeroes = AlignedBuffer::with_capacity(ZEROES_BYTES);
    zeroes.resize_zeroed(ZEROES_BYTES);
    let mut position = 0;
    while position < bytes {
        let length = (bytes - position).min(ZEROES_BYTES as u64);
        file.write_at(&zeroes.as_slice()[..length as usize], position)?;
        position += length;
    }
    Ok(())
}

#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) bytes_max: u64,
    pub(crate) file_bytes: u64,
}

/// The circle of files.
pub(crate) struct Wal {
    storage: Arc<dyn Storage>,
    mode: WalMode,
    limits: Limits,
    buffers: BufferPool,
    ring: Mutex<Ring>,
    /// A file became free, one is wanted, or the end was asked for.
    changed: Condvar,
}

#[derive(Default)]
pub(crate) struct Ring {
    current: Option<Current>,
    free: Vec<Arc<WalFile>>,
    full: VecDeque<Full>,
    bytes_total: u64,
    next_slot: u32,
    /// Bytes of the file that a lane waits for; 0 where none does.
    wanted_bytes: u64,
    /// Segments hold the blocks up to here.
    sealed_lsn: u64,
    closing: bool,
}

struct Current {
    file: Arc<WalFile>,
    position: u64,
    last_lsn: u64,
}

struct Full {
    file: Arc<WalFile>,
    last_lsn: u64,
}

impl Ring {
    fn retire_current(&mut self) {
        if let Some(Current { file, last_lsn, .. }) = self.current.take() {
            self.full.push_back(Full { file, last_lsn });
        }
    }

    /// Frees files of which segments hold everything, but for those that are still read from.
    fn free_sealed(&mut self) {
        for entry in std::mem::take(&mut self.full) {
            // Nobody can begin to read a file whose blocks gave up their places, so the count only falls.
            if entry.last_lsn <= self.sealed_lsn && Arc::strong_count(&entry.file) == 1 {
                self.free.push(entry.file);
            } else {
                self.full.push_back(entry);
            }
        }
    }

    /// Whether a file will be free as soon as nobody reads from it.
    fn waits_for_readers(&self) -> bool {
        self.full.iter().any(|full| full.last_lsn <= self.sealed_lsn)
    }

    fn has_free(&self, bytes: u64) -> bool {
        self.free.iter().any(|file| file.bytes >= bytes)
    }

    /// Whether sealing will free a file of so many bytes.
    fn will_have(&self, bytes: u64) -> bool {
        self.full.iter().any(|full| full.file.bytes >= bytes)
    }

    fn take_free(&mut self, bytes: u64) -> Option<Arc<WalFile>> {
        let at = self.free.iter().position(|file| file.bytes >= bytes)?;
        Some(self.free.swap_remove(at))
    }
}

impl Wal {
    /// Takes over what recovery found: files that hold unsealed blocks, with the last LSN of each, and free ones.
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        mode: WalMode,
        limits: Limits,
        buffers: BufferPool,
        full: Vec<(Arc<WalFile>, u64)>,
        free: Vec<Arc<WalFile>>,
    ) -> Wal {
        let files = || full.iter().map(|(file, _)| file).chain(&free);
        let ring = Ring {
            bytes_total: files().map(|file| file.bytes).sum(),
            next_slot: files().map(|file| file.slot + 1).max().unwrap_or(0),
            full: full
                .into_iter()
                .map(|(file, last_lsn)| Full { file, last_lsn })
                .collect(),
            free,
            ..Ring::default()
        };
        Wal {
            storage,
            mode,
            limits,
            buffers,
            ring: Mutex::new(ring),
            changed: Condvar::new(),
        }
    }

    /// Bytes that the current file still takes.
    pub(crate) fn room(&self) -> u64 {
        lock(&self.ring)
            .current
            .as_ref()
            .map_or(0, |current| current.file.bytes - current.position)
    }

    /// Takes the next `bytes` of the current file for the block of `lsn`. The caller knows that there is room.
    pub(crate) fn reserve(&self, bytes: u64, lsn: u64) -> Place {
        let mut ring = lock(&self.ring);
        let current = ring
            .current
            .as_mut()
            .expect("a block is taken only where the current file has room for it");
        let place = Place {
            file: current.file.clone(),
            position: current.position,
        };
        current.position += bytes;
        current.last_lsn = lsn;
        place
    }

    /// Notes that a lane is going to wait for a file of at least `bytes`.
    pub(crate) fn want(&self, bytes: u64) {
        lock(&self.ring).wanted_bytes = bytes;
        self.changed.notify_all();
    }

    /// Whether a lane waits for a file.
    pub(crate) fn is_wanted(&self) -> bool {
        lock(&self.ring).wanted_bytes > 0
    }

    /// Makes a free file of at least `bytes`, which were wanted, the current one; waits until there is one. `None` at the end.
    pub(crate) fn next_file(&self, bytes: u64) -> Option<()> {
        let mut ring = lock(&self.ring);
        loop {
            if ring.closing {
                return None;
            }
            if let Some(file) = ring.take_free(bytes) {
                ring.retire_current();
                ring.wanted_bytes = 0;
                ring.current = Some(Current {
                    file,
                    position: 0,
                    last_lsn: 0,
                });
                self.changed.notify_all();
                return Some(());
            }
            ring = if ring.waits_for_readers() {
                let waited = self.changed.wait_timeout(ring, PINNED_RETRY);
                let mut ring = waited.unwrap_or_else(|_| abort()).0;
                ring.free_sealed();
                ring
            } else {
                self.changed.wait(ring).unwrap_or_else(|_| abort())
            };
        }
    }

    /// Frees files of which segments hold everything. One that is still read from is freed when a lane wants it.
    pub(crate) fn recycle(&self, sealed_lsn: u64) {
        let mut ring = lock(&self.ring);
        ring.sealed_lsn = ring.sealed_lsn.max(sealed_lsn);
        ring.free_sealed();
        self.changed.notify_all();
    }

    /// Whether there may not be another file before something is sealed.
    pub(crate) fn is_exhausted(&self) -> bool {
        let ring = lock(&self.ring);
        let has_free = ring.has_free(ring.wanted_bytes.max(FILE_BYTES_MIN));
        !has_free && ring.bytes_total + self.limits.file_bytes.max(ring.wanted_bytes) > self.limits.bytes_max
    }

    pub(crate) fn bytes_total(&self) -> u64 {
        lock(&self.ring).bytes_total
    }

    /// Flushes every file that may hold what was only given to the operating system.
    pub(crate) fn flush(&self) -> io::Result<()> {
        let files: Vec<_> = {
            let ring = lock(&self.ring);
            let full = ring.full.iter().map(|full| full.file.clone());
            full.chain(ring.current.as_ref().map(|current| current.file.clone()))
                .collect()
        };
        files.iter().try_for_each(|file| file.sync())
    }

    pub(crate) fn close(&self) {
        lock(&self.ring).closing = true;
        self.changed.notify_all();
    }

    /// Waits until a file is to be created, so that one is free ahead of the lanes, and creates it. False at the end.
    pub(crate) fn prepare(&self) -> io::Result<bool> {
        let mut ring = lock(&self.ring);
        let bytes = loop {
            if ring.closing {
                return Ok(false);
            }
            if let Some(bytes) = self.bytes_to_create(&ring) {
                break bytes;
            }
            ring = self.changed.wait(ring).unwrap_or_else(|_| abort());
        };
        let slot = ring.next_slot;
        ring.bytes_total += bytes;
        drop(ring);
        let created = create(&*self.storage, slot, bytes, self.mode)
            .and_then(|()| WalFile::open(&*self.storage, slot, self.mode, self.buffers.clone()));
        if created.is_err() {
            // On a full disk a part of a file would take the space that others need to go on. It never held a block.
            background::remove_attempt(&*self.storage, &path(slot))?;
        }
        let mut ring = lock(&self.ring);
        match created {
            Ok(file) => {
                ring.next_slot += 1;
                ring.free.push(Arc::new(file));
            }
            Err(error) => {
                ring.bytes_total -= bytes;
                return Err(error);
            }
        }
        self.changed.notify_all();
        Ok(true)
    }

    /// The size of a file that should be created now. One is kept ahead as soon as there is a current file.
    fn bytes_to_create(&self, ring: &Ring) -> Option<u64> {
        let wanted = ring.wanted_bytes > 0 && !ring.has_free(ring.wanted_bytes);
        let first = ring.bytes_total == 0;
        let ahead = ring.current.is_some() && !ring.has_free(FILE_BYTES_MIN);
        if !(wanted || first || ahead) {
            return None;
        }
        let usual = if first {
            FIRST_FILE_BYTES.min(self.limits.file_bytes)
        } else {
            self.limits.file_bytes
        };
        let bytes = usual.max(ring.wanted_bytes.next_multiple_of(ALIGNMENT as u64));
        let within = ring.bytes_total + bytes <= self.limits.bytes_max;
        // A frame that fits no file gets one in any case: it was accepted.
        (within || first || (wanted && !ring.will_have(ring.wanted_bytes))).then_some(bytes)
    }
}

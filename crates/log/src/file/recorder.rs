//! A data directory in memory that records every operation in one journal.
//!
//! From the [`Journal`] the images are rebuilt that a power failure could have left at any moment; a new recorder
//! opens on such an [`Image`], and the engine recovers from it. The same recorder makes operations fail
//! ([`Fault`]) or stay in flight ([`Recorder::hold`]). Everything is deterministic but the interleaving of threads,
//! and that too in a simulation.
//!
//! ```text
//! engine -> Recorder -> journal -> Replay -> image(position, chooser) -> Recorder -> engine recovers
//!                                                  ^ flushes left out: Journal::without
//! ```

mod chooser;
mod content;
mod durability;
mod fault;
mod flush;
mod image;
mod journal;
mod replay;
mod state;
mod tree;

pub use chooser::{All, Choice, Chooser, Nothing, Part, Seeded, SplitMix64};
pub use fault::{Fault, Hold, Kind};
pub use flush::{FlushKind, FlushSite};
pub use image::Image;
pub use journal::{Journal, Mark, Operation};
pub use replay::Replay;
pub use rustix::io::Errno;
pub use tree::Inode;

use std::io;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::{Existence, File, Mode, Space, Storage, check_alignment};
use crate::sync::{Condvar, Mutex, MutexGuard, in_flight};
use state::State;

/// What a disk writes at once or not at all; a larger write may be torn at its multiples.
pub const SECTOR_BYTES: usize = 512;

/// A data directory in memory; clones share it.
#[derive(Clone)]
pub struct Recorder {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Notified when an operation blocks on a hold and when a hold ends.
    holds_changed: Condvar,
}

impl Default for Recorder {
    fn default() -> Recorder {
        Recorder::new()
    }
}

impl Recorder {
    /// An empty directory on 1 TiB of disk that supports direct I/O.
    pub fn new() -> Recorder {
        Recorder::from_image(Image::default())
    }

    /// A directory with the content of `image`, all of it durable, and an empty journal.
    pub fn from_image(image: Image) -> Recorder {
        let state = Mutex::new(State::new(image));
        Recorder {
            shared: Arc::new(Shared {
                state,
                holds_changed: Condvar::new(),
            }),
        }
    }

    /// Size of the disk. A file takes the space of its whole length; what exceeds it fails with `ENOSPC`.
    pub fn set_total_bytes(&self, total_bytes: u64) {
        self.shared.lock().total_bytes = total_bytes;
    }

    pub fn set_supports_direct(&self, supports_direct: bool) {
        self.shared.lock().supports_direct = supports_direct;
    }

    /// Puts a mark into the journal, such as an acknowledgement that was given at this moment.
    pub fn mark(&self, mark: impl Into<Mark>) {
        self.shared.lock().record(Operation::Mark(mark.into()));
    }

    /// Entries in the journal so far.
    pub fn position(&self) -> usize {
        self.shared.lock().operations.len()
    }

    /// What has been recorded so far. Payloads are shared, not copied.
    pub fn journal(&self) -> Journal {
        let state = self.shared.lock();
        Journal::new(state.base.clone(), state.operations.clone())
    }

    /// What the directory holds now: what a process finds when it starts again without a power failure.
    pub fn image(&self) -> Image {
        self.shared.lock().image()
    }

    /// Makes the operations that match fail, in addition to the faults set before.
    pub fn fail(&self, fault: Fault) {
        self.shared.lock().faults.arm(fault);
    }

    /// In a simulation, lets writes and flushes of paths that begin with `path` take so long from now on.
    pub fn slow(&self, path: &str, latency: Duration) {
        self.shared.lock().faults.slow(path, latency);
    }

    /// From here on nothing fails and nothing is slow; a fault that has struck stays in the journal.
    pub fn clear_faults(&self) {
        self.shared.lock().faults.disarm();
    }

    /// Operations so far, failed ones included, of one kind or of all: the range of [`Fault::nth`].
    pub fn operations(&self, kind: Option<Kind>) -> u64 {
        self.shared.lock().faults.count(kind)
    }

    /// Keeps writes and flushes of paths that begin with `path` in flight from now until the hold is dropped: they
    /// have begun, and do not return.
    pub fn hold(&self, kind: Kind, path: &str) -> Hold {
        let id = self.shared.lock().faults.hold(kind, path);
        Hold {
            recorder: self.clone(),
            id,
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An operation that takes effect in one step.
    fn step<T>(
        &self,
        kind: Kind,
        path: &str,
        act: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.lock();
        match state.faults.strike(kind, path) {
            Some(error) => Err(error.into()),
            None => act(&mut state),
        }
    }

    /// An operation that begins and ends as two entries of the journal, so that others come between. One that is
    /// to fail begins as well: a part of it may reach the disk.
    fn flight(
        &self,
        kind: Kind,
        path: &str,
        begin: impl FnOnce(&mut State) -> io::Result<Operation>,
    ) -> io::Result<()> {
        let mut state = self.lock();
        let failure = state.faults.strike(kind, path);
        let operation = begin(&mut state)?;
        let begin = state.record(operation);
        let latency = state.faults.latency(path);
        drop(state);
        in_flight(latency);
        let mut state = self.wait_while_held(kind, path);
        state.record(Operation::End {
            begin,
            succeeded: failure.is_none(),
        });
        failure.map_or(Ok(()), |error| Err(error.into()))
    }

    fn wait_while_held(&self, kind: Kind, path: &str) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        while let Some(id) = state.faults.holding(kind, path) {
            state.faults.block(id);
            self.holds_changed.notify_all();
            state = self.wait(state, |state| !state.faults.is_held(id));
        }
        state
    }

    fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        until: impl Fn(&State) -> bool,
    ) -> MutexGuard<'a, State> {
        let waited = self.holds_changed.wait_while(state, |state| !until(state));
        waited.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Storage for Recorder {
    fn place(&self) -> String {
        "memory".to_owned()
    }

    fn open(&self, path: &str, mode: Mode, existence: Existence) -> io::Result<Arc<dyn File>> {
        let inode = self
            .shared
            .step(Kind::Open, path, |state| state.open(path, mode, existence))?;
        Ok(Arc::new(RecordedFile {
            shared: self.shared.clone(),
            path: path.into(),
            inode,
            mode,
        }))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.shared.step(Kind::List, dir, |state| state.tree.list(dir))
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        self.shared
            .step(Kind::CreateDir, dir, |state| state.create_dir(dir))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.shared
            .step(Kind::Rename, from, |state| state.rename(from, to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.shared.step(Kind::Remove, path, |state| state.remove(path))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.shared.flight(Kind::SyncDir, dir, |state| {
            state.tree.check_directory(dir)?;
            Ok(Operation::SyncDir { path: dir.into() })
        })
    }

    fn space(&self) -> io::Result<Space> {
        Ok(self.shared.lock().space())
    }

    fn supports_direct(&self) -> bool {
        self.shared.lock().supports_direct
    }
}

struct RecordedFile {
    shared: Arc<Shared>,
    /// The name it was opened under; it may have another one since.
    path: Arc<str>,
    inode: Inode,
    mode: Mode,
}

impl File for RecordedFile {
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<()> {
        check_alignment(self.mode, buf, position)?;
        in_flight(None);
        self.shared.step(Kind::Read, &self.path, |state| {
            state.content(self.inode).read(position, buf)
        })
    }

    fn write_at(&self, buf: &[u8], position: u64) -> io::Result<()> {
        check_alignment(self.mode, buf, position)?;
        let bytes = payload(buf);
        self.shared.flight(Kind::Write, &self.path, |state| {
            state.write(self.inode, position, &bytes)?;
            let flushes = self.mode == Mode::DirectSync;
            Ok(Operation::Write {
                path: self.path.clone(),
                inode: self.inode,
                position,
                bytes,
                flushes,
            })
        })
    }

    fn sync(&self) -> io::Result<()> {
        let operation = Operation::Sync {
            path: self.path.clone(),
            inode: self.inode,
        };
        self.shared.flight(Kind::Sync, &self.path, |_| Ok(operation))
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.shared.lock().content(self.inode).len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.shared.step(Kind::SetLen, &self.path, |state| {
            state.set_len(self.inode, len)?;
            state.record(Operation::SetLen {
                path: self.path.clone(),
                inode: self.inode,
                len,
            });
            Ok(())
        })
    }
}

/// Zeros, of which a new write-ahead log file has many megabytes, take no memory.
fn payload(buf: &[u8]) -> Bytes {
    match content::ZEROS.get(..buf.len()) {
        Some(zeros) if buf == zeros => Bytes::from_static(zeros),
        _ => Bytes::copy_from_slice(buf),
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

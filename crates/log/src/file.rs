//! The seam under the engine: every byte it reads or writes passes these two traits.
//!
//! There are two implementations: [`disk`] is the file system, [`recorder`] keeps everything in memory together
//! with the order of all operations, and rebuilds the images that a power failure could have left. Paths are
//! relative to the data directory, with `/` between a directory and a name.

pub mod aligned;
pub mod disk;
pub mod recorder;

#[cfg(test)]
mod conformance;

use std::io;
use std::sync::Arc;

/// The smallest unit of direct I/O: positions, lengths and buffers of a direct file are multiples of it.
pub const ALIGNMENT: usize = 4096;

/// How a file reaches the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Through the page cache; durable after [`File::sync`].
    Buffered,
    /// Past the page cache (`O_DIRECT`); durable after [`File::sync`], which a device with a volatile cache needs.
    Direct,
    /// Past the page cache, and every write is durable when it returns (`O_DIRECT|O_DSYNC`).
    DirectSync,
}

/// What [`Storage::open`] does about a file that is or is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existence {
    MustExist,
    CreateIfMissing,
    MustBeNew,
}

/// Bytes of the file system that holds the data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    pub total_bytes: u64,
    pub free_bytes: u64,
}

/// A data directory's disk, and what producers have to leave of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskUsage {
    pub directory: String,
    pub total_bytes: u64,
    pub free_bytes: u64,
    /// So much has to be free for producers to be taken.
    pub needed_bytes: u64,
}

/// One data directory.
///
/// A created, renamed or removed name survives a power failure only after [`Storage::sync_dir`] of its directory.
pub trait Storage: Send + Sync {
    /// What people call the directory, for messages.
    fn place(&self) -> String;
    fn open(&self, path: &str, mode: Mode, existence: Existence) -> io::Result<Arc<dyn File>>;
    /// Names (not paths) in `dir`, sorted; `""` is the data directory itself.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;
    /// Creates `dir` if it is missing. The caller syncs the parent.
    fn create_dir(&self, dir: &str) -> io::Result<()>;
    /// Renames a file, in one step, over whatever file has the name `to`. Directories are never renamed.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file; whoever has it open keeps its content.
    fn remove(&self, path: &str) -> io::Result<()>;
    fn sync_dir(&self, dir: &str) -> io::Result<()>;
    fn space(&self) -> io::Result<Space>;
    /// Whether [`Mode::Direct`] works here: what the file system reports, confirmed by a trial write.
    fn supports_direct(&self) -> bool;
}

/// One open file. Each `open` has a file description of its own, since Linux reports a write-back error once per
/// description.
#[expect(
    clippy::len_without_is_empty,
    reason = "the length is asked of the file system, and may fail"
)]
pub trait File: Send + Sync {
    /// Fills `buf`, or fails with `UnexpectedEof` where the file ends before.
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<()>;
    /// Fills `buf` if that needs no wait for the medium, and says whether it did; if not, what `buf` holds is undefined. An
    /// implementation that cannot tell says that it would have to wait.
    fn read_cached_at(&self, buf: &mut [u8], position: u64) -> io::Result<bool> {
        let _ = (buf, position);
        Ok(false)
    }
    /// Asks the system to have these bytes in memory soon, without waiting for them. It may do nothing, and so never fails.
    fn will_need(&self, position: u64, length: u64) {
        let _ = (position, length);
    }
    /// Writes all of `buf`; short writes and `EINTR` are continued inside.
    fn write_at(&self, buf: &[u8], position: u64) -> io::Result<()>;
    /// Makes everything written so far durable, the length included. Never retried by the caller.
    fn sync(&self) -> io::Result<()>;
    fn len(&self) -> io::Result<u64>;
    /// Nobody is going to read this part again soon: what is in memory of it, and on the medium too, may be given up.
    fn forget(&self, _position: u64, _length: u64) {}
    /// Shortens the file, or lengthens it with zeros. Durable after [`File::sync`], in every mode.
    fn set_len(&self, len: u64) -> io::Result<()>;
}

/// Refuses what a direct file cannot do, on both implementations alike: a file system that is content with
/// multiples of 512 must not hide a mistake that fails on the next one.
fn check_alignment(mode: Mode, buf: &[u8], position: u64) -> io::Result<()> {
    let aligned = position.is_multiple_of(ALIGNMENT as u64)
        && buf.len().is_multiple_of(ALIGNMENT)
        && buf.as_ptr().addr().is_multiple_of(ALIGNMENT);
    if mode == Mode::Buffered || aligned || buf.is_empty() {
        return Ok(());
    }
    let message = format!(
        "direct I/O of {} bytes at {position} is not aligned to {ALIGNMENT}",
        buf.len()
    );
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

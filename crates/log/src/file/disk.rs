//! The file system behind the seam: `std::fs::File` with positioned reads and writes.

mod lock;

pub use lock::{Lock, LockError};

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustix::fs::{Advice, AtFlags, FallocateFlags, OFlags, StatxFlags};
use rustix::io::{Errno, ReadWriteFlags};

use super::aligned::AlignedBuffer;
use super::{ALIGNMENT, Existence, File, Mode, Space, Storage, check_alignment};

/// What users stored is nobody else's to read.
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Written, read back and removed to see whether direct I/O works.
const PROBE: &str = "direct-probe.tmp";

/// Transfers in a row that move less than a whole unit before a direct file counts as stuck: one such short
/// write announces a full disk, and the next attempt reports it.
const STALLS_MAX: u32 = 4;

/// What one request for read-ahead asks for. Linux cuts each to what the device takes at once, and that is rarely less.
const READ_AHEAD_BYTES: u64 = 128 * 1024;

/// A data directory in the file system.
pub struct Disk {
    directory: PathBuf,
    /// Nothing is written, nor opened for writing.
    read_only: bool,
    supports_direct: OnceLock<bool>,
}

impl Disk {
    /// Opens a data directory, and creates it durably if it is missing, with its parents. Nothing in it is
    /// touched: whether it may be is what [`Disk::lock`] tells.
    pub fn open(dir: &Path) -> io::Result<Disk> {
        create_durably(dir)?;
        Ok(Disk {
            directory: dir.to_owned(),
            read_only: false,
            supports_direct: OnceLock::new(),
        })
    }

    /// A data directory that is only looked at, which may lie on a file system that cannot be written to. Whatever would
    /// change it fails.
    pub fn look(dir: &Path) -> io::Result<Disk> {
        if !dir.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Disk {
            directory: dir.to_owned(),
            read_only: true,
            supports_direct: OnceLock::from(false),
        })
    }

    /// Takes the directory for this process, by an exclusive lock on the file `path`, until the lock is dropped.
    ///
    /// Of a directory that is only looked at, the lock is shared by all who look, and nothing is written into the file.
    pub fn lock(&self, path: &str) -> Result<Lock, LockError> {
        match self.read_only {
            true => Lock::share(&self.resolve(path)),
            false => Lock::acquire(&self.resolve(path)),
        }
    }

    /// Fails where the directory is only looked at.
    fn may_change(&self) -> io::Result<()> {
        match self.read_only {
            true => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
            false => Ok(()),
        }
    }

    fn resolve(&self, path: &str) -> PathBuf {
        self.directory.join(path)
    }

    fn open_file(&self, path: &str, mode: Mode, existence: Existence) -> io::Result<DiskFile> {
        let flags = match mode {
            Mode::Buffered => OFlags::empty(),
            Mode::Direct => OFlags::DIRECT,
            Mode::DirectSync => OFlags::DIRECT | OFlags::DSYNC,
        };
        if existence != Existence::MustExist {
            self.may_change()?;
        }
        let file = OpenOptions::new()
            .read(true)
            .write(!self.read_only)
            .create(existence == Existence::CreateIfMissing)
            .create_new(existence == Existence::MustBeNew)
            .mode(FILE_MODE)
            .custom_flags(flags.bits().cast_signed())
            .open(self.resolve(path))?;
        Ok(DiskFile { file, mode })
    }

    /// Older kernels and some file systems report no alignment; there the trial decides alone.
    fn try_direct(&self) -> io::Result<bool> {
        let probe = self.open_file(PROBE, Mode::Buffered, Existence::CreateIfMissing)?;
        let report = rustix::fs::statx(&probe.file, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN)?;
        if report.stx_mask & StatxFlags::DIOALIGN.bits() != 0 {
            let usable = |align: u32| (1..=ALIGNMENT as u32).contains(&align);
            if !usable(report.stx_dio_mem_align) || !usable(report.stx_dio_offset_align) {
                return Ok(false);
            }
        }
        let probe = self.open_file(PROBE, Mode::DirectSync, Existence::MustExist)?;
        let mut written = AlignedBuffer::default();
        written.extend_from_slice(&[0xA5; ALIGNMENT]);
        probe.write_at(written.as_slice(), 0)?;
        let mut read = AlignedBuffer::default();
        read.resize_zeroed(ALIGNMENT);
        probe.read_at(read.as_mut_slice(), 0)?;
        Ok(read.as_slice() == written.as_slice())
    }
}

impl Storage for Disk {
    fn place(&self) -> String {
        self.directory.display().to_string()
    }

    fn open(&self, path: &str, mode: Mode, existence: Existence) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(self.open_file(path, mode, existence)?))
    }

    /// A name that is not UTF-8 is none of ours and left out.
    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.resolve(dir))? {
            names.extend(entry?.file_name().into_string().ok());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        self.may_change()?;
        create_one(&self.resolve(dir))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.may_change()?;
        fs::rename(self.resolve(from), self.resolve(to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.may_change()?;
        fs::remove_file(self.resolve(path))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        sync_directory(&self.resolve(dir))
    }

    fn space(&self) -> io::Result<Space> {
        let report = rustix::fs::statvfs(&self.directory)?;
        Ok(Space {
            total_bytes: report.f_blocks.saturating_mul(report.f_frsize),
            // What is kept back for the superuser is not ours to count on.
            free_bytes: report.f_bavail.saturating_mul(report.f_frsize),
        })
    }

    /// Decided at the first call, which writes into the directory and therefore follows [`Disk::lock`].
    fn supports_direct(&self) -> bool {
        *self.supports_direct.get_or_init(|| {
            let works = self.try_direct().unwrap_or(false);
            if let Err(error) = self.remove(PROBE) {
                tracing::warn!(%error, "cannot remove {PROBE}");
            }
            works
        })
    }
}

struct DiskFile {
    file: fs::File,
    mode: Mode,
}

impl DiskFile {
    /// Where a transfer that was cut short can be continued.
    fn unit(&self) -> usize {
        if self.mode == Mode::Buffered { 1 } else { ALIGNMENT }
    }
}

impl File for DiskFile {
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<()> {
        check_alignment(self.mode, buf, position)?;
        let len = buf.len();
        let step = |done: usize| self.file.read_at(&mut buf[done..], position + done as u64);
        transfer(len, self.unit(), io::ErrorKind::UnexpectedEof, step)
    }

    fn read_cached_at(&self, buf: &mut [u8], position: u64) -> io::Result<bool> {
        if self.mode != Mode::Buffered {
            return Ok(false);
        }
        let mut done = 0;
        while done < buf.len() {
            let mut rest = [IoSliceMut::new(&mut buf[done..])];
            let at = position + done as u64;
            match rustix::io::preadv2(&self.file, &mut rest, at, ReadWriteFlags::NOWAIT) {
                // The rest is not in memory, or behind the end, which a read that may wait then reports.
                Ok(0) | Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                    return Ok(false);
                }
                Ok(read) => done += read,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    fn will_need(&self, position: u64, length: u64) {
        if self.mode != Mode::Buffered {
            return;
        }
        let end = position.saturating_add(length);
        let mut at = position;
        while at < end {
            let length = READ_AHEAD_BYTES.min(end - at);
            // It is advice. Where it fails the read comes from the disk when it is made, and tells why it cannot.
            let _ = rustix::fs::fadvise(&self.file, at, NonZeroU64::new(length), Advice::WillNeed);
            at += length;
        }
    }

    fn write_at(&self, buf: &[u8], position: u64) -> io::Result<()> {
        check_alignment(self.mode, buf, position)?;
        let step = |done: usize| self.file.write_at(&buf[done..], position + done as u64);
        transfer(buf.len(), self.unit(), io::ErrorKind::WriteZero, step)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn forget(&self, position: u64, length: u64) {
        // Advice: a file system that does not take it keeps what it has.
        let _ = rustix::fs::fadvise(&self.file, position, NonZeroU64::new(length), Advice::DontNeed);
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let now = self.len()?;
        if len > now {
            // The space is taken now, so that later writes do not run out of it, nor wait for its allocation.
            match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), now, len - now) {
                Err(Errno::OPNOTSUPP) => {}
                result => return result.map_err(io::Error::from),
            }
        }
        self.file.set_len(len)
    }
}

/// Calls `step(done)` until `len` bytes are through. An interrupted call is repeated, and one that was cut short
/// is continued at the last multiple of `unit`; `stuck` is the error when nothing moves any more.
fn transfer(
    len: usize,
    unit: usize,
    stuck: io::ErrorKind,
    mut step: impl FnMut(usize) -> io::Result<usize>,
) -> io::Result<()> {
    let mut done = 0;
    let mut stalls = 0;
    while done < len {
        let moved = match step(done) {
            Ok(moved) => moved,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let progress = moved - moved % unit;
        done += progress;
        stalls = if progress == 0 { stalls + 1 } else { 0 };
        if moved == 0 || stalls == STALLS_MAX {
            return Err(stuck.into());
        }
    }
    Ok(())
}

/// Creates `dir` and what is missing above it, each made durable by a flush of its parent.
///
/// A directory that is there already is flushed too: the process that created it may have been killed before it
/// could. Where the parent may not even be read, it was made by someone with other rights, not by us.
fn create_durably(dir: &Path) -> io::Result<()> {
    let parent = match dir.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Ok(()),
    };
    let existed = dir.is_dir();
    match create_one(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create_durably(parent)?;
            create_one(dir)?;
        }
        created => created?,
    }
    match sync_directory(parent) {
        Err(error) if existed && error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        synced => synced,
    }
}

fn create_one(dir: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(DIRECTORY_MODE).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        created => created,
    }
}

fn sync_directory(dir: &Path) -> io::Result<()> {
    let only_a_directory = OFlags::DIRECTORY.bits().cast_signed();
    OpenOptions::new()
        .read(true)
        .custom_flags(only_a_directory)
        .open(dir)?
        .sync_all()
}

#[cfg(test)]
mod tests;

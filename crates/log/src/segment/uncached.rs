//! A segment's file, read past the page cache. What is rewritten is read once from front to back: it would push out what
//! readers want, and the system's own reading ahead, which may be many megabytes at once, keeps the WAL's flushes waiting.

use std::io;
use std::sync::Arc;

use crate::file::aligned::BufferPool;
use crate::file::{Existence, File, Mode, Storage};

use super::SegmentId;

pub(crate) struct Uncached {
    file: Arc<dyn File>,
    buffers: BufferPool,
}

impl Uncached {
    /// Opens a segment once more, on a file system that can read directly.
    pub(crate) fn open(storage: &dyn Storage, id: SegmentId, buffers: &BufferPool) -> io::Result<Uncached> {
        Ok(Uncached {
            file: storage.open(&id.path(), Mode::Direct, Existence::MustExist)?,
            buffers: buffers.clone(),
        })
    }
}

impl File for Uncached {
    /// Whole pages are read. A segment's length is a multiple of theirs.
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<()> {
        let (pages, skip) = self.buffers.read_pages(&*self.file, position, buf.len())?;
        buf.copy_from_slice(&pages.as_slice()[skip..skip + buf.len()]);
        Ok(())
    }

    fn write_at(&self, buf: &[u8], position: u64) -> io::Result<()> {
        self.file.write_at(buf, position)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
}

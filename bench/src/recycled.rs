//! The fastest durable writes that Linux offers without a kernel bypass: a file that was written with zeros once and is then
//! overwritten in a circle, so that no write changes metadata, through descriptors with `O_DIRECT|O_DSYNC`, so that a returned
//! write is on disk and was never copied.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use anyhow::{Context, Result, ensure};
use rustix::fs::OFlags;

/// The unit and alignment of direct writes.
pub(crate) const BLOCK_BYTES: usize = 4096;
/// Buffers start on a huge page's boundary, so that pinning them for a write touches few pages where the kernel gives such pages.
const BUFFER_ALIGN: usize = 2 << 20;
const ZERO_STEP_BYTES: usize = 1 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Durability {
    /// A write returns when the bytes are on disk.
    Disk,
    /// A write returns when the kernel has the bytes.
    Os,
}

impl Durability {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Os => "os",
        }
    }
}

/// Memory for direct writes.
#[derive(Debug)]
pub(crate) struct AlignedBuffer {
    memory: Vec<u8>,
    start: usize,
    capacity: usize,
}

impl AlignedBuffer {
    pub(crate) fn new(capacity: usize) -> Self {
        let mut memory = vec![0; capacity + BUFFER_ALIGN];
        let start = memory.as_ptr().align_offset(BUFFER_ALIGN);
        // Pages are touched here, not in the middle of a measurement.
        memory.fill(1);
        Self {
            memory,
            start,
            capacity,
        }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.capacity]
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.capacity]
    }
}

/// Creates the file, or grows it to `file_bytes`, and writes zeros over all of it.
pub(crate) fn prepare(path: &Path, file_bytes: u64) -> Result<()> {
    ensure!(
        file_bytes > 0 && file_bytes.is_multiple_of(ZERO_STEP_BYTES as u64),
        "the file is whole MiB long"
    );
    let mut file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    let zeros = vec![0; ZERO_STEP_BYTES];
    for _ in 0..file_bytes / ZERO_STEP_BYTES as u64 {
        file.write_all(&zeros)?;
    }
    file.sync_all()?;
    Ok(())
}

/// A descriptor of its own onto a prepared file, since Linux reports a write-back error once per description.
#[derive(Debug)]
pub(crate) struct Lane {
    file: File,
}

impl Lane {
    pub(crate) fn open(path: &Path, durability: Durability) -> Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true);
        if durability == Durability::Disk {
            options.custom_flags((OFlags::DIRECT | OFlags::DSYNC).bits() as i32);
        }
        let file = options
            .open(path)
            .with_context(|| format!("cannot open {} for {} writes", path.display(), durability.name()))?;
        Ok(Self { file })
    }

    pub(crate) fn write(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.file
            .write_all_at(bytes, offset)
            .context("a write of the recycled file failed")
    }
}

/// Where the next write goes: offsets in a circle, each in one piece.
#[derive(Debug)]
pub(crate) struct Circle {
    file_bytes: u64,
    next: u64,
}

impl Circle {
    pub(crate) fn new(file_bytes: u64) -> Self {
        Self { file_bytes, next: 0 }
    }

    pub(crate) fn take(&mut self, bytes: u64) -> u64 {
        if self.next + bytes > self.file_bytes {
            self.next = 0;
        }
        let offset = self.next;
        self.next += bytes;
        offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_never_splits_a_write() {
        let mut circle = Circle::new(10);
        assert_eq!(
            [circle.take(4), circle.take(4), circle.take(4), circle.take(6)],
            [0, 4, 0, 4]
        );
    }

    #[test]
    fn buffers_are_aligned() {
        let mut buffer = AlignedBuffer::new(3 * BLOCK_BYTES);
        assert_eq!(buffer.as_slice().as_ptr() as usize % BUFFER_ALIGN, 0);
        assert_eq!(buffer.as_mut_slice().len(), 3 * BLOCK_BYTES);
    }
}

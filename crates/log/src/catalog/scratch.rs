//! A catalog's file of which nothing changes: redb writes to a file even to read it, and what it writes stays in memory.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use redb::StorageBackend;

use crate::file::File;
use crate::lock::lock;
use crate::sync::Mutex;

const PAGE_BYTES: u64 = 4096;

pub(super) struct Scratch {
    file: Arc<dyn File>,
    state: Mutex<State>,
}

struct State {
    len: u64,
    /// Up to here the file counts, where no page is in its place.
    file_len: u64,
    /// What was written, by the number of the page.
    pages: BTreeMap<u64, Vec<u8>>,
}

impl Scratch {
    pub(super) fn new(file: Arc<dyn File>) -> io::Result<Scratch> {
        let len = file.len()?;
        let state = State {
            len,
            file_len: len,
            pages: BTreeMap::new(),
        };
        Ok(Scratch {
            file,
            state: Mutex::new(state),
        })
    }

    fn page(&self, state: &State, number: u64) -> io::Result<Vec<u8>> {
        if let Some(page) = state.pages.get(&number) {
            return Ok(page.clone());
        }
        let mut page = vec![0; PAGE_BYTES as usize];
        let start = number * PAGE_BYTES;
        let there = state.file_len.saturating_sub(start).min(PAGE_BYTES) as usize;
        if there > 0 {
            self.file.read_at(&mut page[..there], start)?;
        }
        Ok(page)
    }
}

impl StorageBackend for Scratch {
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.state).len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = lock(&self.state);
        if offset.saturating_add(out.len() as u64) > state.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (number, within, bytes) in pieces(offset, out.len()) {
            out[bytes].copy_from_slice(&self.page(&state, number)?[within]);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = lock(&self.state);
        let kept = (len % PAGE_BYTES) as usize;
        if len < state.len && kept > 0 {
            let mut page = self.page(&state, len / PAGE_BYTES)?;
            page[kept..].fill(0);
            state.pages.insert(len / PAGE_BYTES, page);
        }
        state.pages.retain(|number, _| number * PAGE_BYTES < len);
        state.file_len = state.file_len.min(len);
        state.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = lock(&self.state);
        for (number, within, bytes) in pieces(offset, data.len()) {
            let mut page = self.page(&state, number)?;
            page[within].copy_from_slice(&data[bytes]);
            state.pages.insert(number, page);
        }
        state.len = state.len.max(offset + data.len() as u64);
        Ok(())
    }
}

/// The pages that a stretch touches: number, range within the page, range within the stretch.
fn pieces(offset: u64, length: usize) -> impl Iterator<Item = (u64, Range<usize>, Range<usize>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let position = offset + at as u64;
        let start = (position % PAGE_BYTES) as usize;
        let count = (PAGE_BYTES as usize - start).min(length - at);
        let piece = (position / PAGE_BYTES, start..start + count, at..at + count);
        at += count;
        (count > 0).then_some(piece)
    })
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("catalog, to be read alone")
    }
}

//! Slices of commit blocks that are in the WAL alone: those that lie near each other are read with one read.
//!
//! A log that was written a little at a time has a small slice in each of very many blocks; a read for each would take
//! longer than all that lies between them.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use firth_batch::crc32c;

use crate::stored::Place;
use crate::view::TailExtent;
use crate::wal::WalFile;

/// What is read at once at most, but for one slice that is longer.
const READ_BYTES_MAX: u64 = 1024 * 1024;
/// What lies between two slices is read with them where it is no more than this.
const GAP_BYTES_MAX: u64 = 64 * 1024;

/// Gives slices in their order, with their bytes; `None` where the checksum of these is wrong. Blocks the thread.
pub(crate) struct WalSlices {
    slices: std::vec::IntoIter<(Place, TailExtent)>,
    window: Option<Window>,
}

/// A stretch of a file that was read.
struct Window {
    file: Arc<WalFile>,
    position: u64,
    bytes: Bytes,
}

impl WalSlices {
    pub(crate) fn new(slices: Vec<(Place, TailExtent)>) -> WalSlices {
        WalSlices {
            slices: slices.into_iter(),
            window: None,
        }
    }

    fn read(&mut self, place: &Place, extent: &TailExtent) -> io::Result<Bytes> {
        let (position, end) = span(place, extent);
        let length = extent.length as usize;
        if let Some(window) = &self.window
            && let Some(found) = window.slice(place, position, length)
        {
            return Ok(found);
        }
        let ahead = self.end_of_run(place, position, end);
        if ahead > end
            && let Ok(bytes) = place.file.read(position, (ahead - position) as usize)
        {
            let window = self.window.insert(Window {
                file: place.file.clone(),
                position,
                bytes,
            });
            if let Some(found) = window.slice(place, position, length) {
                return Ok(found);
            }
        }
        // Alone; or what lies behind it cannot be read, which is nothing to this one.
        place.file.read(position, length)
    }

    /// The end of the last slice that is worth reading together with the one from `position` to `end`.
    fn end_of_run(&self, place: &Place, position: u64, mut end: u64) -> u64 {
        for (next, extent) in self.slices.as_slice() {
            let (next_position, next_end) = span(next, extent);
            let is_near = Arc::ptr_eq(&next.file, &place.file)
                && (end..=end.saturating_add(GAP_BYTES_MAX)).contains(&next_position)
                && next_end.saturating_sub(position) <= READ_BYTES_MAX;
            if !is_near {
                break;
            }
            end = next_end;
        }
        end
    }
}

impl Iterator for WalSlices {
    type Item = (TailExtent, io::Result<Option<Bytes>>);

    fn next(&mut self) -> Option<Self::Item> {
        let (place, extent) = self.slices.next()?;
        let read = self.read(&place, &extent);
        let checked = read.map(|slice| (crc32c(&slice) == extent.crc).then_some(slice));
        Some((extent, checked))
    }
}

impl Window {
    /// A copy where it is a small part of the window, of which the rest would be kept in memory with it.
    fn slice(&self, place: &Place, position: u64, length: usize) -> Option<Bytes> {
        if !Arc::ptr_eq(&self.file, &place.file) {
            return None;
        }
        let start = usize::try_from(position.checked_sub(self.position)?).ok()?;
        let slice = self.bytes.get(start..start.checked_add(length)?)?;
        Some(if length < self.bytes.len() / 2 {
            Bytes::copy_from_slice(slice)
        } else {
            self.bytes.slice_ref(slice)
        })
    }
}

/// Where a slice lies in its file.
fn span(place: &Place, extent: &TailExtent) -> (u64, u64) {
    let position = place.position + u64::from(extent.position);
    (position, position + u64::from(extent.length))
}

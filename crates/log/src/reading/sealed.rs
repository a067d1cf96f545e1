//! Reading what is sealed. Data that is in the page cache is copied on the reader's own task, and others have their
//! turn in between: a hop to a blocking thread costs more than a small read does, and a thread that copies for
//! milliseconds keeps lanes from their core. What has to come from the disk, now or for the next read, is for a blocking thread.
//!
//! A reader goes on from where it stopped, so what follows a read is asked for before it is wanted. That is no more than
//! what was asked for itself: a thousand readers, or one of a thousand logs, fill no more of the page cache than they read.
//!
//! Nothing is dropped from the page cache behind a reader. Segments are written past it, so it holds what was read and
//! nothing else; what was read once is the first that Linux gives up; and the tail is in the memory of this process.
//!
//! `sendfile` would save the copy out of the page cache, and serve bytes that no checksum vouches for: what is verified has
//! to be what is sent.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use firth_batch::Batches;

use super::{Found, Wanted, blocking, find_extent, segment_error};
use crate::core::Core;
use crate::frame::ReadError;
use crate::segment::{Extent, Piece};
use crate::segments::Sealed;
use crate::stats::Counters;
use crate::view::{SealedExtent, View};

/// What is copied and verified at once, some 50 us of work. It fits into a core's own cache.
const STEP_BYTES: usize = 256 * 1024;
/// What a task copies for each of the 128 units of budget that the runtime gives it: 2 MiB in all, less than 500 us of work.
const BUDGET_BYTES: usize = 16 * 1024;
/// What is asked for beyond a read is bounded by this, too.
const AHEAD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What was found, and that nothing else lies before this offset.
pub(super) enum SealedRead {
    To(Found, i64),
    /// A segment was removed since it was looked for, so the view locates the offset elsewhere or refuses it.
    Moved,
}

/// Reads as many extents in a row as are wanted, from the located one on.
pub(super) async fn read(
    core: &Arc<Core>,
    view: &Arc<View>,
    located: SealedExtent,
    wanted: Wanted,
) -> Result<SealedRead, ReadError> {
    let mut reading = Reading::new(core, view, located, wanted);
    if reading.is_ahead_cached() {
        loop {
            match reading.step(From::PageCache)? {
                Step::More => take_turns(STEP_BYTES).await,
                Step::Done => {
                    take_turns(reading.found.bytes % STEP_BYTES).await;
                    Counters::add(&core.counters.cached_reads, 1);
                    return Ok(reading.end());
                }
                Step::NotCached => break,
            }
        }
    }
    Counters::add(&core.counters.disk_reads, 1);
    // No more is read than there is room for, or one batch.
    blocking(core, 0, move || {
        reading.ask_for_all();
        while let Step::More = reading.step(From::Disk)? {}
        Ok(reading.end())
    })
    .await
}

/// Counts what was copied against what a task may do before others have their turn. That is the runtime's own count, which
/// goes on over all reads of a task: giving up the core after each would wake another, to no purpose.
async fn take_turns(bytes: usize) {
    for _ in 0..=bytes / BUDGET_BYTES {
        tokio::task::consume_budget().await;
    }
}

/// A read while it goes through the extents.
struct Reading {
    core: Arc<Core>,
    view: Arc<View>,
    /// Those that are read, and behind them those that the next read may want.
    extents: Vec<SealedExtent>,
    /// The extent that is read.
    nth: usize,
    at: i64,
    wanted: Wanted,
    found: Found,
    moved: bool,
}

#[derive(Clone, Copy)]
enum From {
    PageCache,
    Disk,
}

enum Step {
    More,
    Done,
    NotCached,
}

/// A part of an extent, as positions in the file.
struct Stretch {
    segment: Arc<Sealed>,
    extent: Extent,
    positions: Range<u64>,
}

impl Reading {
    fn new(core: &Arc<Core>, view: &Arc<View>, located: SealedExtent, wanted: Wanted) -> Reading {
        let bytes = (wanted.max_bytes as u64).saturating_add(ahead_bytes(&wanted));
        let extents = view.sealed_from(wanted.from, wanted.to, bytes);
        let first = extents.first().map(|extent| extent.segment);
        Reading {
            core: core.clone(),
            view: view.clone(),
            moved: first != Some(located.segment),
            extents,
            nth: 0,
            at: wanted.from,
            wanted,
            found: Found::default(),
        }
    }

    fn end(self) -> SealedRead {
        match self.moved && self.found.bytes == 0 {
            true => SealedRead::Moved,
            false => SealedRead::To(self.found, self.at),
        }
    }

    /// Reads the next piece. An error behind what was found is left to the read that begins there.
    fn step(&mut self, from: From) -> Result<Step, ReadError> {
        match self.try_step(from) {
            Err(_) if self.found.bytes > 0 => Ok(Step::Done),
            step => step,
        }
    }

    fn try_step(&mut self, from: From) -> Result<Step, ReadError> {
        let Some(extent) = self.extents.get(self.nth).filter(|_| !self.moved) else {
            return Ok(Step::Done);
        };
        if matches!(from, From::PageCache) && !self.is_at_hand(extent) {
            return Ok(Step::NotCached);
        }
        let found = find_extent(&self.core, self.view.log(), extent)
            .map_err(|error| segment_error(&self.core, &self.view, error))?;
        let Some((segment, stored)) = found else {
            self.moved = true;
            return Ok(Step::Done);
        };
        let rest = self.wanted.max_bytes.saturating_sub(self.found.bytes);
        if self.found.bytes > 0 && segment.chunk_bytes(&stored, self.at) > rest as u64 {
            return Ok(Step::Done);
        }
        let bytes_max = rest.min(STEP_BYTES);
        let piece = match from {
            From::PageCache => segment.read_cached(&stored, self.at, bytes_max),
            From::Disk => segment.read_piece(&stored, self.at, bytes_max).map(Some),
        };
        match piece.map_err(|error| segment_error(&self.core, &self.view, error))? {
            Some(piece) => Ok(self.take(&piece)),
            None => Ok(Step::NotCached),
        }
    }

    fn take(&mut self, piece: &Piece) -> Step {
        let batches = before(&piece.batches, self.wanted.to);
        let is_cut = batches.len() < piece.batches.len();
        let has_room = self
            .found
            .take(&batches, piece.batches.len(), self.at, self.wanted.max_bytes);
        if is_cut || !has_room && !batches.is_empty() {
            return Step::Done;
        }
        self.at = piece.next_offset;
        if self
            .extents
            .get(self.nth)
            .is_some_and(|extent| extent.next_offset <= self.at)
        {
            self.nth += 1;
        }
        Step::More
    }

    /// Whether it can be looked for without a wait for the disk.
    fn is_at_hand(&self, extent: &SealedExtent) -> bool {
        let sealed = self.core.disk().segments.get(extent.segment);
        sealed.is_none_or(|sealed| sealed.has_extents_at_hand())
    }

    /// Whether what the next read will want is in the page cache. As readers go forward, its last byte tells.
    fn is_ahead_cached(&self) -> bool {
        let skip = self.wanted.max_bytes as u64;
        let Some(ahead) = self.stretches(skip, ahead_bytes(&self.wanted), From::PageCache) else {
            return false;
        };
        let last = ahead.last();
        last.is_none_or(|ahead| ahead.segment.is_cached(ahead.positions.end.saturating_sub(1)))
    }

    /// Has the disk work on all that is wanted, and on what the next read will want, before the first of it is waited for.
    fn ask_for_all(&self) {
        let bytes = (self.wanted.max_bytes as u64).saturating_add(ahead_bytes(&self.wanted));
        for stretch in self.stretches(0, bytes, From::Disk).unwrap_or_default() {
            stretch.segment.will_need(&stretch.extent, &stretch.positions);
        }
    }

    /// Where `bytes` bytes of batches lie that follow `skip` others; `None` where that cannot be told without the disk.
    fn stretches(&self, mut skip: u64, mut bytes: u64, from: From) -> Option<Vec<Stretch>> {
        let mut stretches = Vec::new();
        for extent in self.extents.iter().skip(self.nth) {
            if matches!(from, From::PageCache) && !self.is_at_hand(extent) {
                return None;
            }
            // Whoever reads it learns what is wrong with it.
            let Ok(Some((segment, extent))) = find_extent(&self.core, self.view.log(), extent) else {
                break;
            };
            let all = segment.positions(&extent, self.at);
            let start = all.end.min(all.start.saturating_add(skip));
            let end = all.end.min(start.saturating_add(bytes));
            skip -= skip.min(all.end - all.start);
            bytes -= end - start;
            if end > start {
                stretches.push(Stretch {
                    segment,
                    extent,
                    positions: start..end,
                });
            }
        }
        Some(stretches)
    }
}

fn ahead_bytes(wanted: &Wanted) -> u64 {
    wanted.max_bytes.min(AHEAD_BYTES_MAX) as u64
}

/// The batches that begin before an offset.
fn before(batches: &Bytes, to: i64) -> Bytes {
    if to == i64::MAX {
        return batches.clone();
    }
    let headers = Batches::new(batches).map_while(Result::ok);
    let kept = headers.take_while(|(header, _)| header.base_offset < to);
    let length: usize = kept.map(|(_, batch)| batch.len()).sum();
    batches.slice(..length)
}

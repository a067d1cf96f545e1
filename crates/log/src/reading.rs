//! Reading a log: from memory where it is there, else from a segment or the WAL.

mod newest;
mod sealed;

pub(crate) use self::newest::newest;

use std::sync::Arc;

use bytes::Bytes;
use firth_batch::Batches;
use smallvec::SmallVec;

use self::sealed::SealedRead;
use crate::core::Core;
use crate::frame::{Bounds, LogId, Read, ReadError, Seek};
use crate::segment;
use crate::segments::Sealed;
use crate::stats::Counters;
use crate::stored::{Place, Slice};
use crate::sync::run_blocking;
use crate::view::{Located, SealedExtent, Source, TailExtent, View};
use crate::wal_slices::WalSlices;

/// Reads that go to the disk at once; what is over this waits its turn, so that readers of old data leave the disk to
/// producers.
pub(crate) const DISK_READS_MAX: usize = 4;
/// Bytes that these reads may together take beyond what was asked for, but for one slice of a block that is larger.
const DISK_READ_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How many times what it holds a found slice may keep in memory.
const PINNED_RATIO: usize = 4;
/// What a scan by timestamp reads at once.
const SCAN_BYTES: usize = 1024 * 1024;

/// Batches that were found.
#[derive(Default)]
struct Found {
    slices: SmallVec<[Bytes; 4]>,
    bytes: usize,
}

/// What a tail source gives.
enum Tail {
    Read(Found),
    /// What has to be fetched from the WAL before reading can go on.
    Wal(Vec<(Place, TailExtent)>),
    /// The block was sealed and evicted since it was located.
    Moved,
}

pub(crate) async fn read_log(
    core: &Arc<Core>,
    log: LogId,
    from: i64,
    max_bytes: usize,
) -> Result<Read, ReadError> {
    let view = core.view(log).ok_or(ReadError::UnknownLog(log))?;
    let mut at = from;
    loop {
        let Located {
            bounds,
            source,
            from,
            to,
        } = view.locate(at, max_bytes)?;
        at = from;
        let wanted = Wanted {
            from: at,
            to,
            max_bytes,
        };
        let (found, next_offset) = match source {
            Source::Nothing => return Ok(Found::default().at(bounds)),
            Source::Sealed(extent) => match sealed::read(core, &view, extent, wanted).await? {
                SealedRead::To(found, next_offset) => (found, next_offset),
                SealedRead::Moved => continue,
            },
            Source::Tail(extents) => match from_memory(extents, at, max_bytes) {
                Tail::Read(found) => {
                    Counters::add(&core.counters.tail_reads, 1);
                    return Ok(found.at(bounds));
                }
                Tail::Wal(slices) => {
                    let next_offset = slices.last().map_or(at, |(_, extent)| extent.next_offset);
                    (from_wal(core, &view, slices, wanted).await?, next_offset)
                }
                Tail::Moved => continue,
            },
        };
        if found.bytes > 0 {
            return Ok(found.at(bounds));
        }
        // Nothing is left between here and the end of what was read: not every offset is a record's.
        at = next_offset.min(to).max(at.saturating_add(1));
    }
}

/// Slices as many extents as memory has in a row, or says which lie in the WAL.
fn from_memory(extents: Vec<TailExtent>, from: i64, max_bytes: usize) -> Tail {
    let mut found = Found::default();
    let mut in_wal = Vec::new();
    for extent in extents {
        match extent.block.slice(extent.position, extent.length) {
            Slice::Memory(bytes, pinned) if in_wal.is_empty() => {
                if !found.take(&bytes, pinned, from, max_bytes) {
                    break;
                }
            }
            Slice::Wal(place) if found.bytes == 0 => in_wal.push((place, extent)),
            Slice::Gone if found.bytes == 0 && in_wal.is_empty() => return Tail::Moved,
            _ => break,
        }
    }
    if in_wal.is_empty() {
        Tail::Read(found)
    } else {
        Tail::Wal(in_wal)
    }
}

impl Found {
    fn at(self, bounds: Bounds) -> Read {
        Read {
            slices: self.slices,
            bytes: self.bytes,
            bounds,
        }
    }

    /// Takes whole batches of `bytes` that end after `from`, while they fit. Says whether there is room for more.
    ///
    /// Who reads may keep what is found for long. Where that is little of a buffer of `pinned` bytes, it is copied, so that
    /// what readers keep is at most [`PINNED_RATIO`] times what they read.
    fn take(&mut self, bytes: &Bytes, pinned: usize, from: i64, max_bytes: usize) -> bool {
        let rest = max_bytes.saturating_sub(self.bytes);
        let (range, all) = within(bytes, from, rest, self.bytes == 0);
        if !range.is_empty() {
            self.bytes += range.len();
            let slice = bytes.slice(range);
            self.slices.push(match slice.len() < pinned / PINNED_RATIO {
                true => Bytes::copy_from_slice(&slice),
                false => slice,
            });
        }
        all && self.bytes < max_bytes
    }
}

/// The range of whole batches from the one that contains `from`, of at most `max_bytes` but at least one batch where
/// `at_least_one` says so, and whether it reaches the end.
fn within(bytes: &[u8], from: i64, max_bytes: usize, at_least_one: bool) -> (std::ops::Range<usize>, bool) {
    let mut start = 0;
    let mut end = 0;
    for batch in Batches::new(bytes) {
        let Ok((header, batch)) = batch else { break };
        if header.next_offset() <= from {
            start += batch.len();
            end = start;
            // What follows a slice's start is checked again below, so nothing else is to be done for it.
            continue;
        }
        let first = end == start;
        if end + batch.len() - start > max_bytes && !(first && at_least_one) {
            return (start..end, false);
        }
        end += batch.len();
        // Where everything that is left fits, walking on would find nothing new.
        if bytes.len() - start <= max_bytes {
            return (start..bytes.len(), true);
        }
    }
    (start..end, end == bytes.len())
}

/// Whole batches from the one that contains `from`, none of which begins at `to` or behind.
#[derive(Clone, Copy)]
struct Wanted {
    from: i64,
    to: i64,
    max_bytes: usize,
}

async fn from_wal(
    core: &Arc<Core>,
    view: &Arc<View>,
    slices: Vec<(Place, TailExtent)>,
    wanted: Wanted,
) -> Result<Found, ReadError> {
    Counters::add(&core.counters.disk_reads, 1);
    let (task_core, view) = (core.clone(), view.clone());
    // Slices of blocks are read whole, for their checksums.
    let bytes: usize = slices.iter().map(|(_, extent)| extent.length as usize).sum();
    let beyond = bytes.saturating_sub(wanted.max_bytes);
    blocking(core, beyond, move || {
        let mut found = Found::default();
        // None of these slices begins behind a hole.
        for (extent, slice) in WalSlices::new(slices) {
            let slice = match checked(&task_core, &view, &extent, slice) {
                // What precedes it is served, and the next read reports it.
                Err(ReadError::Damaged { .. }) if found.bytes > 0 => break,
                slice => slice?,
            };
            if !found.take(&slice, slice.len(), wanted.from, wanted.max_bytes) {
                break;
            }
        }
        Ok(found)
    })
    .await
}

/// Runs a read on a blocking thread, a limited number of them at once: fewer where they take many bytes that nobody has
/// made room for.
async fn blocking<T: Send + 'static>(
    core: &Arc<Core>,
    beyond: usize,
    read: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
) -> Result<T, ReadError> {
    let permit = core
        .disk_reads
        .clone()
        .acquire_many_owned(permits(beyond))
        .await
        .expect("the semaphore is never closed");
    run_blocking(move || {
        let _permit = permit;
        read()
    })
    .await
}

/// Of [`DISK_READS_MAX`], so that all reads together take [`DISK_READ_BYTES_MAX`].
fn permits(beyond: usize) -> u32 {
    let permits = beyond.div_ceil(DISK_READ_BYTES_MAX / DISK_READS_MAX);
    u32::try_from(permits.clamp(1, DISK_READS_MAX)).unwrap_or(1)
}

fn checked(
    core: &Core,
    view: &View,
    extent: &TailExtent,
    slice: std::io::Result<Option<Bytes>>,
) -> Result<Bytes, ReadError> {
    slice?.ok_or_else(|| {
        damaged(
            core,
            view,
            extent.first_offset,
            extent.next_offset,
            "a block of the WAL",
        )
    })
}

/// `None` where the segment is not there any more, since the log was trimmed or deleted, or it was rewritten.
fn find_extent(
    core: &Core,
    log: LogId,
    extent: &SealedExtent,
) -> Result<Option<(Arc<Sealed>, segment::Extent)>, segment::Error> {
    let Some(sealed) = core.disk().segments.get(extent.segment) else {
        return Ok(None);
    };
    let damaged = |what| segment::Error::Damaged {
        segment: extent.segment,
        log: log.0,
        first_offset: extent.first_offset,
        next_offset: extent.next_offset,
        what,
    };
    match sealed.extent(log.0) {
        Ok(Some(stored)) => Ok(Some((sealed, stored))),
        Ok(None) => Err(damaged("the list of extents has changed")),
        Err(segment::Error::DamagedFooter { what, .. }) => Err(damaged(what)),
        Err(error) => Err(error),
    }
}

fn segment_error(core: &Core, view: &View, error: segment::Error) -> ReadError {
    match error {
        segment::Error::Io { source, .. } => ReadError::Io(source),
        segment::Error::Damaged {
            first_offset,
            next_offset,
            ..
        } => damaged(core, view, first_offset, next_offset, "a segment"),
        other => ReadError::Io(std::io::Error::other(other.to_string())),
    }
}

/// Quarantines the stretch, so that it is known and named from now on.
fn damaged(core: &Core, view: &View, first_offset: i64, next_offset: i64, place: &str) -> ReadError {
    core.quarantine(view.log(), first_offset, next_offset, place);
    ReadError::Damaged {
        log: view.log(),
        first_offset,
        next_offset,
    }
}

/// Finds the first batch with a timestamp at or after the sought one, or with the largest. What is damaged is passed: of
/// when its records were nothing is known, and who reads on from what is found has not asked for them.
pub(crate) async fn find(core: &Arc<Core>, log: LogId, seek: Seek) -> Result<Option<Bytes>, ReadError> {
    let view = core.view(log).ok_or(ReadError::UnknownLog(log))?;
    loop {
        let start = view.bounds().start;
        match find_from(core, &view, start, seek).await {
            // The log was trimmed meanwhile, and what it keeps now is what counts.
            Err(ReadError::OutOfRange(now)) if now.start > start => {}
            found => return found,
        }
    }
}

async fn find_from(
    core: &Arc<Core>,
    view: &Arc<View>,
    start: i64,
    seek: Seek,
) -> Result<Option<Bytes>, ReadError> {
    let log = view.log();
    let (sealed, tail) = view.stretches();
    let timestamp = match seek {
        Seek::Timestamp(timestamp) => timestamp,
        Seek::MaxTimestamp => match max_timestamp(core, log, start, &sealed, &tail).await? {
            Some(timestamp) => timestamp,
            None => return Ok(None),
        },
    };
    let reaches = |max_timestamp: i64| max_timestamp >= timestamp;
    for extent in sealed.iter().filter(|extent| reaches(extent.max_timestamp)) {
        let batch = if extent.first_offset < start {
            scan(core, log, start, extent.next_offset, timestamp).await?
        } else {
            match find_sealed(core, view, *extent, timestamp).await {
                Err(ReadError::Damaged { next_offset, .. }) => {
                    scan(core, log, next_offset, extent.next_offset, timestamp).await?
                }
                // It was rewritten or trimmed since.
                Ok(None) => {
                    let from = view.bounds().start.max(extent.first_offset);
                    scan(core, log, from, extent.next_offset, timestamp).await?
                }
                batch => batch?,
            }
        };
        if batch.is_some() {
            return Ok(batch);
        }
    }
    for extent in tail.iter().filter(|extent| reaches(extent.max_timestamp)) {
        let from = start.max(extent.first_offset);
        let batch = scan(core, log, from, extent.next_offset, timestamp).await?;
        if batch.is_some() {
            return Ok(batch);
        }
    }
    Ok(None)
}

/// The largest timestamp of what is kept. A stretch of which only a part is kept has to be looked into.
async fn max_timestamp(
    core: &Arc<Core>,
    log: LogId,
    start: i64,
    sealed: &[SealedExtent],
    tail: &[TailExtent],
) -> Result<Option<i64>, ReadError> {
    let sealed = sealed
        .iter()
        .map(|extent| (extent.first_offset, extent.next_offset, extent.max_timestamp));
    let tail = tail
        .iter()
        .map(|extent| (extent.first_offset, extent.next_offset, extent.max_timestamp));
    let mut max = None;
    for (first_offset, next_offset, mut timestamp) in sealed.chain(tail) {
        if first_offset < start {
            let mut at = start;
            timestamp = i64::MIN;
            while at < next_offset {
                let Some(read) = read_past_damage(core, log, at, next_offset).await? else {
                    break;
                };
                let batches = read.slices.iter().flat_map(|slice| Batches::new(slice));
                let headers = batches.map_while(Result::ok).map(|(header, _)| header);
                let Some(end) = headers
                    .filter(|header| header.base_offset < next_offset)
                    .inspect(|header| timestamp = timestamp.max(header.max_timestamp))
                    .last()
                    .map(|header| header.next_offset())
                else {
                    break;
                };
                at = end;
            }
        }
        max = max.max(Some(timestamp));
    }
    Ok(max)
}

async fn find_sealed(
    core: &Arc<Core>,
    view: &Arc<View>,
    extent: SealedExtent,
    timestamp: i64,
) -> Result<Option<Bytes>, ReadError> {
    let (task_core, task_view) = (core.clone(), view.clone());
    blocking(core, 0, move || {
        let found = find_extent(&task_core, task_view.log(), &extent).and_then(|found| match found {
            Some((segment, stored)) => segment.find(&stored, timestamp),
            None => Ok(None),
        });
        found.map_err(|error| segment_error(&task_core, &task_view, error))
    })
    .await
}

/// Reads from an offset, or from behind what is damaged there: a search finds what is left. `None` where that is beyond
/// `to`.
async fn read_past_damage(
    core: &Arc<Core>,
    log: LogId,
    mut from: i64,
    to: i64,
) -> Result<Option<Read>, ReadError> {
    while from < to {
        match read_log(core, log, from, SCAN_BYTES).await {
            Err(ReadError::Damaged { next_offset, .. }) if next_offset > from => from = next_offset,
            read => return read.map(Some),
        }
    }
    Ok(None)
}

/// Looks at every batch between two offsets.
async fn scan(
    core: &Arc<Core>,
    log: LogId,
    from: i64,
    to: i64,
    timestamp: i64,
) -> Result<Option<Bytes>, ReadError> {
    let mut at = from;
    while at < to {
        let Some(read) = read_past_damage(core, log, at, to).await? else {
            break;
        };
        for slice in &read.slices {
            if let Some(batch) = first_at(slice, from, timestamp) {
                return Ok(Some(batch));
            }
        }
        let last = read
            .slices
            .last()
            .and_then(|slice| Batches::new(slice).map_while(Result::ok).last());
        match last {
            Some((header, _)) => at = header.next_offset(),
            None => break,
        }
    }
    Ok(None)
}

/// The first batch that is kept and reaches the timestamp.
fn first_at(bytes: &Bytes, start: i64, timestamp: i64) -> Option<Bytes> {
    Batches::new(bytes)
        .map_while(Result::ok)
        .find(|(header, _)| header.next_offset() > start && header.max_timestamp >= timestamp)
        .map(|(_, batch)| bytes.slice_ref(batch))
}

//! Rewriting one log as it was asked for.

use std::io;

use firth_batch::{Batches, LatestOffsets};
use tokio::sync::oneshot;

use super::plan::Plan;
use super::{Pace, rewrite_segments};
use crate::background::is_full_disk;
use crate::compaction::{self, Compaction, Keep, LatestOfKey, Offsets, RewriteError, Rewritten};
use crate::core::{Core, Disk};
use crate::frame::LogId;
use crate::rewrite::{Error, Selection, Sources};
use crate::segment;
use crate::sync::block_on;
use crate::view::SealedExtent;

/// Extents of so many bytes are rewritten into one segment.
const GROUP_BYTES_MAX: u64 = 256 * 1024 * 1024;

pub(crate) struct Request {
    pub(crate) log: LogId,
    pub(crate) keep: Keep,
    pub(crate) reply: oneshot::Sender<Result<Rewritten, RewriteError>>,
}

impl Request {
    /// Does it, and says what came of it. An error is one after which nothing can be written any more.
    pub(super) fn carry_out(self, core: &Core, disk: &Disk) -> io::Result<()> {
        if self.reply.is_closed() {
            return Ok(());
        }
        let done = match &self.keep {
            Keep::Offsets(offsets) => keep_offsets(core, disk, self.log, offsets),
            Keep::LatestOfKey(compaction) => compact(core, disk, self.log, *compaction),
        };
        let (answer, fatal) = match done {
            Ok(rewritten) => (Ok(rewritten), None),
            Err(Error::Stopped) => (Err(RewriteError::Stopped), None),
            Err(Error::Write(error)) if is_full_disk(&error) => (Err(RewriteError::Full), None),
            Err(Error::Write(error)) => (Err(RewriteError::Stopped), Some(error)),
            Err(Error::Source(error)) => {
                name_damage(core, &error);
                (Err(RewriteError::Unreadable(error.to_string())), None)
            }
        };
        // Who asked may be gone.
        let _ = self.reply.send(answer);
        fatal.map_or(Ok(()), Err)
    }
}

fn name_damage(core: &Core, error: &segment::Error) {
    if let segment::Error::Damaged {
        log,
        first_offset,
        next_offset,
        ..
    } = error
    {
        core.quarantine(LogId(*log), *first_offset, *next_offset, "a segment");
    }
}

fn keep_offsets(
    core: &Core,
    disk: &Disk,
    log: LogId,
    offsets: &[std::ops::Range<i64>],
) -> Result<Rewritten, Error> {
    let extents = sealed(core, log, i64::MAX);
    let mut rewritten = Rewritten::default();
    for group in groups(&extents) {
        rewrite_group(core, disk, log, group, &Offsets(offsets), &mut rewritten)?;
    }
    Ok(rewritten)
}

fn compact(core: &Core, disk: &Disk, log: LogId, mut compaction: Compaction) -> Result<Rewritten, Error> {
    let is_sealed = |extents: &[SealedExtent]| {
        extents
            .last()
            .is_some_and(|extent| extent.next_offset >= compaction.to)
    };
    let mut extents = sealed(core, log, compaction.to);
    if !is_sealed(&extents) {
        // What is asked for is in the WAL still.
        let (reply, cut) = oneshot::channel();
        disk.seal.want_cut(reply);
        drop(block_on(cut).map_err(|_| Error::Stopped)?);
        extents = sealed(core, log, compaction.to);
    }
    let Some(last) = extents.last() else {
        return Ok(Rewritten::default());
    };
    compaction.to = compaction.to.min(last.next_offset);
    let compacted_to = core.view(log).map_or(0, |view| view.compacted_to());
    let keys = note_keys(core, disk, log, &extents, compacted_to, &mut compaction)?;
    let mut rewritten = Rewritten {
        compacted_to,
        ..Rewritten::default()
    };
    if compaction.to <= compacted_to {
        return Ok(rewritten);
    }
    extents.retain(|extent| extent.first_offset < compaction.to);
    let groups = groups(&extents);
    for (nth, group) in groups.iter().enumerate() {
        // Only the last one makes all of it true.
        let is_last = nth + 1 == groups.len();
        let selection = LatestOfKey {
            keys: &keys,
            compaction,
            compacted_to: if is_last { compaction.to } else { 0 },
        };
        rewrite_group(core, disk, log, group, &selection, &mut rewritten)?;
    }
    rewritten.compacted_to = compaction.to;
    Ok(rewritten)
}

/// The first pass: the latest offset of each key that was not compacted yet. Ends where the memory for keys does.
fn note_keys(
    core: &Core,
    disk: &Disk,
    log: LogId,
    extents: &[SealedExtent],
    from: i64,
    compaction: &mut Compaction,
) -> Result<LatestOffsets, Error> {
    let dirty = extents.iter().filter(|extent| extent.next_offset > from);
    let offsets: i64 = dirty
        .clone()
        .map(|extent| extent.next_offset - extent.first_offset)
        .sum();
    let mut keys = LatestOffsets::new(
        compaction.memory_bytes,
        usize::try_from(offsets).unwrap_or(usize::MAX),
        (core.environment.random)(),
    );
    let mut sources = Sources::new(disk);
    let mut pace = Pace::new(core);
    for extent in dirty {
        let Some(sealed) = disk.segments.get(extent.segment) else {
            continue;
        };
        let Some(stored) = sealed.extent(log.0)? else {
            continue;
        };
        let mut at = from.max(extent.first_offset);
        loop {
            let batches = sources.read(&sealed, &stored, at)?;
            let Some(Ok((header, _))) = Batches::new(&batches).last() else {
                break;
            };
            at = header.next_offset();
            if let Err(full_at) = compaction::note(&mut keys, &batches, from, compaction.to) {
                compaction.to = full_at;
                return Ok(keys);
            }
            if !pace.go_on(core, disk, batches.len() as u64) {
                return Err(Error::Stopped);
            }
        }
    }
    Ok(keys)
}

/// The sealed extents of a log that begin before an offset, up to the first hole.
fn sealed(core: &Core, log: LogId, to: i64) -> Vec<SealedExtent> {
    let mut extents = core.view(log).map(|view| view.run(|_| true)).unwrap_or_default();
    extents.retain(|extent| extent.first_offset < to);
    extents
}

/// Neighbours that are rewritten together.
fn groups(extents: &[SealedExtent]) -> Vec<&[SealedExtent]> {
    let mut groups = Vec::new();
    let (mut first, mut bytes) = (0, 0);
    for (nth, extent) in extents.iter().enumerate() {
        bytes += extent.bytes;
        if bytes >= GROUP_BYTES_MAX {
            groups.push(&extents[first..=nth]);
            (first, bytes) = (nth + 1, 0);
        }
    }
    if first < extents.len() {
        groups.push(&extents[first..]);
    }
    groups
}

fn rewrite_group(
    core: &Core,
    disk: &Disk,
    log: LogId,
    group: &[SealedExtent],
    selection: &dyn Selection,
    rewritten: &mut Rewritten,
) -> Result<(), Error> {
    let bytes: u64 = group.iter().map(|extent| extent.bytes).sum();
    let Some(plan) = Plan::of_log(disk, log, group.to_vec()) else {
        // It was trimmed or deleted meanwhile.
        return Ok(());
    };
    rewritten.bytes_after += rewrite_segments(core, disk, &plan, selection)?;
    rewritten.bytes_before += bytes;
    Ok(())
}

//! Gives disk space back that queues hold and do not need.
//!
//! What a lane settled in order is trimmed as it is stored (queues.rs). Here is the rest, once in a while: lanes in which one
//! message is stuck before very many that were settled, and fan-out logs. Nobody counts how many queues still want a message of
//! a fan-out log. Instead, a sweep reads the references that are pending in lanes, and what none of them names is given
//! back: trimmed where it is the oldest, rewritten without it where it lies in between.
//!
//! ```text
//! 1. how far each fan-out log is durable        what comes later is kept
//! 2. lock and unlock each of them               who published before 1 has told the lanes what it appended
//! 3. wait until that is durable in the lanes    so every reference to what lies before 1 can be read
//! 4. read pending references
//! ```

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use firth_batch::{Batch, Batches};
use firth_log::{Change, Frame, Keep, LogId, ReadError, RewriteError};
use tokio::sync::watch;

use crate::publishing::Reference;
use crate::queue::offsets::{OffsetSet, PAGE};
use crate::queue::record;
use crate::queues::Queues;

const PAUSE: Duration = Duration::from_secs(1);
/// A second more of pause for so many references that were read.
const REFERENCES_PER_PAUSE: u64 = 100_000;
/// Rewriting a log is to gain so much, in bytes.
const GAIN_MIN: u64 = 16 * 1024 * 1024;
const READ_BYTES: usize = 256 * 1024;
/// How long a look waits for what was appended to be durable before it looks again.
const DURABLE_WAIT: Duration = Duration::from_millis(5);

/// Until the broker stops.
pub(crate) async fn run(queues: Arc<Queues>, mut stop: watch::Receiver<bool>) {
    let mut pause = PAUSE;
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(pause) => {}
        }
        let read = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            read = reclaim(&queues) => read,
        };
        let more = u32::try_from(read / REFERENCES_PER_PAUSE).unwrap_or(u32::MAX);
        pause = PAUSE.saturating_add(PAUSE.saturating_mul(more));
    }
}

/// Everything once. Returns how many references were read.
pub(crate) async fn reclaim(queues: &Arc<Queues>) -> u64 {
    for queue in queues.all() {
        for (log, keep) in queue.reclaim(GAIN_MIN) {
            rewrite(queues, log, keep).await;
        }
    }
    let Some((wanted, read)) = sweep(queues).await else {
        return 0;
    };
    for (log, wanted) in wanted {
        give_back(queues, log, wanted).await;
    }
    read
}

/// What is still wanted of a fan-out log.
struct Wanted {
    offsets: OffsetSet,
    /// Everything from here on.
    from: i64,
}

/// None where something cannot be read, and nothing is known.
async fn sweep(queues: &Arc<Queues>) -> Option<(HashMap<LogId, Wanted>, u64)> {
    let mut wanted = HashMap::new();
    for log in queues.fan_outs.logs() {
        let Some(bounds) = queues.engine.bounds(log) else {
            queues.fan_outs.forget(log);
            continue;
        };
        let is_old = !queues.fan_outs.is_current(log);
        if bounds.end > bounds.start || is_old {
            let offsets = OffsetSet::default();
            wanted.insert(
                log,
                Wanted {
                    offsets,
                    from: bounds.end,
                },
            );
        }
    }
    if wanted.is_empty() {
        return None;
    }
    queues.fan_outs.wait_for_publishers();
    let mut read = 0;
    for queue in queues
        .all()
        .into_iter()
        .filter(|queue| queue.definition().is_stored())
    {
        for (priority, log, appended) in queue.lanes_with_references() {
            while queues
                .engine
                .bounds(log)
                .is_some_and(|bounds| bounds.end < appended)
            {
                tokio::time::sleep(DURABLE_WAIT).await;
            }
            let pending = queue.pending_references(priority);
            read += pending
                .iter()
                .map(|range| range.end.abs_diff(range.start))
                .sum::<u64>();
            match collect(queues, log, &pending, &mut wanted).await {
                Ok(without) => queue.note_without_references(priority, &without),
                // The queue was deleted in between.
                Err(ReadError::UnknownLog(_)) => {}
                Err(error) => {
                    tracing::debug!(%error, queue = ?queue.definition(), "references cannot be read; fan-out logs are left as they are");
                    return None;
                }
            }
        }
    }
    Some((wanted, read))
}

/// Reads the references of a lane. Returns the pages, by their numbers, in which there was none.
async fn collect(
    queues: &Queues,
    log: LogId,
    pending: &[Range<i64>],
    wanted: &mut HashMap<LogId, Wanted>,
) -> Result<Vec<i64>, ReadError> {
    let mut with = OffsetSet::default();
    for range in pending {
        let mut next = range.start;
        while next < range.end {
            let read = queues.engine.read(log, next, READ_BYTES).await?;
            if read.slices.is_empty() {
                break;
            }
            for slice in &read.slices {
                for batch in Batches::new(slice) {
                    let (header, bytes) = batch.map_err(undecodable)?;
                    let offsets = header.base_offset.max(next)..header.next_offset().min(range.end);
                    next = header.next_offset().max(next);
                    if offsets.is_empty() || header.record_count != 1 {
                        continue;
                    }
                    let batch = Batch::trusted(slice.slice_ref(bytes)).map_err(undecodable)?;
                    let records = batch.records(usize::MAX).map_err(undecodable)?;
                    if let Some(reference) = Reference::of(&records, header.base_offset) {
                        with.insert(offsets.start / PAGE..(offsets.end - 1) / PAGE + 1);
                        if let Some(wanted) = wanted.get_mut(&reference.log) {
                            wanted
                                .offsets
                                .insert(reference.at(offsets.start)..reference.at(offsets.end));
                        }
                    }
                }
            }
        }
    }
    let pages = pending
        .iter()
        .flat_map(|range| range.start / PAGE..(range.end - 1) / PAGE + 1);
    Ok(pages.filter(|page| !with.contains(*page)).collect())
}

async fn give_back(queues: &Queues, log: LogId, wanted: Wanted) {
    let Some(bounds) = queues.engine.bounds(log) else {
        return;
    };
    let first = wanted.offsets.first().unwrap_or(wanted.from).min(wanted.from);
    let is_over = first == bounds.end && !queues.fan_outs.is_current(log);
    let change = if is_over {
        Change::Delete { log }
    } else {
        Change::Trim { log, to: first }
    };
    if is_over || first > bounds.start {
        let records = is_over.then(|| record::of_fan_out(log, false));
        match queues.append(Frame::changes(vec![change]), records.as_slice()) {
            Ok(_) if is_over => return queues.fan_outs.forget(log),
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, log = log.0, "a fan-out log is not trimmed yet"),
        }
    }
    let between = wanted.from.abs_diff(first);
    let kept = wanted.offsets.len().min(between);
    let settled = between - kept;
    if queues
        .fan_outs
        .is_worth_rewriting(log, settled, kept, GAIN_MIN, || size(queues, log))
    {
        let mut offsets: Vec<_> = wanted
            .offsets
            .ranges()
            .filter(|range| range.start < wanted.from)
            .collect();
        offsets.push(wanted.from..i64::MAX);
        rewrite(queues, log, offsets).await;
    }
}

fn size(queues: &Queues, log: LogId) -> u64 {
    queues.engine.extents(log).iter().map(|extent| extent.bytes).sum()
}

async fn rewrite(queues: &Queues, log: LogId, keep: Vec<Range<i64>>) {
    match queues.engine.rewrite(log, Keep::Offsets(keep)).await {
        Ok(rewritten) => {
            let freed = rewritten.bytes_before.saturating_sub(rewritten.bytes_after);
            tracing::debug!(log = log.0, freed, "what left queues is reclaimed");
        }
        // It was deleted, or is in memory.
        Err(RewriteError::UnknownLog(_) | RewriteError::Stopped) => {}
        Err(error) => tracing::warn!(log = log.0, %error, "what left queues is not reclaimed"),
    }
}

fn undecodable(error: firth_batch::Error) -> ReadError {
    ReadError::Io(std::io::Error::other(error))
}

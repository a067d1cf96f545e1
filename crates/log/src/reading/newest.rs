//! Where the newest records of a log begin that take a number of bytes.
//!
//! What is sealed is divided where its chunks are, of which the index tells; of what is not, the batches are looked at.

use std::sync::Arc;

use firth_batch::Batches;

use super::{blocking, find_extent, read_log};
use crate::core::Core;
use crate::frame::{LogId, Newest, ReadError};
use crate::segment::CHUNK_BYTES_MIN;
use crate::view::{Counted, SealedExtent, Stretch, TailExtent, View};

pub(crate) async fn newest(core: &Arc<Core>, log: LogId, bytes: u64) -> Result<Newest, ReadError> {
    let view = core.view(log).ok_or(ReadError::UnknownLog(log))?;
    loop {
        let counted = view.count_newest(bytes);
        let Counted {
            first_offset,
            bytes: bytes_behind,
            before,
            start,
            published_bytes,
        } = counted;
        let (first_offset, bytes) = match before {
            None => (first_offset, bytes_behind),
            Some(stretch) => {
                let wanted = bytes.saturating_sub(bytes_behind);
                let Some((first_offset, bytes)) = within(core, &view, &stretch, start, wanted).await else {
                    // It was sealed, rewritten or trimmed since.
                    continue;
                };
                (first_offset, bytes_behind.saturating_add(bytes))
            }
        };
        return Ok(Newest {
            first_offset: first_offset.max(start),
            bytes,
            published_bytes,
        });
    }
}

/// The same within a stretch of the log, which is not divided where what would tell cannot be read. `None` where it is not
/// there any more.
async fn within(
    core: &Arc<Core>,
    view: &Arc<View>,
    stretch: &Stretch,
    start: i64,
    bytes: u64,
) -> Option<(i64, u64)> {
    let whole = (stretch.first_offset(), stretch.bytes());
    match stretch {
        _ if start >= stretch.next_offset() => Some(whole),
        Stretch::Sealed(extent) => match in_segment(core, view, *extent, start, bytes).await {
            Ok(found) => found,
            Err(_) => Some(whole),
        },
        Stretch::Tail(extent) if u64::from(extent.length) <= CHUNK_BYTES_MIN => Some(whole),
        Stretch::Tail(extent) => Some(
            in_tail(core, view.log(), extent, start, bytes)
                .await
                .unwrap_or(whole),
        ),
    }
}

async fn in_segment(
    core: &Arc<Core>,
    view: &Arc<View>,
    extent: SealedExtent,
    start: i64,
    bytes: u64,
) -> Result<Option<(i64, u64)>, ReadError> {
    let (core_of_task, log) = (core.clone(), view.log());
    let found = blocking(core, 0, move || {
        Ok(match find_extent(&core_of_task, log, &extent) {
            Ok(Some((sealed, stored))) => sealed.newest(&stored, start, bytes).map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        })
    });
    found
        .await?
        .map_err(|error| super::segment_error(core, view, error))
}

/// `None` where it cannot be read.
async fn in_tail(
    core: &Arc<Core>,
    log: LogId,
    extent: &TailExtent,
    start: i64,
    bytes: u64,
) -> Option<(i64, u64)> {
    let from = extent.first_offset.max(start);
    let read = read_log(core, log, from, extent.length as usize).await.ok()?;
    let mut batches = Vec::new();
    let mut next_offset = from;
    for batch in read.slices.iter().flat_map(|slice| Batches::new(slice)) {
        let (header, batch) = batch.ok()?;
        if header.base_offset >= extent.next_offset {
            break;
        }
        next_offset = header.next_offset();
        batches.push((header.base_offset, batch.len() as u64));
    }
    if next_offset < extent.next_offset {
        return None;
    }
    let mut newest = None;
    let mut sum: u64 = 0;
    for (first_offset, length) in batches.into_iter().rev() {
        sum = sum.saturating_add(length);
        newest = Some((first_offset, sum));
        if sum >= bytes {
            break;
        }
    }
    newest
}

//! Finds offsets by what they mean or when they were written.

use bytes::Bytes;
use firth_batch::{Batch, Batches, Compression, NO_TIMESTAMP};
use firth_log::{Bounds, LogId, Seek};

use crate::broker::Broker;
use crate::{ReadError, Topic};

/// Bytes that are searched when a batch does not hold what its header promises; the answer is then where the search
/// stopped, before which there is nothing to find.
const SEARCHED_BYTES_MAX: usize = 64 * 1024 * 1024;
const READ_BYTES: usize = 1024 * 1024;

/// What to look for in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    Earliest,
    /// The offset of the next record that will become readable.
    Latest,
    /// The first record at or after this time, in milliseconds since 1970.
    Timestamp(i64),
    /// The first record with the greatest time.
    MaxTimestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetAndTimestamp {
    pub offset: i64,
    /// -1 for [`At::Earliest`] and [`At::Latest`], and where it is not known.
    pub timestamp: i64,
}

impl Broker {
    /// The offset that is looked for; None if there is no such record.
    ///
    /// By time, one batch is opened, one at a time in the whole broker, so the answer is exact. Should a batch not hold what its header promises, or
    /// not be readable, the answer may be an earlier offset: whoever starts there misses nothing.
    pub async fn offset(
        &self,
        topic: &Topic,
        partition: i32,
        at: At,
    ) -> Result<Option<OffsetAndTimestamp>, ReadError> {
        let log = topic.log(partition).ok_or(ReadError::UnknownPartition)?;
        let bounds = self.engine().bounds(log).ok_or(ReadError::UnknownPartition)?;
        let without_time = |offset| {
            Some(OffsetAndTimestamp {
                offset,
                timestamp: NO_TIMESTAMP,
            })
        };
        match at {
            At::Earliest => Ok(without_time(bounds.start)),
            At::Latest => Ok(without_time(bounds.end)),
            At::Timestamp(timestamp) => {
                let _turn = self.memory().search().await;
                self.by_timestamp(log, bounds, timestamp).await
            }
            At::MaxTimestamp => {
                let _turn = self.memory().search().await;
                self.max_timestamp(log, bounds).await
            }
        }
    }

    /// Where stretches of a partition begin that are stored together, the latest first: those whose records are all of the time
    /// `at` or of an earlier one, and the end of the log if that is now. This is what clients asked before records could be
    /// found by their time.
    pub fn boundaries(&self, topic: &Topic, partition: i32, at: At) -> Result<Vec<i64>, ReadError> {
        let log = topic.log(partition).ok_or(ReadError::UnknownPartition)?;
        let bounds = self.engine().bounds(log).ok_or(ReadError::UnknownPartition)?;
        let until = match at {
            At::Earliest => return Ok(vec![bounds.start]),
            At::Timestamp(timestamp) => timestamp,
            At::Latest | At::MaxTimestamp => i64::MAX,
        };
        let end = (until >= self.clock().wall_ms()).then_some(bounds.end);
        let extents = self.engine().extents(log);
        let begun = extents
            .iter()
            .rev()
            .filter(|extent| extent.max_timestamp <= until);
        let mut offsets: Vec<i64> = begun
            .map(|extent| extent.first_offset.max(bounds.start))
            .collect();
        offsets.splice(0..0, end);
        offsets.dedup();
        Ok(offsets)
    }

    async fn max_timestamp(
        &self,
        log: LogId,
        bounds: Bounds,
    ) -> Result<Option<OffsetAndTimestamp>, ReadError> {
        let Some(bytes) = self.engine().find(log, Seek::MaxTimestamp).await? else {
            return Ok(None);
        };
        let timestamp = batch_of(bytes.clone())?.header().max_timestamp;
        match self.look_into(bytes, bounds.start, Wanted::Greatest).await? {
            Opened::Found(found) => Ok(Some(found)),
            Opened::Absent => Ok(None),
            Opened::Unreadable(offset) => Ok(Some(OffsetAndTimestamp { offset, timestamp })),
        }
    }

    async fn by_timestamp(
        &self,
        log: LogId,
        bounds: Bounds,
        timestamp: i64,
    ) -> Result<Option<OffsetAndTimestamp>, ReadError> {
        let Some(bytes) = self.engine().find(log, Seek::Timestamp(timestamp)).await? else {
            return Ok(None);
        };
        let next = batch_of(bytes.clone())?.header().next_offset();
        match self
            .look_into(bytes, bounds.start, Wanted::AtOrAfter(timestamp))
            .await?
        {
            Opened::Found(found) => Ok(Some(found)),
            Opened::Unreadable(offset) => Ok(Some(OffsetAndTimestamp {
                offset,
                timestamp: NO_TIMESTAMP,
            })),
            Opened::Absent => self.search(log, next, timestamp).await,
        }
    }

    /// Goes through the batches from `next` on, when the index led to one whose record is deleted or never was.
    async fn search(
        &self,
        log: LogId,
        mut next: i64,
        timestamp: i64,
    ) -> Result<Option<OffsetAndTimestamp>, ReadError> {
        let mut searched = 0;
        while searched < SEARCHED_BYTES_MAX {
            let read = self.engine().read(log, next, READ_BYTES).await?;
            if read.bytes == 0 {
                return Ok(None);
            }
            searched += read.bytes;
            for slice in &read.slices {
                for batch in Batches::new(slice) {
                    let (header, bytes) = batch.map_err(unreadable)?;
                    next = header.next_offset();
                    if header.max_timestamp < timestamp {
                        continue;
                    }
                    let bytes = slice.slice_ref(bytes);
                    match self
                        .look_into(bytes, header.base_offset, Wanted::AtOrAfter(timestamp))
                        .await?
                    {
                        Opened::Found(found) => return Ok(Some(found)),
                        Opened::Unreadable(offset) => {
                            return Ok(Some(OffsetAndTimestamp {
                                offset,
                                timestamp: NO_TIMESTAMP,
                            }));
                        }
                        Opened::Absent => {}
                    }
                }
            }
        }
        Ok(Some(OffsetAndTimestamp {
            offset: next,
            timestamp: NO_TIMESTAMP,
        }))
    }

    /// Looks into a batch, from the offset `start` on. In one that is too large the answer is its first offset.
    async fn look_into(&self, bytes: Bytes, start: i64, wanted: Wanted) -> Result<Opened, ReadError> {
        let batch = batch_of(bytes)?;
        let bytes_max = self.memory().opened_bytes_max();
        if batch.header().attributes.compression() == Ok(Compression::None) {
            return Ok(look(&batch, bytes_max, start, wanted));
        }
        // Decompressing takes milliseconds, which would stand in the way of others on this thread.
        let looking = tokio::task::spawn_blocking(move || look(&batch, bytes_max, start, wanted));
        looking
            .await
            .map_err(|error| ReadError::Failed(error.to_string()))
    }
}

#[derive(Clone, Copy)]
enum Wanted {
    /// The first record with this time or a later one.
    AtOrAfter(i64),
    /// The first record with the greatest time.
    Greatest,
}

enum Opened {
    Found(OffsetAndTimestamp),
    Absent,
    /// Its records cannot be read, or would need too much memory: its first offset that is kept.
    Unreadable(i64),
}

fn look(batch: &Batch, bytes_max: usize, start: i64, wanted: Wanted) -> Opened {
    let unreadable = Opened::Unreadable(batch.header().base_offset.max(start));
    // The producer's bytes were never opened before, so they may not be what they say. Its readers will see.
    let Ok(records) = batch.records(bytes_max) else {
        return unreadable;
    };
    let mut found: Option<OffsetAndTimestamp> = None;
    for record in &records {
        let Ok(record) = record else { return unreadable };
        let candidate = OffsetAndTimestamp {
            offset: record.offset,
            timestamp: record.timestamp,
        };
        if record.offset < start {
            continue;
        }
        match wanted {
            Wanted::AtOrAfter(timestamp) if record.timestamp >= timestamp => return Opened::Found(candidate),
            Wanted::Greatest if found.is_none_or(|found| record.timestamp > found.timestamp) => {
                found = Some(candidate);
            }
            Wanted::AtOrAfter(_) | Wanted::Greatest => {}
        }
    }
    found.map_or(Opened::Absent, Opened::Found)
}

fn batch_of(bytes: Bytes) -> Result<Batch, ReadError> {
    Batch::trusted(bytes).map_err(unreadable)
}

fn unreadable(error: firth_batch::Error) -> ReadError {
    ReadError::Failed(error.to_string())
}

use firth_log::Read;

use crate::broker::Broker;
use crate::counters::add;
use crate::{ReadError, Topic};

impl Broker {
    /// Whole batches from the one that contains `from`, or the first after it: at least one, then as many as stay
    /// within `bytes_max`. Empty at the end of the partition. Does not wait when the batches are in memory.
    ///
    /// # Errors
    /// `OutOfRange` outside of the partition's bounds, `Damaged` where records were lost.
    pub async fn read(
        &self,
        topic: &Topic,
        partition: i32,
        from: i64,
        bytes_max: usize,
    ) -> Result<Read, ReadError> {
        let log = topic.log(partition).ok_or(ReadError::UnknownPartition)?;
        let read = self.engine().read(log, from, bytes_max).await?;
        add(&self.counting().read_bytes, read.bytes as u64);
        Ok(read)
    }

    /// Bytes that reading from an offset can give at most, counted in whole extents. Unlike reading it takes a time that
    /// grows with the number of extents.
    pub fn bytes_from(&self, topic: &Topic, partition: i32, from: i64) -> usize {
        let extents = topic.log(partition).map(|log| self.engine().extents(log));
        let ahead = extents
            .iter()
            .flatten()
            .filter(|extent| extent.next_offset > from);
        ahead.fold(0, |sum: usize, extent| {
            sum.saturating_add(usize::try_from(extent.bytes).unwrap_or(usize::MAX))
        })
    }
}

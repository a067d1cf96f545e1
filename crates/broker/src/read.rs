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
}

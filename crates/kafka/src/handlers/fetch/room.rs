use firth_broker::{Broker, Read, ReadError, Topic};
use firth_kafka_codec::FetchPartition;

use crate::reply_memory::Held;

/// How much an answer may still take, and the memory that is held for it. Memory is held before records are read.
pub(super) struct Room {
    bytes_max: usize,
    /// Bytes of records in the answer.
    bytes: usize,
    /// Memory for them, and while partitions are looked at some for those to come.
    held: Held,
}

impl Room {
    pub(super) fn new(held: Held, bytes_max: usize) -> Room {
        Room {
            bytes_max,
            bytes: 0,
            held,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= self.bytes_max
    }

    /// Takes records out of the answer.
    pub(super) fn remove(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Gives back what the answer does not need so far.
    pub(super) fn settle(&mut self) {
        self.held.shrink_to(self.bytes);
    }

    /// Memory for the records in the answer.
    pub(super) fn into_held(mut self) -> Held {
        self.settle();
        self.held
    }

    /// Reads a partition into the answer: at least one batch, however large, if there is nothing in it yet (KIP-74); else
    /// what fits, and `None` if nothing does.
    pub(super) async fn read(
        &mut self,
        broker: &Broker,
        topic: &Topic,
        asked: &FetchPartition,
    ) -> Result<Option<Read>, ReadError> {
        let left = self.bytes_max.saturating_sub(self.bytes);
        let wanted = left.min(usize::try_from(asked.partition_max_bytes).unwrap_or(0));
        if self.bytes == 0 {
            return self.read_first(broker, topic, asked, wanted).await.map(Some);
        }
        let reserved = self.reserve(wanted);
        if reserved == 0 {
            return Ok(None);
        }
        let read = broker
            .read(topic, asked.partition, asked.fetch_offset, reserved)
            .await?;
        if read.bytes > wanted {
            return Ok(None);
        }
        if !self.take(read.bytes) {
            // There is no memory for one batch. The partitions that follow need not read theirs to learn that.
            self.settle();
            return Ok(None);
        }
        Ok(Some(read))
    }

    /// Memory for the first records is waited for.
    async fn read_first(
        &mut self,
        broker: &Broker,
        topic: &Topic,
        asked: &FetchPartition,
        wanted: usize,
    ) -> Result<Read, ReadError> {
        let (partition, from) = (asked.partition, asked.fetch_offset);
        let mut wanted = wanted;
        if self.reserve(wanted) < wanted {
            // Who has to wait does so for no more than there is to read.
            wanted = wanted.min(broker.bytes_from(topic, partition, from));
            if self.reserve(wanted) < wanted {
                self.held.wait_for(wanted).await;
            }
        }
        loop {
            let read = broker.read(topic, partition, from, wanted).await?;
            if self.take(read.bytes) {
                return Ok(read);
            }
            // One batch is larger than what was reserved. It is given up, and read again when there is room for it.
            wanted = read.bytes;
            drop(read);
            self.held.wait_for(wanted).await;
        }
    }

    /// Sees that memory for `wanted` bytes is free, or says how much is.
    fn reserve(&mut self, wanted: usize) -> usize {
        let free = self.free();
        let missing = wanted.saturating_sub(free);
        if missing == 0 || self.held.try_grow(missing) {
            wanted
        } else {
            free
        }
    }

    /// Takes what was read into the answer, unless it is a batch for which there is no memory.
    fn take(&mut self, bytes: usize) -> bool {
        let missing = bytes.saturating_sub(self.free());
        let fits = missing == 0 || self.held.try_grow(missing);
        if fits {
            self.bytes = self.bytes.saturating_add(bytes);
        }
        fits
    }

    /// Bytes that are held for records to come.
    fn free(&self) -> usize {
        self.held.bytes().saturating_sub(self.bytes)
    }
}

//! Topics as the rest of the broker sees them: immutable, shared, replaced as a whole when they change.

use std::fmt;
use std::sync::Arc;

use firth_log::LogId;
use smallvec::SmallVec;

use crate::TopicConfig;

/// What stays the same for as long as a topic exists, and differs when its name is used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub [u8; 16]);

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// A named set of logs.
///
/// Whoever holds one after its deletion gets "unknown topic" from every operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    pub name: Arc<str>,
    pub id: TopicId,
    pub partitions: SmallVec<[Partition; 1]>,
    /// Topics that are configured alike share it: there may be very many.
    pub config: Arc<TopicConfig>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    pub(crate) log: LogId,
}

impl Topic {
    /// The log of a partition, if the topic has that partition.
    pub fn log(&self, partition: i32) -> Option<LogId> {
        let index = usize::try_from(partition).ok()?;
        self.partitions.get(index).map(|partition| partition.log)
    }

    /// Indexes of the partitions, as the protocols count them.
    pub fn partition_indexes(&self) -> std::ops::Range<i32> {
        0..i32::try_from(self.partitions.len()).unwrap_or(i32::MAX)
    }
}

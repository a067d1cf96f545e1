//! Groups as metrics look at them: one short look at a time, and never at more than is asked for.

use std::sync::{Arc, MutexGuard};

use firth_broker::TopicId;

use super::{Entry, Groups, Slot};

/// A group that was there when it was asked for, and may be gone since.
///
/// What it says may not be durable yet.
#[derive(Clone)]
pub struct ObservedGroup {
    entry: Arc<Entry>,
}

impl Groups {
    /// All groups, sorted by their ids.
    pub(crate) fn observed(&self) -> Vec<ObservedGroup> {
        let entries = self.all().into_iter();
        let mut groups: Vec<_> = entries.map(|entry| ObservedGroup { entry }).collect();
        groups.sort_unstable_by(|a, b| a.entry.id.cmp(&b.entry.id));
        groups
    }
}

impl ObservedGroup {
    pub fn id(&self) -> &str {
        &self.entry.id
    }

    /// None if there is no such group any more.
    pub fn member_count(&self) -> Option<usize> {
        Some(self.look()?.group.member_count())
    }

    /// Topics of which it has committed an offset.
    pub fn topics(&self) -> Vec<TopicId> {
        let Some(slot) = self.look() else {
            return Vec::new();
        };
        slot.group.offsets().topics().map(|(topic, _)| topic).collect()
    }

    /// The offsets that it has committed of a topic, by partition and from one on, of so many partitions at most.
    pub fn committed(&self, topic: TopicId, from: i32, max: usize) -> Vec<(i32, i64)> {
        let Some(slot) = self.look() else {
            return Vec::new();
        };
        let committed = slot.group.offsets().from(topic, from).take(max);
        committed
            .map(|(partition, committed)| (partition, committed.offset))
            .collect()
    }

    fn look(&self) -> Option<MutexGuard<'_, Slot>> {
        let slot = self.entry.lock();
        (!slot.is_removed && !slot.group.is_void()).then_some(slot)
    }
}

//! Where messages wait for their time: buckets of a minute for what is near, of an hour for what is far.
//!
//! A bucket is a queue that nobody can name. Its id says which time it is for, so a start finds it again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use crate::queue::{Queue, QueueDefinition, QueueId};
use crate::queues::{Queues, lock};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
/// What is due within this time goes to a bucket of a minute.
const NEAR_MS: i64 = 2 * HOUR_MS;

/// Ids of buckets have this bit; those of queues that are declared never come so far.
const BUCKET: u64 = 1 << 63;
const HOUR: u64 = 1 << 62;

/// Ordered by their beginnings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BucketId {
    pub(super) start_ms: i64,
    pub(super) is_hour: bool,
}

/// All buckets.
#[derive(Debug, Default)]
pub(crate) struct Buckets {
    by_id: Mutex<BTreeMap<BucketId, Arc<Queue>>>,
    /// There is a new one.
    pub(super) changed: Notify,
}

impl BucketId {
    /// The bucket for what is due at a time.
    pub(super) fn of(due_ms: i64, now_ms: i64) -> BucketId {
        let is_hour = due_ms.saturating_sub(now_ms) >= NEAR_MS;
        let width = if is_hour { HOUR_MS } else { MINUTE_MS };
        BucketId {
            start_ms: due_ms.max(0) / width * width,
            is_hour,
        }
    }

    /// What is due in it is due before this.
    pub(super) fn end_ms(self) -> i64 {
        let width = if self.is_hour { HOUR_MS } else { MINUTE_MS };
        self.start_ms.saturating_add(width)
    }

    fn queue_id(self) -> QueueId {
        let minutes = (self.start_ms / MINUTE_MS).unsigned_abs();
        QueueId(BUCKET | if self.is_hour { HOUR } else { 0 } | minutes)
    }

    /// The bucket that a queue is; None for what was declared.
    pub(crate) fn of_queue(queue: QueueId) -> Option<BucketId> {
        if queue.0 & BUCKET == 0 {
            return None;
        }
        let minutes = i64::try_from(queue.0 & !(BUCKET | HOUR)).ok()?;
        Some(BucketId {
            start_ms: minutes.checked_mul(MINUTE_MS)?,
            is_hour: queue.0 & HOUR != 0,
        })
    }
}

impl Buckets {
    /// The bucket for what is due at a time.
    pub(super) fn at(&self, queues: &Arc<Queues>, due_ms: i64, now_ms: i64) -> Arc<Queue> {
        self.get_or_create(queues, BucketId::of(due_ms, now_ms))
    }

    /// A bucket of an earlier life, or a new one.
    pub(crate) fn get_or_create(&self, queues: &Arc<Queues>, id: BucketId) -> Arc<Queue> {
        let mut by_id = lock(&self.by_id);
        by_id
            .entry(id)
            .or_insert_with(|| {
                self.changed.notify_one();
                Queue::create(queues, definition(id))
            })
            .clone()
    }

    /// Those that begin before a time.
    pub(super) fn beginning_before(&self, time_ms: i64) -> Vec<(BucketId, Arc<Queue>)> {
        let by_id = lock(&self.by_id);
        let ids = by_id.iter().take_while(|(id, _)| id.start_ms < time_ms);
        ids.map(|(id, queue)| (*id, queue.clone())).collect()
    }

    /// When the first of them begins that does not begin before a time.
    pub(super) fn next_beginning(&self, time_ms: i64) -> Option<i64> {
        let by_id = lock(&self.by_id);
        by_id.keys().map(|id| id.start_ms).find(|start| *start >= time_ms)
    }

    /// Forgets a bucket if nothing waits in it. Who is about to add something has another one made.
    pub(super) fn remove_empty(&self, id: BucketId) -> bool {
        let mut by_id = lock(&self.by_id);
        let is_empty = by_id.get(&id).is_some_and(|queue| queue.close_empty());
        if is_empty {
            by_id.remove(&id);
        }
        is_empty
    }
}

fn definition(id: BucketId) -> QueueDefinition {
    QueueDefinition {
        id: id.queue_id(),
        virtual_host: "".into(),
        name: "".into(),
        durable: true,
        auto_delete: false,
        exclusive: None,
        options: Arc::default(),
        arguments: Arc::new([]),
        topic: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_found_again_by_the_id_of_its_queue() {
        let now_ms = 1_800_000_000_000;
        for delay_ms in [0, 1, MINUTE_MS, NEAR_MS - 1, NEAR_MS, 50 * 24 * HOUR_MS] {
            let id = BucketId::of(now_ms + delay_ms, now_ms);
            assert_eq!(id.is_hour, delay_ms >= NEAR_MS);
            assert!((id.start_ms..id.end_ms()).contains(&(now_ms + delay_ms)));
            assert_eq!(BucketId::of_queue(id.queue_id()), Some(id));
        }
        assert_eq!(BucketId::of_queue(QueueId(7)), None);
    }
}

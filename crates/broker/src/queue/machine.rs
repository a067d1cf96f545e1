//! What a queue is: its lanes, its consumers, and what was acquired. Without a clock, a lock or a task.

use std::ops::Range;
use std::sync::Arc;

use smallvec::SmallVec;

use super::Queue;
use super::consumers::{Consumer, Consumers};
use super::lane::{Lane, Taken};
use super::mailbox::Event;
use super::options::{Overflow, QueueOptions};

/// How many messages a queue has, and for whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub ready: u64,
    /// Delivered, or about to be, and neither acknowledged nor returned.
    pub unacknowledged: u64,
    pub consumers: usize,
}

#[derive(Debug, Default)]
pub(super) struct Machine {
    /// By priority, highest first.
    lanes: SmallVec<[Box<Lane>; 1]>,
    pub(super) consumers: Consumers,
    pub(super) deleted: bool,
}

impl Machine {
    pub(super) fn counts(&self) -> Counts {
        Counts {
            ready: self.ready(),
            unacknowledged: self.lanes.iter().map(|lane| lane.acquired()).sum(),
            consumers: self.consumers.len(),
        }
    }

    pub(super) fn ready(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.ready()).sum()
    }

    fn ready_bytes(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.ready_bytes()).sum()
    }

    /// Whether another message would be too many, besides `more` messages of so many bytes that will be.
    pub(super) fn is_full(&self, options: &QueueOptions, more: u64, more_bytes: u64) -> bool {
        let messages = self.ready() + self.coming() + more;
        let coming: u64 = self.lanes.iter().map(|lane| lane.coming_bytes()).sum();
        let bytes = self.ready_bytes() + coming + more_bytes;
        options.max_length.is_some_and(|max| messages > max)
            || options.max_length_bytes.is_some_and(|max| bytes > max)
    }

    /// Messages that will be ready.
    fn coming(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.coming()).sum()
    }

    pub(super) fn lanes(&self) -> impl Iterator<Item = &Lane> {
        self.lanes.iter().map(|lane| &**lane)
    }

    pub(super) fn lanes_mut(&mut self) -> impl Iterator<Item = &mut Lane> {
        self.lanes.iter_mut().map(|lane| &mut **lane)
    }

    pub(super) fn lane(&self, priority: u8) -> Option<&Lane> {
        self.lanes().find(|lane| lane.priority() == priority)
    }

    pub(super) fn lane_mut(&mut self, priority: u8) -> Option<&mut Lane> {
        self.lanes_mut().find(|lane| lane.priority() == priority)
    }

    pub(super) fn add_lane(&mut self, lane: Lane) {
        let at = self
            .lanes
            .partition_point(|other| other.priority() > lane.priority());
        self.lanes.insert(at, Box::new(lane));
    }

    /// The first messages that are ready, at most so many. Nobody acquires them.
    pub(super) fn peek(&self, max: u64) -> Option<Taken> {
        self.lanes().find_map(|lane| {
            Some(Taken {
                priority: lane.priority(),
                offsets: lane.peek(max)?,
                redelivered: false,
                returns: 0,
            })
        })
    }

    /// Priority and offset of the first message that is ready.
    pub(super) fn head(&self) -> Option<(u8, i64)> {
        self.lanes()
            .find_map(|lane| Some((lane.priority(), lane.head()?)))
    }

    /// The first messages in the order of the queue, at most so many and all of one kind.
    pub(super) fn take(&mut self, max: u64) -> Option<Taken> {
        self.lanes_mut().find_map(|lane| lane.take(max))
    }

    /// Gives what is ready to the consumers who want it.
    pub(super) fn serve(&mut self, queue: &Arc<Queue>, single_active: bool) {
        let ready = self.ready();
        if ready == 0 || self.consumers.len() == 0 {
            return;
        }
        let mut consumers = std::mem::take(&mut self.consumers);
        consumers.serve(single_active, ready, |consumer, max| {
            let mut given = 0;
            while given < max
                && let Some(taken) = self.take(max - given)
            {
                given += taken.len();
                consumer.mailbox.push(Event::Taken {
                    consumer: consumer.key,
                    queue: queue.clone(),
                    taken,
                });
            }
            given
        });
        self.consumers = consumers;
    }

    /// Takes from the head what is more than the queue's limit of messages.
    pub(super) fn take_excess(&mut self, options: &QueueOptions) -> SmallVec<[Taken; 1]> {
        let mut taken = SmallVec::new();
        if options.overflow != Overflow::DropHead {
            return taken;
        }
        let max = options.max_length.unwrap_or(u64::MAX);
        let mut excess = self.ready().saturating_sub(max);
        while excess > 0
            && let Some(head) = self.take(excess)
        {
            excess -= head.len();
            taken.push(head);
        }
        let max_bytes = options.max_length_bytes.unwrap_or(u64::MAX);
        while self.ready_bytes() > max_bytes
            && let Some(head) = self.take(1)
        {
            taken.push(head);
        }
        taken
    }

    /// False where the queue has no such messages: it was deleted.
    pub(super) fn settle(&mut self, priority: u8, offsets: Range<i64>) {
        if let Some(lane) = self.lane_mut(priority) {
            lane.settle(offsets);
        }
    }

    /// Returns what was returned too often; that stays acquired.
    pub(super) fn give_back(&mut self, taken: Taken, delivered: bool, limit: Option<u32>) -> Option<Taken> {
        let lane = self.lane_mut(taken.priority)?;
        if delivered && limit.is_some_and(|limit| taken.returns >= limit) {
            return Some(taken);
        }
        lane.give_back(&taken, delivered, limit.is_some());
        None
    }

    pub(super) fn purge(&mut self) -> u64 {
        self.lanes_mut().map(Lane::purge).sum()
    }

    /// Everybody is told that the queue is gone.
    pub(super) fn delete(&mut self) -> Vec<Lane> {
        self.deleted = true;
        for consumer in self.consumers.take_all() {
            consumer.mailbox.push(Event::Cancelled {
                consumer: consumer.key,
            });
        }
        let lanes = std::mem::take(&mut self.lanes);
        lanes.into_iter().map(|lane| *lane).collect()
    }
}

/// Why nobody can consume from a queue now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsumeError {
    #[error("the queue was deleted")]
    Gone,
    #[error("somebody consumes it exclusively")]
    InUseExclusively,
    #[error("it is consumed already, and can not be consumed exclusively")]
    InUse,
}

impl Machine {
    pub(super) fn consume(&mut self, consumer: Consumer) -> Result<(), ConsumeError> {
        if self.deleted {
            return Err(ConsumeError::Gone);
        }
        if self.consumers.has_exclusive() {
            return Err(ConsumeError::InUseExclusively);
        }
        if consumer.exclusive && self.consumers.len() > 0 {
            return Err(ConsumeError::InUse);
        }
        self.consumers.add(consumer);
        self.lanes_mut().for_each(Lane::expect_delivery);
        Ok(())
    }
}

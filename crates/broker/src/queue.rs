//! A queue: messages in the order of their priority and their arrival, each for one consumer.
//!
//! ```text
//! publishing -> a lane's log -> delivery (the log has more) -> the machine: who gets what -> mailboxes of connections
//! acknowledge, reject, give back -> the machine -> queues.rs stores what left
//! ```
//!
//! A queue is its machine behind a lock ([`machine`]), and lanes that are logs ([`lane`]). It holds no message: who
//! acquired some reads them from the log.

pub(crate) mod consumers;
mod definition;
pub(crate) mod lane;
mod machine;
mod mailbox;
pub(crate) mod offsets;
mod options;
mod reading;
pub(crate) mod record;
mod sizes;

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use firth_log::{AppendError, Change, Frame, Kind, LogId};

pub use consumers::Consumer;
pub use definition::{ConnectionId, NewQueue, QueueDefinition, QueueId};
pub use lane::Taken;
use machine::Machine;
pub use machine::{ConsumeError, Counts};
pub use mailbox::{Credit, Event, Mailbox};
pub use options::{Overflow, QueueKind, QueueOptions};
pub(crate) use reading::deadline_ms;
pub use reading::{Delivered, Handed, Reader};

use crate::StateRecord;
use crate::dead_letter::{Death, Reason};
use crate::expiry::Look;
use crate::queues::{Queues, lock};
use lane::Lane;

/// Why a queue is not deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDeleted {
    #[error("it has consumers")]
    InUse,
    #[error("it has messages")]
    NotEmpty,
}

/// A queue that exists, or existed: who still has it after its deletion finds it empty and closed.
#[derive(Debug)]
pub struct Queue {
    definition: QueueDefinition,
    queues: Arc<Queues>,
    is_deleted: AtomicBool,
    /// A message was published that expires, or may have been by an earlier life.
    has_expiring: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    machine: Machine,
    /// It is in the list of queues that have something to store.
    is_noted: bool,
    /// Somebody is to be told when its logs have more.
    is_watched: bool,
    expiry: Expiring,
}

/// What is known of messages and of the queue getting too old.
#[derive(Debug, Default)]
struct Expiring {
    /// The head that was looked at, or is going to be.
    looked_at: Option<(u8, i64)>,
    /// It is known when that is to be looked at again.
    is_scheduled: bool,
    /// When somebody used the queue last, in milliseconds since a fixed moment.
    used_ms: u64,
}

impl Queue {
    /// Called by the topology alone, when the queue is declared and when a start finds it.
    pub(crate) fn create(queues: &Arc<Queues>, definition: QueueDefinition) -> Arc<Queue> {
        let mut machine = Machine::default();
        for lane in queues.take_replayed(definition.id) {
            machine.add_lane(lane);
        }
        let queue = Arc::new(Queue {
            definition,
            queues: queues.clone(),
            is_deleted: AtomicBool::new(false),
            has_expiring: AtomicBool::new(machine.ready() > 0),
            state: Mutex::new(State {
                machine,
                ..State::default()
            }),
        });
        queues.register(&queue);
        let mut state = lock(&queue.state);
        if queue.is_limited() || queue.may_expire() {
            queue.watch(&mut state);
        }
        queue.use_now(&mut state);
        queue.ask_for_look(&mut state);
        drop(state);
        if queue.definition.options.expires_ms.is_some() {
            queues.ask(Look::Use(queue.clone()));
        }
        if queue.limits_bytes() && queue.counts().ready > 0 {
            queues.ask(Look::Sizes(queue.clone()));
        }
        queue
    }

    fn use_now(&self, state: &mut State) {
        if self.definition.options.expires_ms.is_some() {
            let now = self.queues.environment.clock.monotonic().as_millis();
            state.expiry.used_ms = u64::try_from(now).unwrap_or(u64::MAX);
        }
    }

    /// Somebody declared the queue again, which counts as using it.
    pub fn touch(&self) {
        self.use_now(&mut lock(&self.state));
    }

    /// For how long nobody has used the queue, in milliseconds. While somebody consumes it is used.
    pub(crate) fn unused_ms(&self) -> Option<u64> {
        let mut state = lock(&self.state);
        if state.machine.deleted {
            return None;
        }
        let used_ms = state.expiry.used_ms;
        if state.machine.consumers.len() > 0 {
            self.use_now(&mut state);
        }
        let now = u64::try_from(self.queues.environment.clock.monotonic().as_millis()).unwrap_or(u64::MAX);
        Some(now.saturating_sub(state.expiry.used_ms.max(used_ms)))
    }

    fn may_expire(&self) -> bool {
        self.definition.options.message_ttl_ms.is_some() || self.has_expiring.load(Ordering::Relaxed)
    }

    /// A message that expires is about to be published.
    pub(crate) fn note_expiring(&self) {
        if !self.has_expiring.swap(true, Ordering::Relaxed) {
            self.watch(&mut lock(&self.state));
        }
    }

    /// Where all messages of the queue wait equally long, what came later does not expire sooner.
    fn ask_for_look(self: &Arc<Queue>, state: &mut State) {
        if !self.may_expire() {
            return;
        }
        let in_order = !self.has_expiring.load(Ordering::Relaxed);
        let head = state.machine.head();
        if head.is_none() || head == state.expiry.looked_at || (in_order && state.expiry.is_scheduled) {
            return;
        }
        state.expiry.looked_at = head;
        self.queues.ask(Look::Head(self.clone()));
    }

    /// This message is the head, and whether it expires is known.
    pub(crate) fn head_is_known(&self, priority: u8, offset: i64, is_scheduled: bool) {
        let mut state = lock(&self.state);
        state.expiry.looked_at = Some((priority, offset));
        state.expiry.is_scheduled = is_scheduled;
    }

    /// The first messages, for somebody who looks whether they have expired. Nobody acquires them: others would overtake them.
    pub(crate) fn peek_head(&self, max: u64) -> Option<Taken> {
        let mut state = lock(&self.state);
        state.expiry.is_scheduled = false;
        self.look(&mut state.machine);
        state.machine.peek(max)
    }

    /// What was found to have expired leaves the queue, as far as it is still ready.
    pub(crate) fn expire_head(self: &Arc<Queue>, priority: u8, offsets: Range<i64>) {
        let mut state = lock(&self.state);
        let mut expired = Vec::new();
        while let Some((first, head)) = state.machine.head()
            && first == priority
            && offsets.contains(&head)
            && let Some(taken) = state.machine.take(offsets.end.abs_diff(head))
        {
            expired.push(taken);
        }
        self.bury(&mut state, expired, Reason::Expired);
        self.note_change(&mut state);
    }

    pub fn definition(&self) -> &QueueDefinition {
        &self.definition
    }

    pub fn id(&self) -> QueueId {
        self.definition.id
    }

    pub fn name(&self) -> &str {
        &self.definition.name
    }

    pub fn is_deleted(&self) -> bool {
        self.is_deleted.load(Ordering::Acquire)
    }

    pub fn counts(&self) -> Counts {
        let mut state = lock(&self.state);
        self.look(&mut state.machine);
        state.machine.counts()
    }

    /// Registers a consumer, which gets what is ready at once. Cancel it when it ends.
    pub fn consume(self: &Arc<Queue>, consumer: Consumer) -> Result<(), ConsumeError> {
        let mut state = lock(&self.state);
        state.machine.consume(consumer)?;
        self.use_now(&mut state);
        self.watch(&mut state);
        self.serve(&mut state);
        Ok(())
    }

    /// A consumer gets nothing more; what it acquired stays its own. Returns whether it was the last one.
    pub fn cancel(self: &Arc<Queue>, mailbox: &Arc<Mailbox>, key: u64) -> bool {
        let mut state = lock(&self.state);
        let was_there = state.machine.consumers.remove(mailbox, key);
        self.use_now(&mut state);
        self.serve(&mut state);
        was_there && state.machine.consumers.len() == 0
    }

    /// Acquires the first message for somebody who does not consume.
    pub fn get(self: &Arc<Queue>) -> Option<Taken> {
        let mut state = lock(&self.state);
        self.look(&mut state.machine);
        self.use_now(&mut state);
        let taken = state.machine.take(1);
        self.note_change(&mut state);
        taken
    }

    /// Gives what is ready to consumers. To be called when a consumer of the queue was given credit.
    pub fn deliver(self: &Arc<Queue>) {
        self.serve(&mut lock(&self.state));
    }

    /// What was acquired leaves the queue. It takes effect at once, and is stored soon ([`crate::Broker::store_queues`]).
    pub fn acknowledge(self: &Arc<Queue>, settled: impl IntoIterator<Item = (u8, Range<i64>)>) {
        let mut state = lock(&self.state);
        for (priority, offsets) in settled {
            state.machine.settle(priority, offsets);
        }
        self.serve(&mut state);
        self.note_change(&mut state);
    }

    /// What was acquired is ready again, each message at its place. With `delivered` somebody may have seen it. What was
    /// returned too often is dead-lettered.
    pub fn give_back(self: &Arc<Queue>, returned: impl IntoIterator<Item = Taken>, delivered: bool) {
        let limit = self.definition.options.delivery_limit;
        let mut state = lock(&self.state);
        let mut dead = Vec::new();
        for taken in returned {
            dead.extend(state.machine.give_back(taken, delivered, limit));
        }
        self.bury(&mut state, dead, Reason::DeliveryLimit);
        // What came back is older than the head that was looked at.
        state.expiry = Expiring {
            used_ms: state.expiry.used_ms,
            ..Expiring::default()
        };
        self.serve(&mut state);
        self.drop_excess(&mut state);
        self.note_change(&mut state);
    }

    /// What was acquired is dead-lettered, or leaves the queue where there is nowhere to.
    pub fn reject(self: &Arc<Queue>, rejected: impl IntoIterator<Item = Taken>, reason: Reason) {
        let mut state = lock(&self.state);
        self.bury(&mut state, rejected, reason);
        self.serve(&mut state);
        self.note_change(&mut state);
    }

    /// What is ready leaves the queue. Returns how many messages that were.
    pub fn purge(self: &Arc<Queue>) -> u64 {
        let mut state = lock(&self.state);
        self.look(&mut state.machine);
        let purged = state.machine.purge();
        self.note_change(&mut state);
        purged
    }

    /// Whether this is the consumer that a queue with a single active consumer serves.
    pub fn is_active(&self, mailbox: &Arc<Mailbox>, key: u64) -> bool {
        lock(&self.state).machine.consumers.is_active(mailbox, key)
    }

    /// Closes the queue for ever, unless it is used or holds something and the caller minds. Called by the topology alone,
    /// which takes the queue out of it next. Returns how many messages were ready.
    pub(crate) fn delete(&self, if_unused: bool, if_empty: bool) -> Result<u64, NotDeleted> {
        let mut state = lock(&self.state);
        self.look(&mut state.machine);
        let counts = state.machine.counts();
        // Of both reasons RabbitMQ says this one.
        if if_empty && counts.ready > 0 {
            return Err(NotDeleted::NotEmpty);
        }
        if if_unused && counts.consumers > 0 {
            return Err(NotDeleted::InUse);
        }
        self.queues.forget(self.id());
        self.is_deleted.store(true, Ordering::Release);
        let lanes = state.machine.delete();
        if let Err(error) = self
            .queues
            .delete_lanes(self.id(), &lanes, self.definition.is_stored())
        {
            tracing::error!(%error, queue = ?self.definition, "the messages of a deleted queue stay until the next start");
        }
        Ok(counts.ready)
    }

    /// The log that messages of this priority go to. The first one creates it.
    pub(crate) fn lane_log(&self, priority: u8) -> Result<Option<LogId>, AppendError> {
        let mut state = lock(&self.state);
        if state.machine.deleted {
            return Ok(None);
        }
        if let Some(lane) = state.machine.lane(priority) {
            return Ok(Some(lane.log()));
        }
        let log = self.queues.engine.allocate(1);
        let kind = if self.definition.is_stored() {
            Kind::Durable
        } else {
            Kind::Memory
        };
        let mut lane = Lane::new(priority, log);
        let mut records = Vec::new();
        if self.definition.is_stored() {
            lane.store(false, |change| {
                records.push(record::of_lane(self.id(), priority, change));
            });
        }
        let create = Frame::changes(vec![Change::Create { log, kind }]);
        self.queues.append(create, &records)?;
        state.machine.add_lane(lane);
        if state.is_watched {
            self.watch_log(log);
        }
        Ok(Some(log))
    }

    pub(crate) fn lane_of(&self, priority: u8) -> Option<LogId> {
        lock(&self.state).machine.lane(priority).map(Lane::log)
    }

    /// Messages that somebody acquired are found to be too old.
    pub(crate) fn expire(self: &Arc<Queue>, taken: &Taken, offsets: Vec<i64>) {
        if offsets.is_empty() {
            return;
        }
        let expired = offsets.into_iter().map(|offset| Taken {
            offsets: offset..offset + 1,
            ..taken.clone()
        });
        self.reject(expired, Reason::Expired);
    }

    /// The queue's logs have more.
    pub(crate) fn advance(self: &Arc<Queue>) {
        let mut state = lock(&self.state);
        self.serve(&mut state);
        self.drop_excess(&mut state);
    }

    /// What no consumer took and is too much leaves the queue, the oldest first.
    fn drop_excess(self: &Arc<Queue>, state: &mut State) {
        let excess = state.machine.take_excess(&self.definition.options);
        if !excess.is_empty() {
            self.bury(state, excess, Reason::MaxLength);
            self.note_change(state);
        }
    }

    /// Whether so many more messages of so many bytes may be published.
    pub(crate) fn accepts(&self, messages: u64, bytes: u64) -> bool {
        let mut state = lock(&self.state);
        self.look(&mut state.machine);
        !state.machine.is_full(&self.definition.options, messages, bytes)
    }

    /// The bodies of messages that were appended have these sizes.
    pub(crate) fn note_sizes(&self, priority: u8, first: i64, bytes: &[u32]) {
        if let Some(lane) = lock(&self.state).machine.lane_mut(priority) {
            lane.note_sizes(first, bytes);
        }
    }

    pub(crate) fn limits_bytes(&self) -> bool {
        self.definition.options.max_length_bytes.is_some()
    }

    /// What of each lane is ready now, without acquiring it.
    pub(crate) fn ready_ranges(&self) -> Vec<Taken> {
        let state = lock(&self.state);
        let lanes = state.machine.lanes();
        lanes
            .flat_map(|lane| {
                let ranges = lane.pending(0..lane.end());
                ranges.into_iter().map(|offsets| Taken {
                    priority: lane.priority(),
                    offsets,
                    redelivered: false,
                    returns: 0,
                })
            })
            .collect()
    }

    /// Messages up to here were appended to a lane.
    pub(crate) fn note_appended(&self, priority: u8, end: i64) {
        if let Some(lane) = lock(&self.state).machine.lane_mut(priority) {
            lane.note_appended(end);
        }
    }

    /// Lanes in which there may be references, with their logs and where what was appended to them ends.
    pub(crate) fn lanes_with_references(&self) -> Vec<(u8, LogId, i64)> {
        let state = lock(&self.state);
        let lanes = state.machine.lanes().filter(|lane| lane.may_refer());
        lanes
            .map(|lane| (lane.priority(), lane.log(), lane.appended()))
            .collect()
    }

    pub(crate) fn note_references(&self, priority: u8, offsets: Range<i64>) {
        if let Some(lane) = lock(&self.state).machine.lane_mut(priority) {
            lane.note_references(offsets);
        }
    }

    pub(crate) fn pending_references(&self, priority: u8) -> Vec<Range<i64>> {
        let mut state = lock(&self.state);
        let lane = state.machine.lane_mut(priority);
        lane.map(Lane::pending_references).unwrap_or_default()
    }

    pub(crate) fn note_without_references(&self, priority: u8, pages: &[i64]) {
        if let Some(lane) = lock(&self.state).machine.lane_mut(priority) {
            lane.note_without_references(pages);
        }
    }

    /// Lanes much of which is settled behind something that is not, with what is wanted of each.
    pub(crate) fn reclaim(&self, gain_min: u64) -> Vec<(LogId, Vec<Range<i64>>)> {
        if !self.definition.is_stored() {
            return Vec::new();
        }
        let mut state = lock(&self.state);
        let lanes = state.machine.lanes_mut().filter(|lane| lane.has_settled());
        lanes
            .filter_map(|lane| {
                let extents = self.queues.engine.extents(lane.log());
                let bytes = extents.iter().map(|extent| extent.bytes).sum();
                Some((lane.log(), lane.reclaim(bytes, gain_min)?))
            })
            .collect()
    }

    /// Whether publishing has to know how many messages there are.
    pub(crate) fn refuses_when_full(&self) -> bool {
        let options = &self.definition.options;
        options.overflow != Overflow::DropHead
            && (options.max_length.is_some() || options.max_length_bytes.is_some())
    }

    /// Hands out what is to be stored and trimmed. Returns whether something is left to trim.
    pub(crate) fn store(
        &self,
        is_last: bool,
        trim_after: i64,
        records: &mut Vec<StateRecord>,
        trims: &mut Vec<Change>,
    ) -> bool {
        let mut state = lock(&self.state);
        state.is_noted = false;
        let mut is_untrimmed = false;
        for lane in state.machine.lanes_mut() {
            let priority = lane.priority();
            if is_last || lane.is_changed() {
                lane.store(is_last, |change| {
                    if self.definition.is_stored() {
                        records.push(record::of_lane(self.id(), priority, change));
                    }
                });
            }
            match lane.trim(trim_after) {
                Some(to) => trims.push(Change::Trim { log: lane.log(), to }),
                None => is_untrimmed |= lane.is_untrimmed(),
            }
        }
        is_untrimmed
    }

    /// What is to be stored for these to have left the queue.
    pub(crate) fn preview(&self, settled: &[(u8, Range<i64>)], records: &mut Vec<StateRecord>) {
        if !self.definition.is_stored() {
            return;
        }
        for lane in lock(&self.state).machine.lanes_mut() {
            let priority = lane.priority();
            let of_lane = settled.iter().filter(|(other, _)| *other == priority);
            lane.preview(of_lane.map(|(_, offsets)| offsets.clone()), |change| {
                records.push(record::of_lane(self.id(), priority, change));
            });
        }
    }

    /// Deletes the queue if it is empty. Nobody can publish to it then.
    pub(crate) fn close_empty(&self) -> bool {
        let counts = self.counts();
        counts.ready == 0 && counts.unacknowledged == 0 && self.delete(false, true).is_ok()
    }

    /// Somebody waits for messages, or for them to be too many or too old.
    fn is_limited(&self) -> bool {
        let options = &self.definition.options;
        options.max_length.is_some() || options.max_length_bytes.is_some() || options.message_ttl_ms.is_some()
    }

    fn watch(&self, state: &mut State) {
        if std::mem::replace(&mut state.is_watched, true) {
            return;
        }
        for lane in state.machine.lanes() {
            self.watch_log(lane.log());
        }
    }

    fn watch_log(&self, log: LogId) {
        self.queues
            .engine
            .watch(log, &self.queues.signal, self.definition.id.0);
    }

    /// What became durable can be delivered.
    fn look(&self, machine: &mut Machine) {
        for lane in machine.lanes_mut() {
            if let Some(bounds) = self.queues.engine.bounds(lane.log()) {
                lane.advance(bounds.end);
            }
        }
    }

    fn serve(self: &Arc<Queue>, state: &mut MutexGuard<'_, State>) {
        self.look(&mut state.machine);
        let single_active = self.definition.options.single_active_consumer;
        state.machine.serve(self, single_active);
        self.ask_for_look(state);
        self.note_change(state);
    }

    fn note_change(self: &Arc<Queue>, state: &mut State) {
        if state.is_noted || !state.machine.lanes().any(Lane::is_changed) {
            return;
        }
        state.is_noted = true;
        self.queues.note_change(self.clone());
    }

    fn bury(self: &Arc<Queue>, state: &mut State, dead: impl IntoIterator<Item = Taken>, reason: Reason) {
        for taken in dead {
            if self.definition.options.dead_letter_exchange.is_some() {
                self.queues.bury(Death {
                    queue: self.clone(),
                    taken,
                    reason,
                });
            } else {
                state.machine.settle(taken.priority, taken.offsets);
            }
        }
    }
}

#[cfg(test)]
mod tests;

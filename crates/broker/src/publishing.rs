//! Publishing to queues: what one reading of a socket brought is stored as one frame.
//!
//! ```text
//! one durable target      -> a record of its lane
//! several durable targets -> a record of the exchange's fan-out log, and in each lane a reference to it
//! targets in memory       -> a record of each lane, which is in memory as well
//! topics                  -> a record of a partition of each (publishing/topics.rs)
//! ```
//!
//! A reference is a batch of one record that takes as many offsets as it refers to: `'r' -> log u64, first offset i64`.
//! Offset by offset it stands for the messages of the fan-out log. Fan-out logs are trimmed when nothing refers to them any more
//! (fan_out.rs).

mod topics;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, MutexGuard};

use firth_batch::{Batch, Builder, Compression, RecordHeader, Records};
use firth_log::{Append, AppendError, Commit, FRAME_BYTES_MAX, Frame, LogId, Placed};

use self::topics::ForTopics;
use crate::fan_out::{FanOut, Head};
use crate::message::Message;
use crate::queue::Queue;
use crate::queues::Queues;
use crate::{Broker, StateRecord, TopicId, partition_key};

/// A batch that is larger is complete: a reader takes in at least one.
const BATCH_BYTES: usize = 256 * 1024;
/// More than this is stored before more is taken.
const PUBLICATION_BYTES: usize = FRAME_BYTES_MAX / 4;
const REFERENCE: &[u8] = b"r";

/// What stands in a lane for messages that are stored once for several queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) log: LogId,
    /// Where the message of offset 0 of the lane would be.
    shift: i64,
}

impl Reference {
    /// What a batch that begins at this offset refers to; None where it holds messages.
    pub(crate) fn of(records: &Records, base_offset: i64) -> Option<Reference> {
        let header = records.header();
        if header.record_count != 1 {
            return None;
        }
        let record = records.iter().next()?.ok()?;
        let reference = record
            .headers
            .into_iter()
            .next()
            .filter(|header| header.key == REFERENCE)?;
        let (log, first) = reference.value?.split_first_chunk::<8>()?;
        let first = i64::from_be_bytes(first.try_into().ok()?);
        Some(Reference {
            log: LogId(u64::from_be_bytes(*log)),
            shift: first.checked_sub(base_offset)?,
        })
    }

    /// Where the message with this offset of the lane is.
    pub(crate) fn at(&self, offset: i64) -> i64 {
        offset.saturating_add(self.shift)
    }

    fn batch(log: LogId, first: i64, count: i32, now_ms: i64) -> Batch {
        let mut value = [0; 16];
        let (log_place, first_place) = value.split_at_mut(8);
        log_place.copy_from_slice(&log.0.to_be_bytes());
        first_place.copy_from_slice(&first.to_be_bytes());
        let mut builder = Builder::with_capacity(Compression::None, 40).spanning(count);
        let header = RecordHeader {
            key: REFERENCE,
            value: Some(&value),
        };
        builder.push(now_ms.max(0), None, None, &[header]);
        builder.build()
    }
}

/// What became of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Queues that took it.
    pub queues: usize,
    /// Queues that are full and refuse more.
    pub refused: usize,
}

/// What became of a message for topics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublishedToTopics {
    /// Topics that took it.
    pub topics: usize,
    /// Topics whose rules it breaks.
    pub refused: usize,
}

/// Messages that are stored together. Nothing is stored before [`Publication::store`].
#[derive(Debug)]
pub struct Publication {
    queues: Arc<Queues>,
    now_ms: i64,
    lanes: Vec<Lane>,
    /// Places in `lanes`.
    by_log: HashMap<LogId, usize>,
    fan_outs: Vec<(Arc<FanOut>, Sequence)>,
    topics: ForTopics,
    bytes: usize,
}

/// What a lane gets.
#[derive(Debug)]
struct Lane {
    log: LogId,
    queue: Arc<Queue>,
    priority: u8,
    in_memory: bool,
    parts: Vec<Part>,
    open: Option<Sequence>,
    messages: u64,
    /// Of the bodies, where the queue has a limit of bytes.
    bytes: u64,
    sizes: Vec<u32>,
}

#[derive(Debug)]
enum Part {
    Own(Batch),
    /// Messages of a fan-out of the publication: which one, from which of its messages on, and how many.
    References {
        fan_out: usize,
        first: i64,
        count: i32,
    },
}

/// Messages that follow each other in a log.
#[derive(Debug)]
struct Sequence {
    builder: Builder,
    batches: Vec<Batch>,
    messages: i64,
}

impl Publication {
    pub(crate) fn new(queues: &Arc<Queues>) -> Publication {
        Publication {
            queues: queues.clone(),
            now_ms: queues.now_ms(),
            lanes: Vec::new(),
            by_log: HashMap::new(),
            fan_outs: Vec::new(),
            topics: ForTopics::default(),
            bytes: 0,
        }
    }

    pub(crate) fn queues(&self) -> &Arc<Queues> {
        &self.queues
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.now_ms
    }

    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty() && self.topics.is_empty()
    }

    /// There is enough to be stored before more is added.
    pub fn is_full(&self) -> bool {
        self.bytes >= PUBLICATION_BYTES
    }

    /// Adds a message for these queues of a virtual host, each of them once.
    ///
    /// # Errors
    /// A lane could not be created. The message was added for none of them.
    pub fn publish(
        &mut self,
        virtual_host: &Arc<str>,
        targets: &[Arc<Queue>],
        message: &Message<'_>,
    ) -> Result<Published, AppendError> {
        let mut published = Published::default();
        let mut lanes: smallvec::SmallVec<[usize; 8]> = smallvec::SmallVec::new();
        for queue in targets {
            let max = queue.definition().options.max_priority.unwrap_or(0);
            let priority = message.priority.min(max);
            let Some(log) = queue.lane_log(priority)? else {
                continue;
            };
            let at = self.lane(log, queue, priority);
            let (more, more_bytes) = self
                .lanes
                .get(at)
                .map_or((0, 0), |lane| (lane.messages, lane.bytes));
            let bytes = more_bytes + message.body.len() as u64;
            if queue.refuses_when_full() && !queue.accepts(more + 1, bytes) {
                published.refused += 1;
                continue;
            }
            if message.expiration_ms.is_some() {
                queue.note_expiring();
            }
            published.queues += 1;
            lanes.push(at);
        }
        let is_durable = |at: &usize| self.lanes.get(*at).is_some_and(|lane| !lane.in_memory);
        let durable = lanes.iter().filter(|at| is_durable(at)).count();
        let reference = (durable > 1).then(|| self.fan_out(virtual_host, message));
        for at in lanes {
            let Some(lane) = self.lanes.get_mut(at) else {
                continue;
            };
            lane.messages += 1;
            if lane.queue.limits_bytes() {
                lane.bytes += message.body.len() as u64;
                lane.sizes
                    .push(u32::try_from(message.body.len()).unwrap_or(u32::MAX));
            }
            match reference {
                Some((fan_out, first)) if !lane.in_memory => lane.refer(fan_out, first),
                _ => {
                    lane.open
                        .get_or_insert_with(Sequence::new)
                        .push(message, self.now_ms);
                    self.bytes += message.len();
                }
            }
        }
        Ok(published)
    }

    /// Adds a message for these topics, each of them once. What is refused is larger than the topic allows, or has no key and
    /// the topic is compacted. The partition and the record's key come from a header, or else from the routing key
    /// ([`partition_key`]).
    pub fn publish_to_topics(
        &mut self,
        broker: &Broker,
        topics: &[TopicId],
        message: &Message<'_>,
    ) -> PublishedToTopics {
        let mut published = PublishedToTopics::default();
        if topics.is_empty() {
            return published;
        }
        let key = broker.formats().look(message.properties, |headers, _| {
            partition_key(message.routing_key, headers).into_owned()
        });
        for topic in topics {
            let bytes = self.bytes + message.len() + key.len();
            // A frame holds all of it, with what it is wrapped in.
            let added = match bytes <= FRAME_BYTES_MAX - BATCH_BYTES {
                true => self.topics.add(broker, *topic, &key, message, self.now_ms),
                false => Some(false),
            };
            match added {
                Some(true) => {
                    self.bytes = bytes;
                    published.topics += 1;
                }
                Some(false) => published.refused += 1,
                None => {}
            }
        }
        published
    }

    fn lane(&mut self, log: LogId, queue: &Arc<Queue>, priority: u8) -> usize {
        *self.by_log.entry(log).or_insert_with(|| {
            self.lanes.push(Lane {
                log,
                queue: queue.clone(),
                priority,
                in_memory: !queue.definition().is_stored(),
                parts: Vec::new(),
                open: None,
                messages: 0,
                bytes: 0,
                sizes: Vec::new(),
            });
            self.lanes.len() - 1
        })
    }

    /// Adds a message to the exchange's fan-out log. Says which fan-out that is, and which of its messages.
    fn fan_out(&mut self, virtual_host: &Arc<str>, message: &Message<'_>) -> (usize, i64) {
        self.bytes += message.len();
        let fan_out = self.queues.fan_outs.of(virtual_host, message.exchange);
        let known = self
            .fan_outs
            .iter()
            .position(|(other, _)| Arc::ptr_eq(other, &fan_out));
        let at = known.unwrap_or_else(|| {
            self.fan_outs.push((fan_out, Sequence::new()));
            self.fan_outs.len() - 1
        });
        let Some((_, sequence)) = self.fan_outs.get_mut(at) else {
            return (at, 0);
        };
        let first = sequence.messages;
        sequence.push(message, self.now_ms);
        (at, first)
    }

    /// Appends everything as one frame; what is in memory alone is there at once. Does no I/O and does not wait.
    ///
    /// # Errors
    /// Nothing durable was stored. It can be tried again where the disk was full.
    pub fn store(&mut self) -> Result<Commit, AppendError> {
        self.store_with(&[])
    }

    /// As [`Publication::store`], and in the same frame these messages leave their queue.
    pub(crate) fn store_with_settled(
        &mut self,
        queue: &Arc<Queue>,
        settled: &[(u8, Range<i64>)],
    ) -> Result<Commit, AppendError> {
        let queues = self.queues.clone();
        queues.settle_with(queue, settled, |records| self.store_with(records))
    }

    fn store_with(&mut self, records: &[StateRecord]) -> Result<Commit, AppendError> {
        for lane in &mut self.lanes {
            lane.close();
        }
        for (_, sequence) in &mut self.fan_outs {
            sequence.close();
        }
        let commit = self.store_durable(records)?;
        for lane in self.lanes.iter().filter(|lane| lane.in_memory) {
            let mut placed = Vec::new();
            for part in &lane.parts {
                if let Part::Own(batch) = part {
                    // A queue that was deleted in between takes nothing.
                    let appended = self.queues.engine.append(Frame::batch(lane.log, batch.clone()));
                    placed.extend(appended.into_iter().flat_map(|appended| appended.placed));
                }
            }
            lane.note_appended(&placed);
        }
        Ok(commit)
    }

    fn store_durable(&mut self, records: &[StateRecord]) -> Result<Commit, AppendError> {
        // Everybody locks fan-outs in the order of their logs.
        let mut order: Vec<usize> = (0..self.fan_outs.len()).collect();
        order.sort_by_key(|at| self.fan_outs[*at].0.order());
        let mut heads: Vec<Option<MutexGuard<'_, Option<Head>>>> =
            self.fan_outs.iter().map(|_| None).collect();
        for at in order {
            heads[at] = Some(self.fan_outs[at].0.lock(&self.queues)?);
        }
        let mut heads: Vec<&mut Head> = heads
            .iter_mut()
            .flatten()
            .filter_map(|head| head.as_mut())
            .collect();
        loop {
            let mut frame = Frame::default();
            for ((_, sequence), head) in self.fan_outs.iter().zip(&heads) {
                let batches = sequence.batches.iter().cloned();
                frame
                    .appends
                    .extend(batches.map(|batch| Append { log: head.log, batch }));
            }
            for lane in self.lanes.iter().filter(|lane| !lane.in_memory) {
                for part in &lane.parts {
                    let batch = match part {
                        Part::Own(batch) => batch.clone(),
                        Part::References {
                            fan_out,
                            first,
                            count,
                        } => {
                            let head = &heads[*fan_out];
                            Reference::batch(head.log, head.next + first, *count, self.now_ms)
                        }
                    };
                    frame.appends.push(Append { log: lane.log, batch });
                }
            }
            frame.appends.extend(self.topics.appends());
            if frame.appends.is_empty() && records.is_empty() {
                return Ok(Commit::done());
            }
            if !records.is_empty() {
                frame.appends.push(self.queues.batch(records)?);
            }
            match self.queues.engine.append(frame) {
                Ok(appended) => {
                    // Those of the fan-outs come first.
                    let own = self
                        .fan_outs
                        .iter()
                        .map(|(_, sequence)| sequence.batches.len())
                        .sum();
                    self.note_appended(appended.placed.get(own..).unwrap_or_default());
                    for ((_, sequence), head) in self.fan_outs.iter().zip(&mut heads) {
                        head.next += sequence.messages;
                    }
                    self.topics.stored();
                    return Ok(appended.commit);
                }
                // The queue was deleted in between, and its messages with it.
                Err(AppendError::UnknownLog(log)) if self.lanes.iter().any(|lane| lane.log == log) => {
                    self.lanes.retain(|lane| lane.log != log);
                }
                // So was the topic.
                Err(AppendError::UnknownLog(log)) if self.topics.remove(log) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Tells lanes what they have to know, while fan-outs are locked. Placements are in the order of the lanes' parts.
    fn note_appended(&self, mut placed: &[Placed]) {
        for lane in self.lanes.iter().filter(|lane| !lane.in_memory) {
            let (own, others) = placed.split_at(lane.parts.len().min(placed.len()));
            lane.note_appended(own);
            placed = others;
        }
    }
}

impl Lane {
    /// What was appended lies in the log as it does here, but for other people's messages in between.
    fn note_appended(&self, placed: &[Placed]) {
        let mut sizes = &self.sizes[..];
        for (part, placed) in self.parts.iter().zip(placed) {
            let offsets = placed.base_offset..placed.base_offset + part.len();
            if self.queue.limits_bytes() {
                let (own, others) = sizes.split_at(sizes.len().min(part.len() as usize));
                self.queue.note_sizes(self.priority, offsets.start, own);
                sizes = others;
            }
            if matches!(part, Part::References { .. }) {
                self.queue.note_references(self.priority, offsets);
            } else if self.queue.refuses_when_full() {
                self.queue.note_appended(self.priority, offsets.end);
            }
        }
    }

    fn refer(&mut self, fan_out: usize, first: i64) {
        if let Some(open) = self.open.take() {
            self.parts.extend(open.into_batches().map(Part::Own));
        }
        if let Some(Part::References {
            fan_out: last,
            first: from,
            count,
        }) = self.parts.last_mut()
            && *last == fan_out
            && *from + i64::from(*count) == first
        {
            *count += 1;
            return;
        }
        self.parts.push(Part::References {
            fan_out,
            first,
            count: 1,
        });
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            self.parts.extend(open.into_batches().map(Part::Own));
        }
    }
}

impl Part {
    /// Offsets that it takes.
    fn len(&self) -> i64 {
        match self {
            Part::Own(batch) => i64::from(batch.header().last_offset_delta) + 1,
            Part::References { count, .. } => i64::from(*count),
        }
    }
}

impl Sequence {
    fn new() -> Sequence {
        Sequence {
            builder: Builder::new(Compression::None),
            batches: Vec::new(),
            messages: 0,
        }
    }

    fn push(&mut self, message: &Message<'_>, now_ms: i64) {
        message.push(&mut self.builder, now_ms);
        self.messages += 1;
        if self.builder.len() >= BATCH_BYTES {
            self.close();
        }
    }

    fn close(&mut self) {
        if !self.builder.is_empty() {
            let builder = std::mem::replace(&mut self.builder, Builder::new(Compression::None));
            self.batches.push(builder.build());
        }
    }

    fn into_batches(mut self) -> impl Iterator<Item = Batch> {
        self.close();
        self.batches.into_iter()
    }
}

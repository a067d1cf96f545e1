//! Reads messages that somebody acquired.
//!
//! A lane's log holds messages, and references to messages that an exchange stored once for several queues (publishing.rs).

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use firth_batch::{Batch, Batches, Position, Records};
use firth_log::{Engine, LogId, ReadError};

use super::{Queue, Taken};
use crate::message::Message;
use crate::publishing::Reference;

/// Bytes that are read at a time.
const READ_BYTES: usize = 256 * 1024;

/// A message that was acquired.
#[derive(Debug)]
pub struct Delivered<'a> {
    pub priority: u8,
    pub offset: i64,
    pub redelivered: bool,
    /// How often it was given back after a delivery, where the queue counts that.
    pub returns: u32,
    /// When it came, in milliseconds since 1970.
    pub published_ms: i64,
    pub message: Message<'a>,
    records: &'a Records,
}

impl Delivered<'_> {
    /// A part of the message, sharing the memory that it was read into.
    pub fn share(&self, part: &[u8]) -> Bytes {
        self.records.slice(part)
    }
}

/// What became of a message that was handed out. `true` is [`Handed::More`], `false` is [`Handed::Enough`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handed {
    /// It was taken, and the next one is wanted.
    More,
    /// It was taken, and no other one is wanted now.
    Enough,
    /// It was not taken: it is among what is left.
    Refused,
}

impl From<bool> for Handed {
    fn from(goes_on: bool) -> Handed {
        if goes_on { Handed::More } else { Handed::Enough }
    }
}

/// Reads messages of one queue, best in ascending order. It holds on to what it read last: do not keep it for long.
#[derive(Debug)]
pub struct Reader {
    queue: Arc<Queue>,
    lane: LogReader,
    fan_out: LogReader,
    /// What has expired is handed out as well, and what is not there any more is passed.
    of_dead: bool,
}

impl Reader {
    pub fn new(queue: Arc<Queue>) -> Reader {
        Reader {
            queue,
            lane: LogReader::default(),
            fan_out: LogReader::default(),
            of_dead: false,
        }
    }

    /// A reader of messages for which it does not matter whether they have expired, and that leaves it to the caller to settle
    /// everything.
    pub(crate) fn of_dead(queue: Arc<Queue>) -> Reader {
        Reader {
            of_dead: true,
            ..Reader::new(queue)
        }
    }

    /// Hands the messages to `each` in their order, until it says that this is enough. Returns what was not handed out. Messages
    /// that have expired are not handed out, nor are those of which nothing is left after damage: they leave the queue.
    ///
    /// # Errors
    /// What cannot be read; nothing of that was handed out, and it stays acquired.
    pub async fn read<H: Into<Handed>>(
        &mut self,
        taken: Taken,
        mut each: impl FnMut(Delivered<'_>) -> H,
    ) -> Result<Option<Taken>, (ReadError, Taken)> {
        let Some(log) = self.queue.lane_of(taken.priority) else {
            return Ok(None);
        };
        let mut rest = Some(taken);
        while let Some(taken) = rest.take() {
            let found = self.find(log, &taken).await;
            let (count, goes_on) = match found {
                Err(error) => return Err((error, taken)),
                Ok(Found::Nothing { count }) => {
                    let (gone, left) = taken.clone().split(count);
                    if !self.of_dead {
                        self.queue.acknowledge([(gone.priority, gone.offsets)]);
                    }
                    rest = left;
                    continue;
                }
                Ok(Found::Messages) => self.hand_out(&taken, &mut each),
            };
            let (_, left) = taken.split(count);
            rest = left;
            if !goes_on {
                break;
            }
        }
        Ok(rest)
    }

    /// Brings the first of the messages within reach.
    async fn find(&mut self, log: LogId, taken: &Taken) -> Result<Found, ReadError> {
        let engine = &self.queue.queues.engine;
        let offset = taken.offsets.start;
        self.lane.seek(engine, log, offset).await?;
        let Some(open) = self.lane.open.as_mut().filter(|open| open.holds(offset)) else {
            return Ok(Found::Nothing {
                count: self.lane.missing(offset, taken),
            });
        };
        let Some(reference) = open.reference() else {
            return open.first(offset, taken);
        };
        let at = reference.at(offset);
        // Both became durable together, and the engine is just now saying so of one log after the other.
        while engine
            .bounds(reference.log)
            .is_some_and(|bounds| bounds.end <= at)
        {
            tokio::task::yield_now().await;
        }
        self.fan_out.seek(engine, reference.log, at).await?;
        match self.fan_out.open.as_mut().filter(|open| open.holds(at)) {
            Some(open) => open.first(at, taken),
            None => Ok(Found::Nothing { count: 1 }),
        }
    }

    /// Hands out what lies in the batch that was found. Returns how many messages that were.
    fn hand_out<H: Into<Handed>>(
        &mut self,
        taken: &Taken,
        each: &mut impl FnMut(Delivered<'_>) -> H,
    ) -> (u64, bool) {
        let offset = taken.offsets.start;
        let reference = self.lane.open.as_ref().and_then(Open::reference);
        let end = self.lane.open.as_ref().map_or(offset, |open| open.next_offset);
        let end = end.min(taken.offsets.end);
        let (open, shift) = match reference {
            Some(reference) => (self.fan_out.open.as_mut(), reference.at(offset) - offset),
            None => (self.lane.open.as_mut(), 0),
        };
        let Some(open) = open else {
            return (0, false);
        };
        let now_ms = self.queue.queues.now_ms();
        let ttl_ms = self.queue.definition.options.message_ttl_ms;
        let (mut count, mut goes_on) = (0, true);
        let mut expired = Vec::new();
        let mut records = open.records.resume(open.position);
        while goes_on {
            let position = records.position();
            let Some(Ok(record)) = records.next() else {
                break;
            };
            let offset = record.offset - shift;
            if offset < taken.offsets.start {
                continue;
            }
            // A record that is missing ends this: the next look tells.
            if offset >= end || offset != taken.offsets.start.saturating_add_unsigned(count) {
                open.position = position;
                break;
            }
            let message = Message::of(&record);
            if !self.of_dead && is_expired(&message, ttl_ms, record.timestamp, now_ms) {
                expired.push(offset);
            } else {
                let handed = each(Delivered {
                    priority: taken.priority,
                    offset,
                    redelivered: taken.redelivered,
                    returns: taken.returns,
                    published_ms: record.timestamp,
                    message,
                    records: &open.records,
                });
                let handed = handed.into();
                goes_on = handed == Handed::More;
                if handed == Handed::Refused {
                    open.position = position;
                    break;
                }
            }
            count += 1;
            open.position = records.position();
            open.passed = record.offset.saturating_add(1);
        }
        self.queue.expire(taken, expired);
        (count, goes_on)
    }
}

/// What is there of messages.
enum Found {
    Messages,
    /// The first so many cannot be read any more.
    Nothing {
        count: u64,
    },
}

/// When a message expires that came at this time; None for never.
pub(crate) fn deadline_ms(message: &Message<'_>, ttl_ms: Option<u64>, published_ms: i64) -> Option<i64> {
    let ttl_ms = match (ttl_ms, message.expiration_ms) {
        (Some(queue), Some(own)) => queue.min(own),
        (queue, own) => queue.or(own)?,
    };
    Some(published_ms.saturating_add_unsigned(ttl_ms))
}

/// A message that expires at once can still be delivered at once: what is in the queue after that is taken out by expiry.rs.
fn is_expired(message: &Message<'_>, ttl_ms: Option<u64>, published_ms: i64, now_ms: i64) -> bool {
    deadline_ms(message, ttl_ms, published_ms)
        .is_some_and(|deadline| deadline < now_ms && deadline > published_ms)
}

/// Batches of one log, one after the other.
#[derive(Debug, Default)]
struct LogReader {
    log: Option<LogId>,
    slices: VecDeque<Bytes>,
    open: Option<Open>,
}

/// The batch that is being read.
#[derive(Debug)]
struct Open {
    records: Records,
    position: Position,
    /// Records before this offset lie before the position.
    passed: i64,
    base_offset: i64,
    next_offset: i64,
}

impl LogReader {
    /// Opens the batch that holds the offset, or the next one.
    async fn seek(&mut self, engine: &Engine, log: LogId, offset: i64) -> Result<(), ReadError> {
        if self.log != Some(log) || self.open.as_ref().is_some_and(|open| open.base_offset > offset) {
            *self = LogReader {
                log: Some(log),
                ..LogReader::default()
            };
        }
        if let Some(open) = self.open.as_mut().filter(|open| open.holds(offset)) {
            open.rewind(offset);
            return Ok(());
        }
        if self.open_next(offset)? {
            return Ok(());
        }
        self.slices = engine
            .read(log, offset, READ_BYTES)
            .await?
            .slices
            .into_iter()
            .collect();
        self.open_next(offset)?;
        Ok(())
    }

    /// Opens the first batch that ends behind the offset, of those that were read.
    fn open_next(&mut self, offset: i64) -> Result<bool, ReadError> {
        self.open = None;
        while let Some(slice) = self.slices.pop_front() {
            let mut batches = Batches::new(&slice);
            while let Some(batch) = batches.next() {
                let (header, bytes) = batch.map_err(unreadable)?;
                if header.next_offset() <= offset {
                    continue;
                }
                let rest = slice.slice_ref(batches.rest());
                let batch = Batch::trusted(slice.slice_ref(bytes)).map_err(unreadable)?;
                let records = batch.records(usize::MAX).map_err(unreadable)?;
                self.open = Some(Open {
                    position: records.start(),
                    records,
                    passed: header.base_offset,
                    base_offset: header.base_offset,
                    next_offset: header.next_offset(),
                });
                self.slices.push_front(rest);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How many of the messages are missing before the batch that was found.
    fn missing(&self, offset: i64, taken: &Taken) -> u64 {
        let found = self.open.as_ref().map(|open| open.base_offset);
        let end = found.unwrap_or(taken.offsets.end).min(taken.offsets.end);
        end.abs_diff(offset).max(1)
    }
}

impl Open {
    fn holds(&self, offset: i64) -> bool {
        (self.base_offset..self.next_offset).contains(&offset)
    }

    /// What the batch refers to, if it holds no messages itself.
    fn reference(&self) -> Option<Reference> {
        Reference::of(&self.records, self.base_offset)
    }

    /// Whether the record with this offset is there.
    fn first(&mut self, offset: i64, taken: &Taken) -> Result<Found, ReadError> {
        self.position = self.records.seek(self.position, offset).map_err(unreadable)?;
        self.passed = offset;
        let found = self.records.resume(self.position).next();
        let found = found.transpose().map_err(unreadable)?;
        let next = found.map_or(self.next_offset, |record| record.offset);
        Ok(match next == offset {
            true => Found::Messages,
            false => Found::Nothing {
                count: next.abs_diff(offset).min(taken.len()),
            },
        })
    }

    /// Goes back to the first record where the one with this offset was passed.
    fn rewind(&mut self, offset: i64) {
        if offset < self.passed {
            self.position = self.records.start();
            self.passed = self.base_offset;
        }
    }
}

fn unreadable(error: firth_batch::Error) -> ReadError {
    ReadError::Io(std::io::Error::other(error))
}

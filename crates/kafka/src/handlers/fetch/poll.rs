use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use firth_batch::Compression;
use firth_broker::{Bounds, CompressionType, ReadError, Topic, TopicId};
use firth_kafka_codec::{EpochEndOffset, ErrorCode, FetchPartition, PartitionData};
use tokio::time::{Instant, sleep_until};

use super::super::{LEADER_EPOCH, check_leader_epoch};
use super::room::Room;
use crate::error;
use crate::fetch_session::{Partitions, Place};
use crate::reply_memory::Held;
use crate::server::Shared;

const ZSTD: CompressionType = CompressionType::Always(Compression::Zstd);

/// What a request asks of all of its partitions together.
pub(super) struct Asked {
    pub(super) bytes_min: usize,
    pub(super) wait: Duration,
    pub(super) read_committed: bool,
    /// The client may not know zstd, so topics that are compressed by it are not for it.
    pub(super) without_zstd: bool,
    /// Partitions are answered only if the client does not know already what would be said.
    pub(super) only_news: bool,
    /// The partitions live on as a session, so watching them pays.
    pub(super) is_kept: bool,
}

/// One request while it looks for something to answer.
pub(super) struct Poll<'a> {
    server: &'a Shared,
    asked: Asked,
    partitions: Box<Partitions>,
    /// By place: for a request without a session, that is the order of the request.
    answers: BTreeMap<Place, Looked>,
    room: Room,
    /// Partitions that have records for which there is no room in this answer.
    crowded: Vec<Place>,
    /// Partitions to be watched before waiting.
    unwatched: Vec<Place>,
    /// Partitions that do not exist.
    unknown: usize,
    /// An error that the client can do something about must not wait.
    is_urgent: bool,
    looks: u64,
}

/// What a request found.
pub(super) struct Polled {
    pub(super) partitions: Box<Partitions>,
    pub(super) answers: Vec<(Place, PartitionData)>,
    /// Memory for the records in the answers.
    pub(super) held: Held,
    /// How often a partition was looked at.
    pub(super) looks: u64,
}

struct Looked {
    data: PartitionData,
    /// Bytes of records.
    bytes: usize,
    finding: Finding,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Finding {
    Records,
    /// At the end of the log.
    Nothing,
    NoRoom,
    /// There is no such topic or partition.
    Unknown,
    Error,
}

impl<'a> Poll<'a> {
    pub(super) fn new(server: &'a Shared, room: Room, asked: Asked, partitions: Box<Partitions>) -> Poll<'a> {
        Poll {
            server,
            room,
            asked,
            partitions,
            answers: BTreeMap::new(),
            crowded: Vec::new(),
            unwatched: Vec::new(),
            unknown: 0,
            is_urgent: false,
            looks: 0,
        }
    }

    /// Looks until there is enough or the time is up.
    pub(super) async fn run(mut self) -> Polled {
        self.partitions.take_signals();
        self.look().await;
        if !self.is_enough() {
            // A client may ask to wait for longer than a clock can say.
            let deadline = Instant::now().checked_add(self.asked.wait);
            let signal = self.partitions.signal().clone();
            let server = self.server;
            let mut draining = pin!(server.draining());
            loop {
                self.watch_the_rest();
                if !self.partitions.has_turns() {
                    self.room.settle();
                    tokio::select! {
                        biased;
                        () = signal.raised() => self.partitions.take_signals(),
                        () = until(deadline) => break,
                        () = &mut draining => break,
                    }
                }
                self.look().await;
                if self.is_enough() {
                    break;
                }
            }
        }
        self.finish()
    }

    fn is_enough(&self) -> bool {
        self.asked.wait.is_zero()
            || self.is_urgent
            || !self.crowded.is_empty()
            || self.unknown == self.partitions.len()
            || self.room.bytes() >= self.asked.bytes_min.min(self.room.bytes_max()).max(1)
            || self.asked.bytes_min == 0
    }

    /// Gives every partition that has a turn its look.
    async fn look(&mut self) {
        while let Some(place) = self.partitions.next_turn() {
            if let Some(earlier) = self.answers.remove(&place) {
                self.room.remove(earlier.bytes);
                self.unknown = self
                    .unknown
                    .saturating_sub(usize::from(earlier.finding == Finding::Unknown));
            }
            self.looks = self.looks.saturating_add(1);
            let Some(looked) = self.look_at(place).await else {
                continue;
            };
            match looked.finding {
                Finding::Nothing => self.quiet(place, &looked.data),
                Finding::NoRoom => self.crowded.push(place),
                Finding::Unknown => self.unknown = self.unknown.saturating_add(1),
                Finding::Error => self.is_urgent = true,
                // There may not be enough yet.
                Finding::Records => self.watch_later(place),
            }
            let is_full = looked.finding == Finding::NoRoom && self.room.is_full();
            self.answers.insert(place, looked);
            if self.asked.only_news && is_full {
                // The others keep their turns for the next request.
                return;
            }
        }
    }

    /// A partition without anything to say waits for its signal. One that is kept will do so at the next poll too.
    fn quiet(&mut self, place: Place, data: &PartitionData) {
        if !self.asked.is_kept {
            self.watch_later(place);
        } else if self.partitions.slot(place).is_some_and(|slot| !slot.watched) {
            self.watch(place, bounds(data));
        }
    }

    fn watch_later(&mut self, place: Place) {
        if self.partitions.slot(place).is_some_and(|slot| !slot.watched) {
            self.unwatched.push(place);
        }
    }

    /// Watches a partition. It gets another turn if it changed after it was looked at.
    fn watch(&mut self, place: Place, seen: Bounds) {
        let signal = self.partitions.signal().clone();
        let Some(slot) = self.partitions.slot_mut(place) else {
            return;
        };
        let Some(topic) = &slot.found else { return };
        let token = u64::try_from(place).unwrap_or(u64::MAX);
        let bounds = self
            .server
            .broker
            .watch(topic, slot.asked.partition, &signal, token);
        slot.watched = bounds.is_some();
        if bounds != Some(seen) {
            self.partitions.give_turn(place);
        }
    }

    /// Watching is put off until it is clear that there is something to wait for.
    fn watch_the_rest(&mut self) {
        for place in std::mem::take(&mut self.unwatched) {
            if let Some(looked) = self.answers.get(&place) {
                self.watch(place, bounds(&looked.data));
            }
        }
    }

    /// None if nobody asks for the partition any more.
    async fn look_at(&mut self, place: Place) -> Option<Looked> {
        let slot = self.partitions.slot(place)?;
        let asked = slot.asked.clone();
        let mut found = slot.found.clone();
        if found
            .as_ref()
            .is_none_or(|topic| self.server.broker.bounds(topic, asked.partition).is_none())
        {
            found = self.find(place);
            let slot = self.partitions.slot_mut(place)?;
            slot.found = found.clone();
            slot.watched = false;
        }
        let Some(topic) = found else {
            let error_code = match self.partitions.by_id() {
                true => ErrorCode::UnknownTopicId,
                false => ErrorCode::UnknownTopicOrPartition,
            };
            return Some(Looked::error(&asked, Finding::Unknown, error_code));
        };
        let looked = match self.read(&topic, &asked).await {
            Ok(looked) => looked,
            Err(ErrorCode::UnknownTopicOrPartition) => {
                Looked::error(&asked, Finding::Unknown, ErrorCode::UnknownTopicOrPartition)
            }
            Err(error_code) => Looked::error(&asked, Finding::Error, error_code),
        };
        Some(looked)
    }

    fn find(&self, place: Place) -> Option<Arc<Topic>> {
        let topic = self.partitions.topic_of(self.partitions.slot(place)?);
        match self.partitions.by_id() {
            true => self.server.broker.topic_by_id(TopicId(topic.id.0)),
            false => self.server.broker.topic(&topic.name),
        }
    }

    async fn read(&mut self, topic: &Topic, asked: &FetchPartition) -> Result<Looked, ErrorCode> {
        let unknown = ErrorCode::UnknownTopicOrPartition;
        let bounds = self.server.broker.bounds(topic, asked.partition).ok_or(unknown)?;
        check_leader_epoch(asked.current_leader_epoch)?;
        if self.asked.without_zstd && topic.config.compression_type == ZSTD {
            return Err(ErrorCode::UnsupportedCompressionType);
        }
        if asked.last_fetched_epoch > LEADER_EPOCH
            || asked.last_fetched_epoch == LEADER_EPOCH && asked.fetch_offset > bounds.end
        {
            return Ok(self.diverging(asked, bounds));
        }
        if !(bounds.start..=bounds.end).contains(&asked.fetch_offset) {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        if asked.fetch_offset == bounds.end {
            return Ok(self.without_records(asked, bounds, Finding::Nothing));
        }
        let read = self.room.read(&self.server.broker, topic, asked).await;
        let Some(read) = read.map_err(|error| self.code(topic, asked, &error))? else {
            return Ok(self.without_records(asked, bounds, Finding::NoRoom));
        };
        if read.bytes == 0 {
            return Ok(self.without_records(asked, read.bounds, Finding::Nothing));
        }
        let mut looked = self.without_records(asked, read.bounds, Finding::Records);
        looked.bytes = read.bytes;
        looked.data.records = Some(read.slices.into_iter().collect());
        Ok(looked)
    }

    fn code(&self, topic: &Topic, asked: &FetchPartition, error: &ReadError) -> ErrorCode {
        if let ReadError::Failed(_) | ReadError::Damaged { .. } = error
            && self.server.may_warn()
        {
            let (partition, fetch_offset) = (asked.partition, asked.fetch_offset);
            tracing::warn!(topic = %topic.name, partition, fetch_offset, "a fetch failed: {error}");
        }
        error::of_read(error)
    }

    fn without_records(&self, asked: &FetchPartition, bounds: Bounds, finding: Finding) -> Looked {
        let data = PartitionData {
            partition_index: asked.partition,
            high_watermark: bounds.end,
            // Without transactions every durable record is stable.
            last_stable_offset: bounds.end,
            log_start_offset: bounds.start,
            aborted_transactions: self.asked.read_committed.then(Vec::new),
            ..Default::default()
        };
        Looked {
            data,
            bytes: 0,
            finding,
        }
    }

    /// The client has records of an epoch or an offset that this log never had (KIP-595).
    fn diverging(&self, asked: &FetchPartition, bounds: Bounds) -> Looked {
        let mut looked = self.without_records(asked, bounds, Finding::Error);
        looked.data.diverging_epoch = EpochEndOffset {
            epoch: LEADER_EPOCH,
            end_offset: bounds.end,
        };
        looked
    }

    fn finish(mut self) -> Polled {
        let crowded = std::mem::take(&mut self.crowded);
        let mut answers = Vec::with_capacity(self.answers.len());
        for (place, looked) in std::mem::take(&mut self.answers) {
            let Some(slot) = self.partitions.slot_mut(place) else {
                continue;
            };
            let data = looked.data;
            let bounds = (data.high_watermark, data.log_start_offset);
            let is_news = matches!(
                looked.finding,
                Finding::Records | Finding::Unknown | Finding::Error
            ) || slot.told != bounds;
            slot.told = if data.error_code == ErrorCode::None {
                bounds
            } else {
                (-1, -1)
            };
            if looked.finding != Finding::Nothing || !slot.watched {
                // The client may ask for the same again, and nothing would signal it.
                if looked.finding != Finding::NoRoom {
                    self.partitions.give_turn(place);
                }
            }
            if is_news || !self.asked.only_news {
                answers.push((place, data));
            }
        }
        self.partitions.give_turns_back(crowded);
        Polled {
            partitions: self.partitions,
            answers,
            held: self.room.into_held(),
            looks: self.looks,
        }
    }
}

impl Looked {
    fn error(asked: &FetchPartition, finding: Finding, error_code: ErrorCode) -> Looked {
        let data = PartitionData {
            partition_index: asked.partition,
            error_code,
            high_watermark: -1,
            ..Default::default()
        };
        Looked {
            data,
            bytes: 0,
            finding,
        }
    }
}

fn bounds(data: &PartitionData) -> Bounds {
    Bounds {
        start: data.log_start_offset,
        end: data.high_watermark,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

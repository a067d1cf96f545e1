//! The one task that changes definitions. Requests come through a channel; what has gathered there while the last
//! records were flushed is decided together and shares the next flush.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use firth_batch::{Batch, Builder, Compression};
use firth_log::{Append, AppendError, Change, Commit, Engine, Frame, Kind, LogId};
use tokio::sync::{mpsc, oneshot, watch};

use super::replay::{Position, Replay};
use super::{Definitions, Entry, NewTopic, Record, Request, Response};
use crate::counters::{Counting, add};
use crate::topics::{TopicChange, Topics};
use crate::{ClusterId, DefineError, Environment, Topic, TopicId};

/// Requests that wait to be decided; who sends one more waits.
pub(crate) const REQUESTS_MAX: usize = 1024;
/// Requests that share a flush.
const ROUND_MAX: usize = 256;
/// Bytes of records after which a snapshot is due, whatever its size.
const SNAPSHOT_AFTER_BYTES: usize = 1024 * 1024;
/// Bytes of one batch of a snapshot.
const SNAPSHOT_BATCH_BYTES: usize = 1024 * 1024;

/// The answer to a definition: the topic as it is now, or was when it was deleted.
pub(crate) type Defined = Result<(Arc<Topic>, Vec<String>), DefineError>;

#[derive(Debug)]
pub(crate) enum Message {
    Create {
        new: NewTopic,
        validate_only: bool,
        reply: oneshot::Sender<Defined>,
    },
    Delete {
        id: TopicId,
        reply: oneshot::Sender<Defined>,
    },
    Configure {
        id: TopicId,
        configs: Vec<(String, Option<String>)>,
        reply: oneshot::Sender<Defined>,
    },
    AllocateProducerId {
        reply: oneshot::Sender<Result<i64, DefineError>>,
    },
    /// Nobody waits for it, and while the disk is full it is not noted.
    NoteTime { ms: i64 },
}

pub(crate) struct Owner {
    pub(crate) engine: Engine,
    pub(crate) environment: Environment,
    pub(crate) num_partitions: u32,
    pub(crate) topics: Arc<Topics>,
    pub(crate) counting: Arc<Counting>,
    pub(crate) definitions: Definitions,
    pub(crate) position: Position,
    /// Reserved durably, or to be durable before anything of this round is answered.
    pub(crate) producer_ids: Range<i64>,
    /// Records of definitions were given up, and no snapshot says what they did.
    pub(super) has_gap: bool,
    /// Whether a snapshot was refused; the next one waits for more records.
    pub(crate) snapshot_refused_at: usize,
}

/// What a round has decided, to be done when it is durable.
#[derive(Default)]
pub(super) struct Round {
    pub(super) commit: Option<Commit>,
    changes: Vec<TopicChange>,
    answers: Vec<Answer>,
}

pub(super) enum Answer {
    Defined(oneshot::Sender<Defined>, Defined),
    ProducerId(
        oneshot::Sender<Result<i64, DefineError>>,
        Result<i64, DefineError>,
    ),
}

impl Owner {
    pub(crate) fn new(
        engine: Engine,
        environment: Environment,
        num_partitions: u32,
        topics: Arc<Topics>,
        counting: Arc<Counting>,
        replay: Replay,
    ) -> Owner {
        Owner {
            engine,
            environment,
            num_partitions,
            topics,
            counting,
            definitions: replay.definitions,
            position: replay.position,
            producer_ids: 0..0,
            has_gap: replay.has_gap,
            snapshot_refused_at: 0,
        }
    }

    /// The id of the cluster, which this is the first to know if the log has none.
    pub(crate) async fn cluster_id(&mut self) -> Result<ClusterId, DefineError> {
        let id = ClusterId::draw((self.environment.random)());
        let mut round = Round::default();
        let response = self.decide(&Request::CreateCluster { id }, &mut round)?;
        self.finish(round).await?;
        match response {
            Response::Cluster(id) => Ok(id),
            Response::Topic { .. } | Response::ProducerIds(_) | Response::Noted => Err(DefineError::Stopped),
        }
    }

    /// Runs until `stop` says so, until nobody can send any more, or until a flush fails.
    pub(crate) async fn run(
        mut self,
        mut messages: mpsc::Receiver<Message>,
        mut stop: watch::Receiver<bool>,
    ) {
        loop {
            let first = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                message = messages.recv() => message,
            };
            let Some(first) = first else { return };
            let mut waiting = VecDeque::from([first]);
            while waiting.len() < ROUND_MAX
                && let Ok(message) = messages.try_recv()
            {
                waiting.push_back(message);
            }
            let mut round = Round::default();
            for message in waiting {
                self.handle(message, &mut round);
            }
            // Answers that changed nothing wait as well: they may rest on what others in this round decided.
            if self.finish(round).await.is_err() || self.snapshot_if_due().await.is_err() {
                tracing::error!("the definitions log has failed");
                return;
            }
        }
    }

    fn handle(&mut self, message: Message, round: &mut Round) {
        match message {
            Message::Create {
                new,
                validate_only,
                reply,
            } => {
                let defined = self.create(new, validate_only, round);
                round.answers.push(Answer::Defined(reply, defined));
            }
            Message::Delete { id, reply } => {
                let topic = self.definitions.topic(id).cloned();
                let decided = self.decide(&Request::DeleteTopic { id }, round);
                let defined = decided.and_then(|_| Ok((topic.ok_or(DefineError::UnknownTopic)?, Vec::new())));
                round.answers.push(Answer::Defined(reply, defined));
            }
            Message::Configure { id, configs, reply } => {
                let decided = self.decide(&Request::ConfigureTopic { id, configs }, round);
                let defined = decided.and_then(|response| self.defined(response));
                round.answers.push(Answer::Defined(reply, defined));
            }
            Message::AllocateProducerId { reply } => {
                let allocated = self.allocate_producer_id(round);
                round.answers.push(Answer::ProducerId(reply, allocated));
            }
            Message::NoteTime { ms } => {
                if let Err(error) = self.decide(&Request::NoteTime { ms }, round) {
                    tracing::debug!(%error, "the time is not noted");
                }
            }
        }
    }

    fn create(&mut self, new: NewTopic, validate_only: bool, round: &mut Round) -> Defined {
        let wanted = new.partitions.unwrap_or(self.num_partitions.into());
        let partitions = u32::try_from(wanted).map_err(|_| DefineError::InvalidPartitions(wanted))?;
        // Ids are allocated for what will be created, so that refused requests do not use them up.
        self.definitions.check_new(&new, partitions)?;
        let first_log = if validate_only {
            LogId::FIRST_ALLOCATED
        } else {
            self.engine.allocate(partitions.into())
        };
        let id = TopicId((self.environment.random)());
        let request = Request::CreateTopic {
            new,
            partitions,
            id,
            first_log,
        };
        if validate_only {
            let (record, response) = self.definitions.handle(&request)?;
            let (Some(record), Response::Topic { warnings, .. }) = (record, response) else {
                return Err(DefineError::UnknownTopic);
            };
            let Some(TopicChange::Put(topic)) = Definitions::default().replay(&record) else {
                return Err(DefineError::UnknownTopic);
            };
            return Ok((topic, warnings));
        }
        let response = self.decide(&request, round)?;
        self.defined(response)
    }

    fn defined(&self, response: Response) -> Defined {
        let Response::Topic { id, warnings } = response else {
            return Err(DefineError::UnknownTopic);
        };
        let topic = self.definitions.topic(id).ok_or(DefineError::UnknownTopic)?;
        Ok((topic.clone(), warnings))
    }

    fn allocate_producer_id(&mut self, round: &mut Round) -> Result<i64, DefineError> {
        if self.producer_ids.is_empty()
            && let Response::ProducerIds(ids) = self.decide(&Request::ReserveProducerIds, round)?
        {
            self.producer_ids = ids;
        }
        self.producer_ids.next().ok_or(DefineError::Stopped)
    }

    /// Decides one request and appends its record together with what it does to logs.
    pub(super) fn decide(&mut self, request: &Request, round: &mut Round) -> Result<Response, DefineError> {
        let (record, response) = self.definitions.handle(request)?;
        if let Some(record) = record {
            let changes = self.log_changes(&record);
            let value = Entry::Record(record.clone()).encode();
            self.position.bytes_since_snapshot += value.len();
            round.commit = Some(self.append(batch_of([value]), changes)?.1);
            round.changes.extend(self.definitions.replay(&record));
            match record {
                Record::TopicCreated { .. } => add(&self.counting.topics_created, 1),
                Record::TopicDeleted { .. } => add(&self.counting.topics_deleted, 1),
                Record::TopicConfigured { .. }
                | Record::ProducerIdsReserved { .. }
                | Record::ClusterCreated { .. }
                | Record::TimeKnown { .. } => {}
            }
        }
        Ok(response)
    }

    fn log_changes(&self, record: &Record) -> Vec<Change> {
        match record {
            Record::TopicCreated {
                first_log,
                partitions,
                ..
            } => {
                let log = |index: u32| LogId(first_log.0.saturating_add(index.into()));
                (0..*partitions)
                    .map(|index| Change::Create {
                        log: log(index),
                        kind: Kind::Durable,
                    })
                    .collect()
            }
            Record::TopicDeleted { id } => {
                let partitions = self.definitions.topic(*id).map(|topic| topic.partitions.iter());
                partitions
                    .into_iter()
                    .flatten()
                    // One may be gone already where the record of an earlier deletion was lost.
                    .filter(|partition| self.engine.bounds(partition.log).is_some())
                    .map(|partition| Change::Delete { log: partition.log })
                    .collect()
            }
            Record::TopicConfigured { .. }
            | Record::ProducerIdsReserved { .. }
            | Record::ClusterCreated { .. }
            | Record::TimeKnown { .. } => Vec::new(),
        }
    }

    fn append(&self, batch: Batch, changes: Vec<Change>) -> Result<(i64, Commit), DefineError> {
        let append = Append {
            log: LogId::DEFINITIONS,
            batch,
        };
        let frame = Frame {
            appends: [append].into_iter().collect(),
            changes,
        };
        let appended = self.engine.append(frame).map_err(|error| match error {
            AppendError::Full => DefineError::Full,
            error => {
                tracing::error!(%error, "a definition could not be appended");
                DefineError::Stopped
            }
        })?;
        let offset = appended.placed.first().map_or(0, |placed| placed.base_offset);
        Ok((offset, appended.commit))
    }

    /// Waits until the round is durable, shows its changes to everybody, and only then answers.
    pub(super) async fn finish(&mut self, round: Round) -> Result<(), DefineError> {
        if let Some(commit) = round.commit {
            commit.await.map_err(|_| DefineError::Stopped)?;
        }
        self.topics.apply(&round.changes);
        for change in &round.changes {
            match change {
                TopicChange::Put(topic) => tracing::debug!(topic = %topic.name, id = ?topic.id, "defined"),
                TopicChange::Remove(topic) => tracing::debug!(topic = %topic.name, id = ?topic.id, "deleted"),
            }
        }
        for answer in round.answers {
            // Nobody may be waiting for it any more.
            match answer {
                Answer::Defined(reply, defined) => _ = reply.send(defined),
                Answer::ProducerId(reply, id) => _ = reply.send(id),
            }
        }
        Ok(())
    }

    async fn snapshot_if_due(&mut self) -> Result<(), DefineError> {
        let since = self.position.bytes_since_snapshot;
        let due = self.snapshot_refused_at + SNAPSHOT_AFTER_BYTES.max(2 * self.position.snapshot_bytes);
        if since < due {
            return Ok(());
        }
        match self.snapshot().await {
            Err(DefineError::Full) => {
                self.snapshot_refused_at = since;
                Ok(())
            }
            done => done,
        }
    }

    /// Writes a snapshot, and trims the log to the one before it: should this one be damaged, that one and what
    /// follows it still say everything.
    async fn snapshot(&mut self) -> Result<(), DefineError> {
        // The begin and the end have batches of their own, so that damage between them is known to be there.
        let (begun_at, _) = self.append(batch_of([Entry::SnapshotBegun.encode()]), Vec::new())?;
        let (mut records, mut bytes) = (0, 0);
        let mut builder = Builder::new(Compression::None);
        for record in self.definitions.snapshot() {
            let value = Entry::OfSnapshot(record).encode();
            if !builder.is_empty() && builder.len() + value.len() > SNAPSHOT_BATCH_BYTES {
                let full = std::mem::replace(&mut builder, Builder::new(Compression::None));
                self.append(full.build(), Vec::new())?;
            }
            push(&mut builder, &value);
            records += 1;
            bytes += value.len();
        }
        self.append(builder.build(), Vec::new())?;
        let (_, commit) = self.append(batch_of([Entry::SnapshotEnded { records }.encode()]), Vec::new())?;
        commit.await.map_err(|_| DefineError::Stopped)?;

        let previous = self.position.snapshot.replace(begun_at);
        self.position.snapshot_bytes = bytes;
        self.position.bytes_since_snapshot = 0;
        self.snapshot_refused_at = 0;
        if let Some(to) = previous {
            let trim = Change::Trim {
                log: LogId::DEFINITIONS,
                to,
            };
            if let Err(error) = self.engine.append(Frame {
                changes: vec![trim],
                ..Frame::default()
            }) {
                // The next snapshot trims this one's share as well.
                tracing::warn!(%error, "the definitions log could not be trimmed");
            }
        }
        tracing::debug!(begun_at, records, bytes, "definitions snapshotted");
        Ok(())
    }
}

fn batch_of(values: impl IntoIterator<Item = Vec<u8>>) -> Batch {
    let mut builder = Builder::new(Compression::None);
    for value in values {
        push(&mut builder, &value);
    }
    builder.build()
}

fn push(builder: &mut Builder, value: &[u8]) {
    builder.push(firth_batch::NO_TIMESTAMP, None, Some(value), &[]);
}

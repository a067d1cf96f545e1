//! The one task that changes definitions. Requests come through a channel; what has gathered there while the last
//! records were flushed is decided together and shares the next flush.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use firth_batch::{Batch, Builder, Compression};
use firth_log::{Append, AppendError, Change, Commit, Engine, Frame, Kind, LogId};
use tokio::sync::{mpsc, oneshot, watch};

use super::replay::{Position, Replay};
use super::{Definitions, Entry, NewTopic, QuotaEdits, Record, Request, Response, logs};
use crate::counters::{Counting, add};
use crate::topics::{TopicChange, Topics};
use crate::{
    ClusterId, ConfigChange, DefineError, EntityQuotas, Environment, QuotaEntity, Quotas, Topic, TopicId,
};

/// Requests that wait to be decided; who sends one more waits.
pub(crate) const REQUESTS_MAX: usize = 1024;
/// Requests that share a flush.
const ROUND_MAX: usize = 256;
/// Logs whose creation shares a frame, unless one topic alone has more.
const FRAME_LOGS_MAX: usize = 10_000;

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
    /// So many partitions in all.
    CreatePartitions {
        id: TopicId,
        partitions: i64,
        validate_only: bool,
        reply: oneshot::Sender<Defined>,
    },
    Configure {
        id: TopicId,
        change: ConfigChange,
        validate_only: bool,
        reply: oneshot::Sender<Defined>,
    },
    AllocateProducerId {
        reply: oneshot::Sender<Result<i64, DefineError>>,
    },
    AlterQuotas {
        entity: QuotaEntity,
        edits: QuotaEdits,
        validate_only: bool,
        reply: oneshot::Sender<Result<(), DefineError>>,
    },
    /// Nobody waits for it, and while the disk is full it is not noted.
    NoteTime { ms: i64 },
}

pub(crate) struct Owner {
    pub(crate) engine: Engine,
    pub(crate) environment: Environment,
    pub(crate) num_partitions: u32,
    pub(crate) topics: Arc<Topics>,
    pub(crate) quotas: Arc<Quotas>,
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
    quotas: Vec<(QuotaEntity, EntityQuotas)>,
    answers: Vec<Answer>,
    /// Topics that are decided and not appended yet: they share a frame.
    creating: Vec<Creating>,
    creating_logs: usize,
    /// How many answers do not rest on them.
    answers_before: usize,
}

struct Creating {
    value: Vec<u8>,
    changes: Vec<Change>,
    topic: Arc<Topic>,
}

pub(super) enum Answer {
    Defined(oneshot::Sender<Defined>, Defined),
    ProducerId(
        oneshot::Sender<Result<i64, DefineError>>,
        Result<i64, DefineError>,
    ),
    Altered(oneshot::Sender<Result<(), DefineError>>, Result<(), DefineError>),
}

impl Owner {
    pub(crate) fn new(
        engine: Engine,
        environment: Environment,
        num_partitions: u32,
        topics: Arc<Topics>,
        quotas: Arc<Quotas>,
        counting: Arc<Counting>,
        replay: Replay,
    ) -> Owner {
        Owner {
            engine,
            environment,
            num_partitions,
            topics,
            quotas,
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
            Response::Topic { .. } | Response::ProducerIds(_) | Response::Done => Err(DefineError::Stopped),
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
        if !matches!(message, Message::Create { .. }) {
            self.append_created(round);
        }
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
            Message::CreatePartitions {
                id,
                partitions,
                validate_only,
                reply,
            } => {
                let defined = self.create_partitions(id, partitions, validate_only, round);
                round.answers.push(Answer::Defined(reply, defined));
            }
            Message::Configure {
                id,
                change,
                validate_only,
                reply,
            } => {
                let defined = self.configure(id, change, validate_only, round);
                round.answers.push(Answer::Defined(reply, defined));
            }
            Message::AllocateProducerId { reply } => {
                let allocated = self.allocate_producer_id(round);
                round.answers.push(Answer::ProducerId(reply, allocated));
            }
            Message::AlterQuotas {
                entity,
                edits,
                validate_only,
                reply,
            } => {
                let request = Request::AlterQuotas { entity, edits };
                let altered = match validate_only {
                    true => self.definitions.handle(&request).map(|_| ()),
                    false => self.decide(&request, round).map(|_| ()),
                };
                round.answers.push(Answer::Altered(reply, altered));
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

    fn create_partitions(
        &mut self,
        id: TopicId,
        wanted: i64,
        validate_only: bool,
        round: &mut Round,
    ) -> Defined {
        let partitions = u32::try_from(wanted).map_err(|_| DefineError::InvalidPartitions(wanted))?;
        let added = self.definitions.check_partitions(id, partitions)?;
        if !validate_only {
            let first_log = self.engine.allocate(added.into());
            let request = Request::CreatePartitions {
                id,
                partitions,
                first_log,
            };
            self.decide(&request, round)?;
        }
        let topic = self.definitions.topic(id).ok_or(DefineError::UnknownTopic)?;
        Ok((topic.clone(), Vec::new()))
    }

    fn configure(
        &mut self,
        id: TopicId,
        change: ConfigChange,
        validate_only: bool,
        round: &mut Round,
    ) -> Defined {
        let request = Request::ConfigureTopic { id, change };
        let response = if validate_only {
            self.definitions.handle(&request)?.1
        } else {
            self.decide(&request, round)?
        };
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
            if let Record::TopicCreated { .. } = record {
                let change = self.definitions.replay(&record);
                if let Some(TopicChange::Put(topic)) = change {
                    self.create_together(value, changes, topic, round);
                }
                return Ok(response);
            }
            self.position.bytes_since_snapshot += value.len();
            round.commit = Some(self.append(batch_of([value]), changes)?.1);
            round.changes.extend(self.definitions.replay(&record));
            match record {
                Record::TopicDeleted { .. } => add(&self.counting.topics_deleted, 1),
                Record::QuotasSet { entity, quotas } => {
                    round.quotas.push((entity, quotas.into_iter().collect()));
                }
                _ => {}
            }
        }
        Ok(response)
    }

    fn create_together(
        &mut self,
        value: Vec<u8>,
        changes: Vec<Change>,
        topic: Arc<Topic>,
        round: &mut Round,
    ) {
        let logs = changes.len();
        if round.creating_logs + logs > FRAME_LOGS_MAX {
            self.append_created(round);
        }
        if round.creating.is_empty() {
            round.answers_before = round.answers.len();
        }
        round.creating_logs += logs;
        round.creating.push(Creating {
            value,
            changes,
            topic,
        });
    }

    /// Appends the topics that were decided, in one frame: each alone would be a batch of its own in two logs. If that
    /// fails they were never there, and whoever asked since the first of them is refused.
    fn append_created(&mut self, round: &mut Round) {
        let creating = std::mem::take(&mut round.creating);
        round.creating_logs = 0;
        if creating.is_empty() {
            return;
        }
        let (mut values, mut changes, mut topics) = (Vec::new(), Vec::new(), Vec::new());
        for mut creating in creating {
            values.push(creating.value);
            changes.append(&mut creating.changes);
            topics.push(creating.topic);
        }
        let bytes: usize = values.iter().map(Vec::len).sum();
        match self.append(batch_of(values), changes) {
            Ok((_, commit)) => {
                self.position.bytes_since_snapshot += bytes;
                round.commit = Some(commit);
                add(&self.counting.topics_created, topics.len() as u64);
                round.changes.extend(topics.into_iter().map(TopicChange::Put));
            }
            Err(error) => {
                for topic in topics {
                    self.definitions.replay(&Record::TopicDeleted { id: topic.id });
                }
                for answer in round.answers.iter_mut().skip(round.answers_before) {
                    if let Answer::Defined(_, defined) = answer {
                        *defined = Err(error.clone());
                    }
                }
            }
        }
    }

    fn log_changes(&self, record: &Record) -> Vec<Change> {
        match record {
            Record::TopicCreated {
                first_log,
                partitions,
                ..
            }
            | Record::PartitionsCreated {
                first_log,
                partitions,
                ..
            } => {
                let kind = Kind::Durable;
                let logs = logs(*first_log, *partitions);
                logs.map(|log| Change::Create { log, kind }).collect()
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
            | Record::TimeKnown { .. }
            | Record::QuotasSet { .. } => Vec::new(),
        }
    }

    pub(super) fn append(&self, batch: Batch, changes: Vec<Change>) -> Result<(i64, Commit), DefineError> {
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
    pub(super) async fn finish(&mut self, mut round: Round) -> Result<(), DefineError> {
        self.append_created(&mut round);
        if let Some(commit) = round.commit {
            commit.await.map_err(|_| DefineError::Stopped)?;
        }
        self.topics.apply(&round.changes);
        for (entity, quotas) in round.quotas {
            let limits: Vec<String> = quotas
                .iter()
                .map(|(key, limit)| format!("{}={}", key.name(), limit.get()))
                .collect();
            tracing::info!(%entity, quotas = limits.join(" "), "quotas altered");
            self.quotas.set(entity, quotas);
        }
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
                Answer::Altered(reply, altered) => _ = reply.send(altered),
            }
        }
        Ok(())
    }
}

pub(super) fn batch_of(values: impl IntoIterator<Item = Vec<u8>>) -> Batch {
    let mut builder = Builder::new(Compression::None);
    for value in values {
        push(&mut builder, &value);
    }
    builder.build()
}

pub(super) fn push(builder: &mut Builder, value: &[u8]) {
    builder.push(firth_batch::NO_TIMESTAMP, None, Some(value), &[]);
}

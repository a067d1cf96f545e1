use std::future::Future;
use std::sync::Arc;

use firth_log::file::DiskUsage;
use firth_log::{ActiveProducer, Bounds, Commit, Engine, LogId, Signal};
use tokio::sync::{mpsc, oneshot, watch};

use crate::counters::Counting;
use crate::definitions::owner::{Defined, Message, Owner, REQUESTS_MAX};
use crate::definitions::replay;
use crate::guarded_clock::GuardedClock;
use crate::properties::{PropertiesFormat, PropertiesFormats};
use crate::queues::Queues;
use crate::state_log::{self, StateLog};
use crate::tasks::Tasks;
use crate::topics::Topics;
use crate::topology::{self, Topology};
use crate::{
    Clock, ClusterId, Config, ConfigChange, Counters, DefineError, Environment, Error, Memory, NewTopic,
    Publication, QuotaEdits, QuotaEntity, Quotas, StateError, Topic, TopicId, Users, cleaner, retention,
};

/// The broker; clones share it.
#[derive(Clone)]
pub struct Broker {
    shared: Arc<Shared>,
}

struct Shared {
    cluster_id: ClusterId,
    engine: Engine,
    config: Config,
    environment: Environment,
    topics: Arc<Topics>,
    quotas: Arc<Quotas>,
    definitions: mpsc::Sender<Message>,
    memory: Memory,
    counting: Arc<Counting>,
    tasks: Tasks,
    groups: StateLog,
    users: Users,
    topology: Topology,
    queues: Arc<Queues>,
    formats: PropertiesFormats,
    /// What retention believes the time to be; 0 until it has looked.
    times: watch::Receiver<i64>,
}

/// A topic that was created, changed or found to be possible.
#[derive(Clone, Debug)]
pub struct Created {
    pub topic: Arc<Topic>,
    /// What was asked for and has no effect, in sentences for people.
    pub warnings: Vec<String>,
}

impl Broker {
    /// Reads the definitions and starts the background tasks, on the current tokio runtime. At the first start the id of
    /// the cluster is drawn.
    ///
    /// # Errors
    /// The definitions log cannot be read, or was written by a newer version, or the new id cannot be stored.
    pub async fn open(engine: Engine, config: Config, environment: Environment) -> Result<Broker, Error> {
        let replay = replay::read(&engine).await?;
        // All that is stored is read before anything is changed: it may be of a version that is not known.
        let groups = StateLog::read(&engine, &state_log::GROUPS).await?;
        let users = StateLog::read(&engine, &state_log::USERS).await?;
        let topology = StateLog::read(&engine, &state_log::TOPOLOGY).await?;
        let users = Users::open(users, environment.clone())?;
        let topology = topology::Replay::read(topology)?;
        let queues = StateLog::read(&engine, &state_log::QUEUES).await?;
        let (queues, queue_work) = Queues::replay(engine.clone(), environment.clone(), queues)?;
        let topics = Arc::new(Topics::new(replay.definitions.topics().clone()));
        let quotas = Arc::new(Quotas::new(replay.definitions.quotas().clone()));
        let counting = Arc::new(Counting::default());
        let (definitions, messages) = mpsc::channel(REQUESTS_MAX);
        let mut owner = Owner::new(
            engine.clone(),
            environment.clone(),
            config.num_partitions,
            topics.clone(),
            quotas.clone(),
            counting.clone(),
            replay,
        );
        owner.reconcile().await.map_err(Error::Reconcile)?;
        let topology =
            Topology::open(topology, queues.clone(), topics.clone()).map_err(Error::ReconcileTopology)?;
        queues.delete_orphans().map_err(Error::ReconcileQueues)?;
        let cluster_id = owner.cluster_id().await.map_err(Error::ClusterId)?;
        let noted_ms = owner.definitions.time_known_ms();
        let memory = Memory::new(config.memory_bytes);
        let tasks = Tasks::new();
        tasks.spawn("definitions", owner.run(messages, tasks.stop()));
        let (times, told) = watch::channel(0);
        let shared = Shared {
            cluster_id,
            engine,
            config,
            environment,
            topics,
            quotas,
            definitions,
            memory,
            counting,
            tasks,
            groups,
            users,
            topology,
            queues,
            formats: PropertiesFormats::default(),
            times: told.clone(),
        };
        let broker = Broker {
            shared: Arc::new(shared),
        };
        let tasks = &broker.shared.tasks;
        let clock = GuardedClock::new(broker.clock(), noted_ms);
        broker.engine().tell_time(clock.known_ms());
        let retention = retention::run(broker.clone(), clock, times, tasks.stop());
        tasks.spawn("retention", retention);
        tasks.spawn("cleaner", cleaner::run(broker.clone(), told, tasks.stop()));
        queue_work.start(&broker);
        Ok(broker)
    }

    /// Stops the background tasks and waits for them. Requests for definitions are then answered with `Stopped`.
    /// The engine goes on; its owner closes it.
    pub async fn shutdown(&self) {
        self.shared.tasks.shutdown().await;
    }

    pub(crate) fn tasks(&self) -> &Tasks {
        &self.shared.tasks
    }

    /// Runs a task of a protocol until the broker stops. It ends soon after what it is given becomes true.
    pub fn spawn<F: Future<Output = ()> + Send + 'static>(
        &self,
        name: &'static str,
        task: impl FnOnce(watch::Receiver<bool>) -> F,
    ) {
        self.shared.tasks.spawn(name, task(self.shared.tasks.stop()));
    }

    /// The log of what groups store.
    pub fn groups_log(&self) -> &StateLog {
        &self.shared.groups
    }

    /// Who may log in, and what they may do.
    pub fn users(&self) -> &Users {
        &self.shared.users
    }

    /// Virtual hosts, with their exchanges, queues and bindings.
    pub fn topology(&self) -> &Topology {
        &self.shared.topology
    }

    pub(crate) fn queues(&self) -> &Arc<Queues> {
        &self.shared.queues
    }

    /// Has the broker look into properties that begin with this byte.
    pub fn register_properties(&self, tag: u8, format: Arc<dyn PropertiesFormat>) {
        self.shared.formats.register(tag, format);
    }

    pub(crate) fn formats(&self) -> &PropertiesFormats {
        &self.shared.formats
    }

    /// Gathers messages for queues.
    pub fn publication(&self) -> Publication {
        Publication::new(&self.shared.queues)
    }

    /// Stores what left queues. What it returns is durable when all acknowledgements before the call are: who says that something
    /// was done after them waits for it.
    ///
    /// # Errors
    /// The disk is full; it is tried again later.
    pub fn store_queues(&self) -> Result<Commit, StateError> {
        self.shared.queues.store()
    }

    /// What is stored of state machines, to be compacted.
    pub(crate) fn state_logs(&self) -> [&StateLog; 4] {
        let Shared {
            groups,
            users,
            topology,
            queues,
            ..
        } = &*self.shared;
        [
            groups,
            users.state_log(),
            topology.state_log(),
            queues.state_log(),
        ]
    }

    /// The time by which things may be deleted for their age, in milliseconds since 1970, told whenever retention looks.
    /// A wall clock that jumps does not move it. 0 until the first look.
    pub fn known_time(&self) -> watch::Receiver<i64> {
        self.shared.times.clone()
    }

    /// Which cluster this broker belongs to. It has no other broker yet.
    pub fn cluster_id(&self) -> ClusterId {
        self.shared.cluster_id
    }

    pub fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.shared.topics.read(|topics| topics.get(name).cloned())
    }

    pub fn topic_by_id(&self, id: TopicId) -> Option<Arc<Topic>> {
        self.shared.topics.read(|topics| topics.get_by_id(id).cloned())
    }

    pub(crate) fn all_topics(&self) -> &Topics {
        &self.shared.topics
    }

    /// All topics, sorted by name.
    pub fn topics(&self) -> Arc<[Arc<Topic>]> {
        self.shared.topics.sorted()
    }

    pub fn topic_count(&self) -> usize {
        self.shared.topics.read(|topics| topics.len())
    }

    /// The topics of these names, in their order. Those that do not exist are created with the defaults, together, if the
    /// configuration allows that.
    ///
    /// # Errors
    /// `UnknownTopic` if topics are not created automatically; else those of [`Broker::create_topic`] but `Exists`.
    pub async fn topics_or_create(&self, names: &[&str]) -> Vec<Result<Arc<Topic>, DefineError>> {
        let mut found: Vec<_> = names
            .iter()
            .map(|name| self.topic(name).ok_or(DefineError::UnknownTopic))
            .collect();
        if !self.shared.config.auto_create_topics {
            return found;
        }
        let missing: Vec<_> = found
            .iter_mut()
            .zip(names)
            .filter(|(found, _)| found.is_err())
            .collect();
        let new = missing.iter().map(|(_, name)| NewTopic {
            name: (**name).to_owned(),
            ..NewTopic::default()
        });
        let created = self.create_topics(new.collect(), false).await;
        for ((found, name), created) in missing.into_iter().zip(created) {
            *found = match created {
                Ok(created) => Ok(created.topic),
                // Someone else was faster; that it exists is only said when everybody can see it.
                Err(DefineError::Exists(_)) => self.topic(name).ok_or(DefineError::UnknownTopic),
                Err(error) => Err(error),
            };
        }
        found
    }

    /// Creates a topic and the logs of its partitions, durably.
    pub async fn create_topic(&self, new: NewTopic) -> Result<Created, DefineError> {
        let validate_only = false;
        self.define(|reply| Message::Create {
            new,
            validate_only,
            reply,
        })
        .await
    }

    /// As [`Broker::create_topic`] for each, but the topics share flushes. With `validate_only` nothing is created, and
    /// the ids and the logs of the topics that are returned are not those that they would get.
    pub async fn create_topics(
        &self,
        new: Vec<NewTopic>,
        validate_only: bool,
    ) -> Vec<Result<Created, DefineError>> {
        let message = |new| {
            move |reply| Message::Create {
                new,
                validate_only,
                reply,
            }
        };
        self.define_all(new.into_iter().map(message)).await
    }

    /// Deletes a topic with all its records, durably. Returns what was deleted.
    pub async fn delete_topic(&self, id: TopicId) -> Result<Arc<Topic>, DefineError> {
        let deleted = self.delete_topics(vec![id]).await;
        deleted.into_iter().next().unwrap_or(Err(DefineError::Stopped))
    }

    /// As [`Broker::delete_topic`] for each, but the deletions share flushes.
    pub async fn delete_topics(&self, ids: Vec<TopicId>) -> Vec<Result<Arc<Topic>, DefineError>> {
        let message = |id| move |reply| Message::Delete { id, reply };
        let deleted = self.define_all(ids.into_iter().map(message)).await;
        let deleted: Vec<_> = deleted
            .into_iter()
            .map(|deleted| deleted.map(|deleted| deleted.topic))
            .collect();
        for topic in deleted.iter().flatten() {
            self.unlink(topic).await;
        }
        deleted
    }

    /// Removes the streams and the bindings that rest on a topic which was deleted. Where that cannot be stored, the next
    /// start finds that they rest on nothing.
    async fn unlink(&self, topic: &Topic) {
        let removed = match self.topology().topic_deleted(topic.id, &topic.name) {
            Ok(commit) => commit.await.map_err(|failed| failed.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = removed {
            tracing::warn!(topic = %topic.name, error, "what was bound to a deleted topic is not removed durably");
        }
    }

    /// Gives topics more partitions, so many in all, each for itself, durably; with `validate_only` nothing is created.
    /// Results are in the order of `wanted`.
    pub async fn create_partitions(
        &self,
        wanted: Vec<(TopicId, i64)>,
        validate_only: bool,
    ) -> Vec<Result<Created, DefineError>> {
        let message = |(id, partitions)| {
            move |reply| Message::CreatePartitions {
                id,
                partitions,
                validate_only,
                reply,
            }
        };
        self.define_all(wanted.into_iter().map(message)).await
    }

    /// Changes the configuration of topics, each for itself, durably; with `validate_only` nothing is changed. Results are in
    /// the order of `changes`.
    pub async fn configure_topics(
        &self,
        changes: Vec<(TopicId, ConfigChange)>,
        validate_only: bool,
    ) -> Vec<Result<Created, DefineError>> {
        let message = |(id, change)| {
            move |reply| Message::Configure {
                id,
                change,
                validate_only,
                reply,
            }
        };
        self.define_all(changes.into_iter().map(message)).await
    }

    /// Changes quotas of entities, each for itself, durably; with `validate_only` nothing is changed. Results are in the order
    /// of `changes`.
    pub async fn alter_quotas(
        &self,
        changes: Vec<(QuotaEntity, QuotaEdits)>,
        validate_only: bool,
    ) -> Vec<Result<(), DefineError>> {
        let message = |(entity, edits)| {
            move |reply| Message::AlterQuotas {
                entity,
                edits,
                validate_only,
                reply,
            }
        };
        self.ask_all(changes.into_iter().map(message)).await
    }

    /// What clients may use, and have used.
    pub fn quotas(&self) -> &Quotas {
        &self.shared.quotas
    }

    /// A producer id that no producer ever had, not even before a crash.
    pub async fn allocate_producer_id(&self) -> Result<i64, DefineError> {
        self.ask(|reply| Message::AllocateProducerId { reply }).await?
    }

    /// Has the time noted for the next start. It is given up where more urgent definitions wait.
    pub(crate) fn note_time(&self, ms: i64) {
        let _ = self.shared.definitions.try_send(Message::NoteTime { ms });
    }

    /// What of a partition can be read now. None if there is no such partition.
    pub fn bounds(&self, topic: &Topic, partition: i32) -> Option<Bounds> {
        self.shared.engine.bounds(topic.log(partition)?)
    }

    /// Raises `token` on `signal` whenever the partition's bounds change or it is deleted, until the signal is
    /// dropped. Returns the bounds as of now; None if there is no such partition.
    pub fn watch(&self, topic: &Topic, partition: i32, signal: &Arc<Signal>, token: u64) -> Option<Bounds> {
        self.shared.engine.watch(topic.log(partition)?, signal, token)
    }

    /// The offset that the next definition gets.
    pub fn definitions_end(&self) -> i64 {
        self.engine()
            .bounds(LogId::DEFINITIONS)
            .map_or(0, |bounds| bounds.end)
    }

    /// The budget for requests in flight.
    pub fn memory(&self) -> &Memory {
        &self.shared.memory
    }

    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    pub fn environment(&self) -> &Environment {
        &self.shared.environment
    }

    pub fn clock(&self) -> &Clock {
        &self.shared.environment.clock
    }

    /// What was done since the start.
    pub fn counters(&self) -> Counters {
        self.shared.counting.now()
    }

    /// Bytes of batches that a partition keeps, as they were sent; None if there is no such partition.
    pub fn size_bytes(&self, topic: &Topic, partition: i32) -> Option<u64> {
        let log = topic.log(partition)?;
        self.engine().bounds(log)?;
        let extents = self.engine().extents(log);
        Some(
            extents
                .iter()
                .fold(0, |sum: u64, extent| sum.saturating_add(extent.bytes)),
        )
    }

    /// The idempotent producers that a partition remembers; None if there is no such partition.
    pub fn producers(&self, topic: &Topic, partition: i32) -> Option<Vec<ActiveProducer>> {
        let log = topic.log(partition)?;
        self.engine().bounds(log)?;
        Some(self.engine().producers(log))
    }

    /// The disk as it is now. `None` where everything is in memory, and where the system does not say.
    pub fn disk_usage(&self) -> Option<DiskUsage> {
        self.engine().disk_usage()
    }

    /// The engine's own figures.
    pub fn engine_stats(&self) -> firth_log::Stats {
        self.shared.engine.stats()
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.shared.engine
    }

    pub(crate) fn counting(&self) -> &Counting {
        &self.shared.counting
    }

    async fn define(
        &self,
        message: impl FnOnce(oneshot::Sender<Defined>) -> Message,
    ) -> Result<Created, DefineError> {
        let (topic, warnings) = self.ask(message).await??;
        Ok(Created { topic, warnings })
    }

    async fn define_all<M: FnOnce(oneshot::Sender<Defined>) -> Message>(
        &self,
        messages: impl IntoIterator<Item = M>,
    ) -> Vec<Result<Created, DefineError>> {
        let defined = self.ask_all(messages).await.into_iter();
        defined
            .map(|defined| defined.map(|(topic, warnings)| Created { topic, warnings }))
            .collect()
    }

    /// Asks for all before it waits for the first, so that the owner decides them together. Results are in their order.
    async fn ask_all<T, M: FnOnce(oneshot::Sender<Result<T, DefineError>>) -> Message>(
        &self,
        messages: impl IntoIterator<Item = M>,
    ) -> Vec<Result<T, DefineError>> {
        let mut answers = Vec::new();
        for message in messages {
            answers.push(self.send(message).await);
        }
        let mut done = Vec::with_capacity(answers.len());
        for answer in answers {
            done.push(match answer {
                Ok(answer) => answer.await.unwrap_or(Err(DefineError::Stopped)),
                Err(error) => Err(error),
            });
        }
        done
    }

    async fn ask<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> Result<T, DefineError> {
        self.send(message).await?.await.map_err(|_| DefineError::Stopped)
    }

    /// Sends to the owner of the definitions, who is gone once the broker is stopping.
    async fn send<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<T>) -> Message,
    ) -> Result<oneshot::Receiver<T>, DefineError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.shared.definitions.send(message(reply)).await;
        sent.map(|()| answer).map_err(|_| DefineError::Stopped)
    }
}

/// Every log of a topic was given out by the engine, beyond those it keeps to itself.
const _: () = assert!(LogId::DEFINITIONS.0 < LogId::FIRST_ALLOCATED.0);

#[cfg(test)]
#[path = "broker_tests.rs"]
mod tests;

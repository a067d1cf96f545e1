//! All queues: what they have in common, and the log in which they store what left them.
//!
//! ```text
//! acknowledge -> the queue is changed -> 5 ms later, or when somebody waits for it: its records, one frame for all queues
//! ```
//!
//! Acknowledgements take effect at once and are stored soon after: a crash in between has the messages delivered again. Who is to
//! be told that they were acknowledged asks for a [`Commit`] ([`Queues::store`]).

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use firth_log::{Append, AppendError, Change, Commit, Engine, FRAME_BYTES_MAX, Frame, Signal};
use tokio::sync::{Notify, mpsc, watch};

use crate::dead_letter::{Burying, Death};
use crate::expiry::{Expiry, Look};
use crate::fan_out::FanOuts;
use crate::queue::lane::Lane;
use crate::queue::record::{self, Key};
use crate::queue::{Queue, QueueId};
use crate::timer::{BucketId, Buckets, Timer};
use crate::{Broker, Environment, Error, StateError, StateLog, StateRecord, delivery, reclaim};

/// What was acknowledged is stored after this time at the latest, if nobody waits for it.
const STORE_AFTER: Duration = Duration::from_millis(5);
/// What was refused, as the disk is full, is tried again after this time.
const RETRY_AFTER: Duration = Duration::from_millis(200);
/// A lane is trimmed when so much of it was settled, in messages, or at the next look at all of them.
const TRIM_AFTER: i64 = 16 * 1024;
const TRIM_ALL_AFTER: Duration = Duration::from_secs(1);
/// Frames with more records are cut, so that others need not wait.
const RECORDS_BYTES_MAX: usize = FRAME_BYTES_MAX / 8;

/// What all queues stand on.
pub(crate) struct Queues {
    pub(crate) engine: Engine,
    pub(crate) environment: Environment,
    state: StateLog,
    pub(crate) fan_outs: FanOuts,
    pub(crate) buckets: Buckets,
    /// Raised with the id of a queue whose logs have something new.
    pub(crate) signal: Arc<Signal>,
    by_id: Mutex<HashMap<QueueId, Weak<Queue>>>,
    changed: Mutex<Vec<Arc<Queue>>>,
    changes: Notify,
    storing: Mutex<Storing>,
    graves: mpsc::UnboundedSender<Death>,
    looks: mpsc::UnboundedSender<Look>,
    /// Lanes of queues that were not declared again yet, at the start.
    replayed: Mutex<HashMap<QueueId, Vec<Lane>>>,
}

#[derive(Default)]
struct Storing {
    /// What was refused: it comes before anything else.
    refused: Vec<StateRecord>,
    refused_trims: Vec<Change>,
    newest: Option<Commit>,
    /// Of these something is settled and not trimmed.
    untrimmed: Vec<Arc<Queue>>,
    trimmed_at: Duration,
}

/// What background tasks of queues are to do.
pub(crate) struct Work {
    deaths: mpsc::UnboundedReceiver<Death>,
    looks: mpsc::UnboundedReceiver<Look>,
}

impl Work {
    /// Starts the tasks.
    pub(crate) fn start(self, broker: &Broker) {
        let (tasks, queues) = (broker.tasks(), broker.queues());
        tasks.spawn("queues", queues.clone().run_store(tasks.stop()));
        tasks.spawn("delivery", delivery::run(queues.clone(), tasks.stop()));
        tasks.spawn("reclaim", reclaim::run(queues.clone(), tasks.stop()));
        let burying = Burying::new(broker.clone());
        tasks.spawn("dead letters", burying.run(self.deaths, tasks.stop()));
        tasks.spawn("timer", Timer::new(broker.clone()).run(tasks.stop()));
        let expiry = Expiry::new(broker.clone());
        tasks.spawn("expiry", expiry.run(self.looks, tasks.stop()));
    }
}

impl std::fmt::Debug for Queues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queues").finish_non_exhaustive()
    }
}

impl Queues {
    /// Takes what the state log says. Nothing is changed.
    pub(crate) fn replay(
        engine: Engine,
        environment: Environment,
        state: StateLog,
    ) -> Result<(Arc<Queues>, Work), Error> {
        let (graves, deaths) = mpsc::unbounded_channel();
        let (looks, asked) = mpsc::unbounded_channel();
        let fan_outs = FanOuts::default();
        let replayed = replay_lanes(&engine, &state, &fan_outs)?;
        let queues = Queues {
            engine,
            environment,
            state,
            fan_outs,
            buckets: Buckets::default(),
            signal: Signal::new(),
            by_id: Mutex::default(),
            changed: Mutex::default(),
            changes: Notify::new(),
            storing: Mutex::default(),
            graves,
            looks,
            replayed: Mutex::new(replayed),
        };
        let work = Work { deaths, looks: asked };
        Ok((Arc::new(queues), work))
    }

    /// The lanes that a queue had when the broker stopped.
    pub(crate) fn take_replayed(&self, queue: QueueId) -> Vec<Lane> {
        lock(&self.replayed).remove(&queue).unwrap_or_default()
    }

    /// Finds again what waits for its time, and deletes what is left of queues that nobody declared: their deletion was
    /// interrupted.
    pub(crate) fn delete_orphans(self: &Arc<Queues>) -> Result<(), AppendError> {
        let buckets: Vec<_> = lock(&self.replayed)
            .keys()
            .filter_map(|id| BucketId::of_queue(*id))
            .collect();
        for bucket in buckets {
            self.buckets.get_or_create(self, bucket);
        }
        let orphans = std::mem::take(&mut *lock(&self.replayed));
        for (queue, lanes) in orphans {
            self.delete_lanes(queue, &lanes, true)?;
        }
        Ok(())
    }

    pub(crate) fn register(&self, queue: &Arc<Queue>) {
        lock(&self.by_id).insert(queue.id(), Arc::downgrade(queue));
    }

    pub(crate) fn forget(&self, queue: QueueId) {
        lock(&self.by_id).remove(&queue);
    }

    pub(crate) fn all(&self) -> Vec<Arc<Queue>> {
        lock(&self.by_id).values().filter_map(Weak::upgrade).collect()
    }

    pub(crate) fn get(&self, queue: QueueId) -> Option<Arc<Queue>> {
        lock(&self.by_id).get(&queue)?.upgrade()
    }

    /// Has what died published where the queue says. Until then it stays acquired.
    pub(crate) fn bury(&self, death: Death) {
        // Only when the broker stops nobody listens; then the messages are ready again after the start.
        let _ = self.graves.send(death);
    }

    /// Has what may expire looked at.
    pub(crate) fn ask(&self, look: Look) {
        // Nobody listens when the broker stops.
        let _ = self.looks.send(look);
    }

    /// The queue has something to store. It is stored soon.
    pub(crate) fn note_change(&self, queue: Arc<Queue>) {
        lock(&self.changed).push(queue);
        self.changes.notify_one();
    }

    /// Appends records of a lane that begins or of a queue that ends, with what belongs to it.
    pub(crate) fn append(&self, mut frame: Frame, records: &[StateRecord]) -> Result<Commit, AppendError> {
        if !records.is_empty() {
            frame.appends.push(self.batch(records)?);
        }
        Ok(self.engine.append(frame)?.commit)
    }

    /// Deletes the logs of a queue, and the records of it where it has any.
    pub(crate) fn delete_lanes(
        &self,
        queue: QueueId,
        lanes: &[Lane],
        is_stored: bool,
    ) -> Result<Commit, AppendError> {
        let mut records = Vec::new();
        let mut frame = Frame::default();
        for lane in lanes {
            if self.engine.bounds(lane.log()).is_some() {
                frame.changes.push(Change::Delete { log: lane.log() });
            }
            if !is_stored {
                continue;
            }
            let priority = lane.priority();
            let gone = |key: Key| StateRecord {
                key: key.encode(),
                value: None,
            };
            records.push(gone(Key::Cursor { queue, priority }));
            records.extend(lane.stored_pages().map(|number| {
                gone(Key::Page {
                    queue,
                    priority,
                    number,
                })
            }));
        }
        self.append(frame, &records)
    }

    /// Stores what every changed queue has to store. What it returns is durable when all acknowledgements before the call are.
    pub(crate) fn store(&self) -> Result<Commit, StateError> {
        self.store_all(false).map_err(|error| self.state.refused(error))
    }

    pub(crate) fn state_log(&self) -> &StateLog {
        &self.state
    }

    fn store_all(&self, is_last: bool) -> Result<Commit, AppendError> {
        let mut storing = lock(&self.storing);
        let now = self.environment.clock.monotonic();
        let trim_all = is_last || now.saturating_sub(storing.trimmed_at) >= TRIM_ALL_AFTER;
        if trim_all {
            storing.trimmed_at = now;
        }
        let mut changed = std::mem::take(&mut *lock(&self.changed));
        if trim_all {
            changed.append(&mut storing.untrimmed);
        }
        let trim_after = if trim_all { 1 } else { TRIM_AFTER };
        loop {
            let mut records = std::mem::take(&mut storing.refused);
            let mut frame = Frame::changes(std::mem::take(&mut storing.refused_trims));
            let mut bytes = 0;
            while bytes < RECORDS_BYTES_MAX
                && let Some(queue) = changed.pop()
            {
                let before = records.len();
                if queue.store(is_last, trim_after, &mut records, &mut frame.changes) {
                    storing.untrimmed.push(queue);
                }
                bytes += records.iter().skip(before).map(StateRecord::len).sum::<usize>();
            }
            if records.is_empty() && frame.changes.is_empty() {
                return Ok(storing.newest.clone().unwrap_or_else(Commit::done));
            }
            let trims = frame.changes.clone();
            match self.append(frame, &records) {
                Ok(commit) => storing.newest = Some(commit),
                Err(error) => {
                    (storing.refused, storing.refused_trims) = (records, trims);
                    lock(&self.changed).append(&mut changed);
                    return Err(error);
                }
            }
        }
    }

    /// Does something together with these messages leaving their queue: `act` appends what is to be stored for that. Nothing else that
    /// left queues is stored in between, so that nothing newer is overwritten.
    pub(crate) fn settle_with<T, E>(
        &self,
        queue: &Arc<Queue>,
        settled: &[(u8, Range<i64>)],
        act: impl FnOnce(&[StateRecord]) -> Result<T, E>,
    ) -> Result<T, E> {
        let _storing = lock(&self.storing);
        let mut records = Vec::new();
        queue.preview(settled, &mut records);
        let acted = act(&records)?;
        queue.acknowledge(settled.iter().cloned());
        Ok(acted)
    }

    /// The records as a batch of their log.
    pub(crate) fn batch(&self, records: &[StateRecord]) -> Result<Append, AppendError> {
        self.state.batch(records, self.now_ms()).map_err(append_error)
    }

    /// Stores what queues have to store, until the broker stops.
    pub(crate) async fn run_store(self: Arc<Queues>, mut stop: watch::Receiver<bool>) {
        let mut wait = STORE_AFTER;
        let mut trims = tokio::time::interval(TRIM_ALL_AFTER);
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                () = self.changes.notified() => {}
                _ = trims.tick() => {}
            }
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                () = tokio::time::sleep(wait) => {}
            }
            wait = match self.store() {
                Ok(_) => STORE_AFTER,
                Err(error) => {
                    tracing::debug!(%error, "what left queues could not be stored yet");
                    self.changes.notify_one();
                    RETRY_AFTER
                }
            };
        }
        lock(&self.changed).extend(self.all());
        if let Err(error) = self.store_all(true) {
            tracing::warn!(%error, "some messages that were acknowledged will be delivered again");
        }
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.environment.clock.wall_ms()
    }
}

fn replay_lanes(
    engine: &Engine,
    state: &StateLog,
    fan_outs: &FanOuts,
) -> Result<HashMap<QueueId, Vec<Lane>>, Error> {
    let mut lanes: HashMap<QueueId, Vec<Lane>> = HashMap::new();
    let records = state.take_replayed();
    let undecodable = |offset: i64| Error::StateUndecodable {
        name: state.name(),
        offset,
        reason: record::Malformed.to_string(),
    };
    // Cursors sort before pages.
    for replayed in records {
        let malformed = |_| undecodable(replayed.offsets.start);
        let value = replayed.record.value.unwrap_or_default();
        match Key::decode(&replayed.record.key).map_err(malformed)? {
            Key::Cursor { queue, priority } => {
                let cursor = record::decode_cursor(&value).map_err(malformed)?;
                let Some(bounds) = engine.bounds(cursor.log) else {
                    tracing::warn!(queue = queue.0, log = cursor.log.0, "a queue's log is gone");
                    continue;
                };
                let lane = Lane::replayed(priority, cursor, bounds.start..bounds.end);
                lanes.entry(queue).or_default().push(lane);
            }
            Key::Page {
                queue,
                priority,
                number,
            } => {
                let page = record::decode_page(number, &value).map_err(malformed)?;
                let of_queue = lanes.get_mut(&queue);
                let lane =
                    of_queue.and_then(|lanes| lanes.iter_mut().find(|lane| lane.priority() == priority));
                if let Some(lane) = lane {
                    lane.replay_page(number, page.settled, page.returns);
                }
            }
            Key::FanOut { log } => {
                if engine.bounds(log).is_some() {
                    fan_outs.note_earlier(log);
                }
            }
        }
    }
    Ok(lanes)
}

fn append_error(error: StateError) -> AppendError {
    match error {
        StateError::Full => AppendError::Full,
        StateError::TooLarge { bytes, max } => AppendError::FrameTooLarge { bytes, max },
        StateError::Failed => AppendError::Failed,
    }
}

/// What is locked is whole whenever the lock is free, also after a panic: nothing between panics half way.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

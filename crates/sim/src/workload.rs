//! Producers that do everything at random that the engine allows, and mark each acknowledgement in the journal.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use firth_batch::{Batch, Builder, Compression};
use firth_log::file::recorder::Recorder;
use firth_log::{
    Append, AppendError, Appended, Change, Commit, Compaction, Engine, Frame, Keep, Kind, LogId, Signal,
    simulation,
};

use crate::explore::{START_MS, wait};
use crate::model::{FrameId, Model};
use crate::random::Random;
use crate::reader::Reader;

/// How long a producer of a simulation waits when the disk is full.
const FULL_RETRY: Duration = Duration::from_millis(100);

/// How large everything is.
#[derive(Clone, Debug)]
pub struct Scale {
    pub producers: u64,
    /// What each producer does.
    pub steps: usize,
    /// Frames that a producer does not wait for.
    pub in_flight: usize,
    pub batch_bytes: Range<u64>,
    /// Who reads meanwhile. What a reader saw counts as acknowledged.
    pub readers: u64,
    /// Whether each producer has a log that it compacts now and then.
    pub compacts: bool,
}

/// A run of producers on one engine.
pub struct Workload {
    engine: Engine,
    recorder: Recorder,
    model: Arc<Mutex<Model>>,
    shared: LogId,
}

impl Workload {
    /// Goes on where `model` ends, with a log that all producers share.
    pub fn new(engine: Engine, recorder: Recorder, mut model: Model) -> Workload {
        let shared = engine.allocate(1);
        let changes = vec![Change::Create {
            log: shared,
            kind: Kind::Durable,
        }];
        if let Ok(appended) = engine.append(Frame::changes(changes.clone())) {
            let frame = model.submit(&changes, &[], &[]);
            if appended.commit.wait().is_ok() {
                recorder.mark(frame);
            }
        }
        Workload {
            engine,
            recorder,
            model: Arc::new(Mutex::new(model)),
            shared,
        }
    }

    /// Lets all producers run to their end, each on a thread of its own, with readers beside them, and gives what was
    /// submitted. Each producer owns other logs beside.
    pub fn run(&self, seed: u64, scale: &Scale) -> Model {
        let producers = (0..scale.producers).map(|producer| {
            let mut producer = Producer {
                engine: self.engine.clone(),
                recorder: self.recorder.clone(),
                model: self.model.clone(),
                random: Random::new(seed ^ producer.wrapping_mul(0x51_7c_c1_b7_27_22_0a_95)),
                producer_id: (seed % 1_000_000 * 100 + producer) as i64,
                shared: self.shared,
                own: Vec::new(),
                keyed: None,
                logs: HashMap::new(),
                pending: VecDeque::new(),
            };
            let name = format!("producer-{}", producer.producer_id % 100);
            let scale = scale.clone();
            simulation::spawn(name, move || producer.run(&scale))
        });
        let producers: Vec<_> = producers.collect();
        let done = Arc::new(AtomicBool::new(false));
        let readers = (0..scale.readers).map(|reader| {
            let random = Random::new(!seed ^ reader.wrapping_mul(0x51_7c_c1_b7_27_22_0a_95));
            let (engine, recorder) = (self.engine.clone(), self.recorder.clone());
            let reader = Reader::new(engine, recorder, self.model.clone(), random);
            let done = done.clone();
            simulation::spawn("reader".to_owned(), move || reader.run(&done))
        });
        let readers: Vec<_> = readers.collect();
        let join = |threads: Vec<simulation::JoinHandle>| {
            for thread in threads {
                if let Err(panic) = thread.join() {
                    std::panic::resume_unwind(panic);
                }
            }
        };
        join(producers);
        done.store(true, Ordering::Relaxed);
        join(readers);
        self.model.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct Producer {
    engine: Engine,
    recorder: Recorder,
    model: Arc<Mutex<Model>>,
    random: Random,
    producer_id: i64,
    shared: LogId,
    own: Vec<LogId>,
    /// The one that is compacted.
    keyed: Option<LogId>,
    logs: HashMap<LogId, OwnLog>,
    pending: VecDeque<(FrameId, Commit)>,
}

/// What a producer knows of a log.
#[derive(Default)]
struct OwnLog {
    next_sequence: i32,
    last: Option<(Batch, i64)>,
    start: i64,
    next_offset: i64,
}

impl Producer {
    fn run(&mut self, scale: &Scale) {
        for _ in 0..scale.steps {
            match self.step(scale) {
                Ok(()) => {}
                Err(AppendError::Full) if simulation::now().is_some() => simulation::pause(FULL_RETRY),
                // A failed flush ends the run: nothing more is acknowledged.
                Err(_) => break,
            }
            while self.pending.len() > scale.in_flight {
                self.settle();
            }
        }
        while !self.pending.is_empty() {
            self.settle();
        }
    }

    fn settle(&mut self) {
        if let Some((frame, commit)) = self.pending.pop_front()
            && commit.wait().is_ok()
        {
            self.recorder.mark(frame);
        }
    }

    fn step(&mut self, scale: &Scale) -> Result<(), AppendError> {
        if self.own.is_empty() {
            return self.create(scale);
        }
        self.dawdle();
        if scale.compacts && self.random.below(4) == 0 {
            return self.keyed(scale);
        }
        let log = self.any_own();
        match self.random.below(20) {
            0..8 => self.append(&[log], scale),
            8..12 => self.append(&[self.shared], scale),
            12..14 => self.append(&[log, self.shared], scale),
            14 | 15 => self.retry(log),
            16 => self.trim(log),
            17 => self.trim(self.shared),
            18 if self.own.len() > 1 => self.delete(log),
            19 if self.own.len() > 2 => self.watch(log, scale),
            _ => self.create(scale),
        }
    }

    /// In a simulation, lets time pass now and then: sometimes so much that the engine finds itself idle.
    fn dawdle(&mut self) {
        if simulation::now().is_some() {
            match self.random.below(40) {
                0 => simulation::pause(Duration::from_millis(self.random.below(300))),
                1..8 => simulation::pause(Duration::from_micros(self.random.below(1000))),
                _ => {}
            }
        }
    }

    fn any_own(&mut self) -> LogId {
        let at = self.random.below(self.own.len() as u64) as usize;
        self.own[at]
    }

    /// A log that is created together with its first batch.
    fn create(&mut self, scale: &Scale) -> Result<(), AppendError> {
        let log = self.engine.allocate(1);
        let batch = self.batch(log, scale, false);
        self.submit(
            vec![Change::Create {
                log,
                kind: Kind::Durable,
            }],
            vec![(log, batch)],
        )?;
        self.own.push(log);
        Ok(())
    }

    fn append(&mut self, logs: &[LogId], scale: &Scale) -> Result<(), AppendError> {
        let batches = logs
            .iter()
            .map(|log| (*log, self.batch(*log, scale, false)))
            .collect();
        self.submit(Vec::new(), batches)
    }

    /// Appends to the log that is compacted, or compacts it.
    fn keyed(&mut self, scale: &Scale) -> Result<(), AppendError> {
        let Some(log) = self.keyed else {
            let log = self.engine.allocate(1);
            let kind = Kind::Durable;
            self.submit(vec![Change::Create { log, kind }], Vec::new())?;
            self.model().set_keyed(log);
            self.keyed = Some(log);
            return Ok(());
        };
        if self.random.below(4) > 0 {
            let batch = self.batch(log, scale, true);
            return self.submit(Vec::new(), vec![(log, batch)]);
        }
        let Some(bounds) = self.engine.bounds(log) else {
            return Ok(());
        };
        let compaction = Compaction {
            to: bounds.end - self.random.below(2) as i64,
            now_ms: START_MS,
            // Nothing that deletes a key goes: it is the latest of its key too.
            delete_horizon_ms: i64::MAX,
            memory_bytes: [400, 1 << 20][self.random.below(2) as usize],
        };
        // It may be refused: where the disk fails or is full, and at the end.
        let rewritten = wait(self.engine.rewrite(log, Keep::LatestOfKey(compaction)));
        if let Ok(rewritten) = rewritten {
            let compacted_to = self.engine.compacted_to(log);
            assert!(
                rewritten.compacted_to <= compacted_to && compacted_to <= bounds.end,
                "{rewritten:?} of {bounds:?} is compacted to {compacted_to}"
            );
        }
        Ok(())
    }

    /// A batch of which a watcher is to be told when it is durable.
    fn watch(&mut self, log: LogId, scale: &Scale) -> Result<(), AppendError> {
        let signal = Signal::new();
        let before = self.engine.watch(log, &signal, 7);
        self.append(&[log], scale)?;
        let next_offset = self.logs[&log].next_offset;
        if let (Some((frame, commit)), Some(before)) = (self.pending.pop_back(), before)
            && commit.wait().is_ok()
        {
            self.recorder.mark(frame);
            wait(signal.raised());
            assert_eq!(signal.take(), [7], "the log's token");
            let bounds = self.engine.bounds(log);
            assert!(
                bounds.is_some_and(|now| now.end >= next_offset && now.start >= before.start),
                "{next_offset} is acknowledged, and there is {bounds:?}"
            );
        }
        Ok(())
    }

    fn retry(&mut self, log: LogId) -> Result<(), AppendError> {
        let Some((batch, base_offset)) = self.logs.get(&log).and_then(|log| log.last.clone()) else {
            return Ok(());
        };
        let appended = self.engine.append(Frame::batch(log, batch))?;
        let placed = appended.placed[0];
        assert!(
            placed.duplicate && placed.base_offset == base_offset,
            "a retry was answered with {placed:?} for offset {base_offset}"
        );
        let frame = self.model().frame_of(log, base_offset);
        self.pending.extend(frame.map(|frame| (frame, appended.commit)));
        Ok(())
    }

    fn trim(&mut self, log: LogId) -> Result<(), AppendError> {
        let own = self.logs.entry(log).or_default();
        let more = own.next_offset - own.start;
        if more == 0 {
            return Ok(());
        }
        // Often all of it, so that there are segments of which nothing is kept.
        let to = match self.random.below(2) {
            0 => own.next_offset,
            _ => own.start + 1 + self.random.below(more as u64) as i64,
        };
        own.start = to;
        self.submit(vec![Change::Trim { log, to }], Vec::new())
    }

    fn delete(&mut self, log: LogId) -> Result<(), AppendError> {
        self.submit(vec![Change::Delete { log }], Vec::new())?;
        self.own.retain(|own| *own != log);
        Ok(())
    }

    /// One to three records of random bytes, which are the same for no two batches; with one of a few keys or with none.
    fn batch(&mut self, log: LogId, scale: &Scale, is_keyed: bool) -> Batch {
        let mut builder = Builder::new(Compression::None);
        if self.random.below(3) > 0 {
            let sequence = self.logs.entry(log).or_default().next_sequence;
            builder = builder.producer(self.producer_id, 0, sequence);
        }
        let records = 1 + self.random.below(3);
        for _ in 0..records {
            let span = scale.batch_bytes.end - scale.batch_bytes.start;
            let length = (scale.batch_bytes.start + self.random.below(span)) / records;
            let mut value = Vec::with_capacity(length as usize + 8);
            while (value.len() as u64) < length {
                value.extend_from_slice(&self.random.draw().to_le_bytes());
            }
            let key = is_keyed.then(|| [self.random.below(6) as u8]);
            let is_deletion = is_keyed && self.random.below(6) == 0;
            let value = Some(value.as_slice()).filter(|_| !is_deletion);
            builder.push(START_MS, key.as_ref().map(|key| &key[..]), value, &[]);
        }
        builder.build()
    }

    fn submit(&mut self, changes: Vec<Change>, batches: Vec<(LogId, Batch)>) -> Result<(), AppendError> {
        let appends = batches.iter().map(|(log, batch)| Append {
            log: *log,
            batch: batch.clone(),
        });
        let Appended { placed, commit } = self.engine.append(Frame {
            appends: appends.collect(),
            changes: changes.clone(),
        })?;
        let frame = self.model().submit(&changes, &batches, &placed);
        for ((log, batch), placed) in batches.into_iter().zip(placed) {
            let own = self.logs.entry(log).or_default();
            own.next_offset = placed.base_offset + i64::from(batch.header().last_offset_delta) + 1;
            if batch.header().has_producer_id() {
                own.next_sequence = batch.header().last_sequence() + 1;
                own.last = Some((batch, placed.base_offset));
            }
        }
        self.pending.push_back((frame, commit));
        Ok(())
    }

    fn model(&self) -> std::sync::MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Readers beside producers: what they see is right at any time, and no crash takes it back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use firth_batch::{Batch, Batches};
use firth_log::file::recorder::Recorder;
use firth_log::{Bounds, Engine, LogId, Read, ReadError, Seek, simulation};

use crate::explore::wait;
use crate::keyed;
use crate::model::{FrameId, Model};
use crate::random::Random;

pub(crate) struct Reader {
    engine: Engine,
    recorder: Recorder,
    model: Arc<Mutex<Model>>,
    random: Random,
    /// Bounds that were seen, which never go back.
    bounds: BTreeMap<LogId, Bounds>,
    /// Frames that were seen.
    frames: BTreeSet<FrameId>,
}

impl Reader {
    pub(crate) fn new(
        engine: Engine,
        recorder: Recorder,
        model: Arc<Mutex<Model>>,
        random: Random,
    ) -> Reader {
        Reader {
            engine,
            recorder,
            model,
            random,
            bounds: BTreeMap::new(),
            frames: BTreeSet::new(),
        }
    }

    /// Reads anything again and again until the producers are done.
    pub(crate) fn run(mut self, done: &AtomicBool) {
        while !done.load(Ordering::Relaxed) {
            simulation::pause(Duration::from_micros(1 + self.random.below(3000)));
            self.step();
        }
    }

    fn step(&mut self) {
        let any = self.random.draw();
        let log = {
            let model = self.model.lock().unwrap_or_else(PoisonError::into_inner);
            model.any_log(any)
        };
        let Some((log, bounds)) = log.and_then(|log| Some((log, self.engine.bounds(log)?))) else {
            return;
        };
        if let Some(before) = self.bounds.insert(log, bounds) {
            assert!(
                before.start <= bounds.start && before.end <= bounds.end,
                "log {} had {before:?} and has {bounds:?}",
                log.0
            );
        }
        if bounds.start == bounds.end {
            return;
        }
        if self.random.below(8) == 0 {
            return self.find(log, bounds);
        }
        let from = bounds.start + self.random.below((bounds.end - bounds.start) as u64) as i64;
        let bytes = [1, 5000, 100_000][self.random.below(3) as usize];
        match wait(self.engine.read(log, from, bytes)) {
            Ok(read) => self.check(log, from, &read),
            Err(ReadError::OutOfRange(now)) if now.start > from => {}
            // It was deleted, or the disk fails.
            Err(ReadError::UnknownLog(_) | ReadError::Io(_)) => {}
            Err(error) => panic!("log {}: reading offset {from} of {bounds:?}: {error}", log.0),
        }
    }

    /// All records have the same time, so that the first batch is the one that is found.
    fn find(&mut self, log: LogId, before: Bounds) {
        let seek = [Seek::MaxTimestamp, Seek::Timestamp(0)][self.random.below(2) as usize];
        match wait(self.engine.find(log, seek)) {
            Ok(Some(batch)) => {
                let header = Batch::stored(batch.clone())
                    .unwrap_or_else(|error| panic!("log {}: what {seek:?} finds: {error}", log.0));
                let (base_offset, next_offset) = (header.header().base_offset, header.header().next_offset());
                assert!(
                    next_offset > before.start,
                    "log {}: {base_offset} was trimmed",
                    log.0
                );
                self.note(log, base_offset, &batch);
            }
            Ok(None) => {
                let now = self.engine.bounds(log);
                assert!(
                    now.is_none_or(|now| now.start >= before.end),
                    "log {}: {seek:?} finds nothing in {now:?}",
                    log.0
                );
            }
            Err(ReadError::UnknownLog(_) | ReadError::Io(_)) => {}
            Err(error) => panic!("log {}: {seek:?} of {before:?}: {error}", log.0),
        }
    }

    /// Checks that what was read is what was submitted, without a gap, and notes that it was seen.
    fn check(&mut self, log: LogId, from: i64, read: &Read) {
        let place = |offset: i64| format!("log {}, offset {offset} after {from}", log.0);
        let is_keyed = {
            let model = self.model.lock().unwrap_or_else(PoisonError::into_inner);
            model.is_keyed(log)
        };
        let mut at = None;
        for slice in &read.slices {
            for batch in Batches::new(slice) {
                let (header, bytes) = batch.unwrap_or_else(|error| panic!("{}: {error}", place(from)));
                let base_offset = header.base_offset;
                let follows = match at {
                    _ if is_keyed => base_offset >= at.unwrap_or(0) && from < header.next_offset(),
                    Some(at) => base_offset == at,
                    None => base_offset <= from && from < header.next_offset(),
                };
                assert!(follows, "{}: it comes at {at:?}", place(base_offset));
                at = Some(header.next_offset());
                Batch::stored(slice.slice_ref(bytes))
                    .unwrap_or_else(|error| panic!("{}: {error}", place(base_offset)));
                self.note(log, base_offset, &slice.slice_ref(bytes));
            }
        }
        assert!(at.is_some(), "{}: nothing is read", place(from));
    }

    /// A producer may not yet have noted what it submitted.
    fn note(&mut self, log: LogId, base_offset: i64, bytes: &Bytes) {
        let frame = {
            let model = self.model.lock().unwrap_or_else(PoisonError::into_inner);
            let submitted = model.batch(log, base_offset);
            submitted.map(|submitted| {
                let is_right = match model.is_keyed(log) {
                    true => keyed::is_of(&submitted.bytes, bytes) == Ok(true),
                    false => submitted.bytes == bytes,
                };
                assert!(
                    is_right,
                    "log {}: offset {base_offset} has other bytes than were submitted",
                    log.0
                );
                submitted.frame
            })
        };
        if let Some(frame) = frame.filter(|frame| self.frames.insert(*frame)) {
            self.recorder.mark(frame);
        }
    }
}

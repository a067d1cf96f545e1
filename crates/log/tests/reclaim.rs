//! What was deleted or trimmed leaves the disk, also when nobody writes any more.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its engine has failed"
)]

mod support;

use std::sync::Arc;

use firth_batch::Batch;
use firth_log::file::recorder::Recorder;
use firth_log::{Change, Engine, Frame, Kind, LogId, Options};
use support::{batch, batch_of, commit, environment, until};

const SEGMENT_BYTES: u64 = 256 * 1024;
const WRITTEN_BYTES: u64 = 16 * SEGMENT_BYTES;
/// What may stay: a few small segments.
const LEFT_BYTES: u64 = SEGMENT_BYTES / 4;

fn options() -> Options {
    Options {
        wal_bytes_max: Some(4 << 20),
        wal_file_bytes: 512 * 1024,
        segment_bytes: SEGMENT_BYTES,
        cache_bytes: 1 << 20,
        reserve_bytes: Some(0),
        ..Options::default()
    }
}

fn open(recorder: &Recorder) -> Engine {
    Engine::open(Arc::new(recorder.clone()), environment(), options()).unwrap()
}

fn create(engine: &Engine) -> LogId {
    let log = engine.allocate(1);
    let kind = Kind::Durable;
    let changes = vec![Change::Create { log, kind }];
    // As a topic's name and its configuration.
    let definition = Frame::batch(LogId::DEFINITIONS, batch(&["a log was created"]));
    commit(
        engine,
        Frame {
            changes,
            ..definition
        },
    );
    log
}

/// Writes to logs in turn, and small records of the state machine above now and then, or none.
fn fill(engine: &Engine, logs: &[LogId], has_definitions: bool, batch_of_log: impl Fn(usize, i32) -> Batch) {
    let mut written = 0;
    for nth in 0.. {
        for (index, log) in logs.iter().enumerate() {
            let batch = batch_of_log(index, nth);
            written += batch.len() as u64;
            commit(engine, Frame::batch(*log, batch));
        }
        if has_definitions && nth % 10 == 0 {
            let small = batch(&["a producer id was given out"]);
            commit(engine, Frame::batch(LogId::DEFINITIONS, small));
        }
        if written >= WRITTEN_BYTES {
            break;
        }
    }
    until("it is sealed", || engine.stats().unsealed_bytes < SEGMENT_BYTES);
    assert!(engine.stats().segment_bytes > WRITTEN_BYTES / 2);
}

fn plain(_: usize, _: i32) -> Batch {
    batch(&[&"x".repeat(2000)])
}

fn of_producer(index: usize, nth: i32) -> Batch {
    batch_of(index as i64, 0, nth, &[&"x".repeat(2000)])
}

fn until_little_is_left(engine: &Engine) {
    until("little is left", || engine.stats().segment_bytes < LEFT_BYTES);
}

#[test]
fn logs_that_are_deleted_leave_nothing_behind() {
    let plain = (plain as fn(usize, i32) -> Batch, true);
    for (batch_of_log, has_definitions) in [plain, (of_producer, true), (of_producer, false)] {
        let recorder = Recorder::new();
        let engine = open(&recorder);
        let logs: Vec<_> = (0..3).map(|_| create(&engine)).collect();
        fill(&engine, &logs, has_definitions, batch_of_log);
        for log in logs {
            commit(&engine, Frame::changes(vec![Change::Delete { log }]));
        }
        until_little_is_left(&engine);
        engine.close();
        let engine = open(&recorder);
        assert!(engine.stats().segment_bytes < LEFT_BYTES);
        assert_eq!(engine.stats().quarantined, 0);
        engine.close();
    }
}

#[test]
fn logs_that_are_trimmed_keep_their_producers_and_nothing_else() {
    [true, false].into_iter().for_each(keep_producers);
}

fn keep_producers(has_definitions: bool) {
    let recorder = Recorder::new();
    let engine = open(&recorder);
    let logs: Vec<_> = (0..3).map(|_| create(&engine)).collect();
    fill(&engine, &logs, has_definitions, of_producer);
    for log in &logs {
        let (log, to) = (*log, engine.bounds(*log).unwrap().end);
        commit(&engine, Frame::changes(vec![Change::Trim { log, to }]));
    }
    until_little_is_left(&engine);
    let last = engine.bounds(logs[0]).unwrap().end - 1;
    engine.close();

    let whole = recorder.image();
    let mut bare = whole.clone();
    bare.remove("catalog");
    for image in [whole, bare] {
        let engine = open(&Recorder::from_image(image));
        assert_eq!(engine.stats().quarantined, 0);
        for (index, log) in logs.iter().enumerate() {
            let bounds = engine.bounds(*log).unwrap();
            assert_eq!(bounds.start, bounds.end);
            let again = of_producer(index, last as i32);
            let appended = engine.append(Frame::batch(*log, again)).unwrap();
            assert!(appended.placed[0].duplicate, "{log:?}");
            let next = of_producer(index, last as i32 + 1);
            let appended = engine.append(Frame::batch(*log, next)).unwrap();
            assert!(!appended.placed[0].duplicate, "{log:?}");
        }
        engine.close();
    }
}

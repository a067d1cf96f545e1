//! A disk without space stops producers and nobody else, and needs no restart when there is space again.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its engine has failed"
)]

mod support;

use std::sync::Arc;

use firth_log::file::recorder::Recorder;
use firth_log::{AppendError, Change, Engine, Frame, Kind, LogId, Options};
use support::{batch, environment, read_all, until};

const LARGE: usize = 20_000;
/// What producers leave free: two segments and two WAL files.
const RESERVE: u64 = 256 * 1024;

fn tiny() -> Options {
    Options {
        wal_bytes_max: Some(256 * 1024),
        wal_file_bytes: 64 * 1024,
        segment_bytes: 64 * 1024,
        cache_bytes: 64 * 1024,
        ..Options::default()
    }
}

fn open(recorder: &Recorder) -> Engine {
    Engine::open(Arc::new(recorder.clone()), environment(), tiny()).unwrap()
}

fn create(engine: &Engine) -> LogId {
    let log = engine.allocate(1);
    let kind = Kind::Durable;
    let created = engine.append(Frame::changes(vec![Change::Create { log, kind }]));
    created.unwrap().commit.wait().unwrap();
    log
}

fn used(recorder: &Recorder) -> u64 {
    let image = recorder.image();
    image.files().map(|path| image.len(path).unwrap()).sum()
}

/// Appends until the engine refuses. Frames that were taken before it noticed wait for space.
fn fill(engine: &Engine, log: LogId) -> Vec<firth_log::Commit> {
    let value = "x".repeat(LARGE);
    let mut waiting = Vec::new();
    loop {
        match engine.append(Frame::batch(log, batch(&[&value]))) {
            Ok(appended) => {
                let commit = appended.commit;
                until("the frame is durable or the disk full", || {
                    commit.is_durable() || engine.stats().disk_full == 1
                });
                if !commit.is_durable() {
                    waiting.push(commit);
                }
            }
            Err(AppendError::Full) => return waiting,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_full_disk_refuses_producers_serves_readers_and_recovers_when_something_is_trimmed() {
    let recorder = Recorder::new();
    let engine = open(&recorder);
    let (kept, trimmed) = (create(&engine), create(&engine));
    engine
        .append(Frame::batch(kept, batch(&["kept"])))
        .unwrap()
        .commit
        .wait()
        .unwrap();
    recorder.set_total_bytes(4 << 20);
    let waiting = fill(&engine, trimmed);
    assert_eq!(engine.stats().disk_full, 1);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    assert_eq!(runtime.block_on(read_all(&engine, kept, 0)).len(), 1);
    let end = engine.bounds(trimmed).unwrap().end;
    assert!(end > 20, "{end}");
    assert!(!runtime.block_on(read_all(&engine, trimmed, 0)).is_empty());

    let trim = Frame::changes(vec![Change::Trim {
        log: trimmed,
        to: end,
    }]);
    engine.append(trim).unwrap();
    until("the trim has made space", || engine.stats().disk_full == 0);
    waiting.into_iter().for_each(|commit| commit.wait().unwrap());
    let again = engine.append(Frame::batch(trimmed, batch(&["again"]))).unwrap();
    again.commit.wait().unwrap();
    assert_eq!(engine.stats().failed, 0);
    engine.close();

    let engine = open(&recorder);
    assert_eq!(runtime.block_on(read_all(&engine, kept, 0)).len(), 1);
    assert_eq!(engine.bounds(trimmed).unwrap().start, end);
    engine.close();
}

#[test]
fn a_full_disk_is_opened_and_read_and_freed() {
    let recorder = Recorder::new();
    let engine = open(&recorder);
    let log = create(&engine);
    recorder.set_total_bytes(4 << 20);
    let waiting = fill(&engine, log);
    let end = engine.bounds(log).unwrap().end;
    // Frames that wait for space do not hold up the end, and nobody is told that they are durable.
    engine.close();
    let durable = waiting.into_iter().filter(|commit| commit.is_durable()).count() as i64;

    recorder.set_total_bytes(used(&recorder) + RESERVE / 2);
    let engine = open(&recorder);
    let bounds = engine.bounds(log).unwrap();
    assert!(bounds.end >= end + durable, "{bounds:?}");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    assert!(!runtime.block_on(read_all(&engine, log, 0)).is_empty());
    until("the deletion is taken", || {
        match engine.append(Frame::changes(vec![Change::Delete { log }])) {
            Ok(_) | Err(AppendError::UnknownLog(_)) => true,
            Err(AppendError::Full) => false,
            Err(error) => panic!("{error}"),
        }
    });
    until("the deletion has made space", || {
        // One is kept for the engine's own log.
        engine.stats().segments <= 1 && engine.stats().disk_full == 0
    });
    let log = create(&engine);
    engine
        .append(Frame::batch(log, batch(&["again"])))
        .unwrap()
        .commit
        .wait()
        .unwrap();
    engine.close();
}

#[test]
fn space_that_others_take_is_noticed_while_nobody_writes() {
    let recorder = Recorder::new();
    let engine = open(&recorder);
    let log = create(&engine);
    assert_eq!(engine.stats().disk_full, 0);
    for _ in 0..2 {
        recorder.set_total_bytes(used(&recorder) + RESERVE / 2);
        until("the disk is full", || engine.stats().disk_full == 1);
        let refused = engine.append(Frame::batch(log, batch(&["refused"])));
        assert!(matches!(refused, Err(AppendError::Full)), "{refused:?}");
        recorder.set_total_bytes(64 << 20);
        until("the disk has space", || engine.stats().disk_full == 0);
        let taken = engine.append(Frame::batch(log, batch(&["taken"])));
        taken.unwrap().commit.wait().unwrap();
    }
    engine.close();
}

#[test]
fn the_reserve_is_what_the_options_say() {
    for (reserve_bytes, full) in [(None, 0), (Some(3 << 20), 0), (Some(16 << 20), 1), (Some(0), 0)] {
        let recorder = Recorder::new();
        recorder.set_total_bytes(8 << 20);
        let options = Options {
            reserve_bytes,
            ..tiny()
        };
        let engine = Engine::open(Arc::new(recorder), environment(), options).unwrap();
        until("free space was asked for", || engine.stats().disk_full == full);
        engine.close();
        assert_eq!(engine.stats().disk_full, full, "{reserve_bytes:?}");
    }
}

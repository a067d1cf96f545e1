//! Producers that are idle for long are forgotten by the time that the engine is told, wherever the wall clock goes.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its engine has failed"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use firth_log::file::recorder::Recorder;
use firth_log::{AppendError, Change, Engine, Environment, Frame, Kind, LogId, Options};
use support::{NOW_MS, batch, batch_of, environment, until};

const SEGMENT_BYTES: u64 = 16 * 1024;
const HOUR_MS: i64 = 60 * 60 * 1000;
const YEAR_MS: i64 = 365 * 24 * HOUR_MS;
const PRODUCER: i64 = 7;

struct Machine {
    disk: Recorder,
    wall_ms: Arc<AtomicI64>,
}

impl Machine {
    fn new(wall_ms: i64) -> Machine {
        Machine {
            disk: Recorder::new(),
            wall_ms: Arc::new(AtomicI64::new(wall_ms)),
        }
    }

    fn open(&self) -> Engine {
        let options = Options {
            wal_bytes_max: Some(4 << 20),
            wal_file_bytes: 256 * 1024,
            segment_bytes: SEGMENT_BYTES,
            reserve_bytes: Some(0),
            producer_expiry_ms: 24 * HOUR_MS,
            ..Options::default()
        };
        let wall_ms = self.wall_ms.clone();
        let environment = Environment {
            wall_ms: Arc::new(move || wall_ms.load(Ordering::Relaxed)),
            ..environment()
        };
        Engine::open(Arc::new(self.disk.clone()), environment, options).unwrap()
    }

    fn set_clock(&self, wall_ms: i64) {
        self.wall_ms.store(wall_ms, Ordering::Relaxed);
    }
}

fn create(engine: &Engine) -> LogId {
    let log = engine.allocate(1);
    let kind = Kind::Durable;
    let created = engine.append(Frame::changes(vec![Change::Create { log, kind }]));
    created.unwrap().commit.wait().unwrap();
    log
}

/// Says whether the batch is there already.
fn is_known(engine: &Engine, log: LogId, sequence: i32) -> bool {
    let batch = batch_of(PRODUCER, 0, sequence, &["once"]);
    let appended = engine.append(Frame::batch(log, batch)).unwrap();
    appended.commit.wait().unwrap();
    appended.placed[0].duplicate
}

/// Seals all that was appended, before which it is seen who expires.
fn seal(engine: &Engine) {
    let filler = "x".repeat(SEGMENT_BYTES as usize);
    let filler = Frame::batch(LogId::DEFINITIONS, batch(&[&filler]));
    engine.append(filler).unwrap().commit.wait().unwrap();
    until("all is sealed", || engine.stats().unsealed_bytes < SEGMENT_BYTES);
}

#[test]
fn a_wall_clock_that_jumps_forgets_nobody() {
    let machine = Machine::new(NOW_MS);
    let engine = machine.open();
    engine.tell_time(NOW_MS);
    let log = create(&engine);
    assert!(!is_known(&engine, log, 0));
    seal(&engine);
    machine.set_clock(NOW_MS + YEAR_MS);
    seal(&engine);
    assert!(is_known(&engine, log, 0));
    engine.close();

    // Nor before the time is told.
    let engine = machine.open();
    seal(&engine);
    engine.tell_time(NOW_MS + HOUR_MS);
    seal(&engine);
    engine.close();
    let engine = machine.open();
    assert!(is_known(&engine, log, 0));
    engine.close();
}

#[test]
fn a_producer_that_is_idle_for_long_is_forgotten_here_and_after_a_restart() {
    let machine = Machine::new(NOW_MS);
    let engine = machine.open();
    let log = create(&engine);
    assert!(!is_known(&engine, log, 0));
    seal(&engine);
    engine.tell_time(NOW_MS + 24 * HOUR_MS);
    seal(&engine);
    assert!(is_known(&engine, log, 0));
    engine.tell_time(NOW_MS + 24 * HOUR_MS + 1);
    seal(&engine);
    // Who is unknown may begin anywhere.
    assert!(!is_known(&engine, log, 5));
    seal(&engine);
    engine.close();

    let engine = machine.open();
    assert!(is_known(&engine, log, 5));
    let refused = engine.append(Frame::batch(log, batch_of(PRODUCER, 0, 0, &["once"])));
    let expected = AppendError::OutOfOrderSequence {
        producer_id: PRODUCER,
        expected: 6,
        found: 0,
    };
    assert_eq!(refused.unwrap_err(), expected);
    engine.close();
}

#[test]
fn a_producer_that_comes_back_in_time_is_not_forgotten() {
    let machine = Machine::new(NOW_MS);
    let engine = machine.open();
    let log = create(&engine);
    assert!(!is_known(&engine, log, 0));
    seal(&engine);
    assert!(!is_known(&engine, log, 1));
    engine.tell_time(NOW_MS + 25 * HOUR_MS);
    seal(&engine);
    assert!(is_known(&engine, log, 1));
    engine.close();
    let engine = machine.open();
    assert!(is_known(&engine, log, 1));
    engine.close();
}

#[test]
fn a_wall_clock_that_was_behind_forgets_nobody_when_it_is_set_right() {
    let machine = Machine::new(0);
    let engine = machine.open();
    engine.tell_time(NOW_MS);
    let log = create(&engine);
    assert!(!is_known(&engine, log, 0));
    seal(&engine);
    machine.set_clock(NOW_MS + HOUR_MS);
    engine.tell_time(NOW_MS + HOUR_MS);
    seal(&engine);
    assert!(is_known(&engine, log, 0));
    engine.close();
    let engine = machine.open();
    assert!(is_known(&engine, log, 0));
    engine.close();
}

//! What the newest records of a log take is told wherever they lie: in memory, in the WAL, in segments.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its engine has failed"
)]

mod support;

use std::sync::Arc;

use firth_log::file::recorder::Recorder;
use firth_log::segment::CHUNK_BYTES_MIN;
use firth_log::{Change, Engine, Frame, Kind, LogId, Newest, Options, ReadError};
use support::{batch, environment, read_all, until};

const KIB: u64 = 1024;
const SEGMENT_BYTES: u64 = 1024 * KIB;
/// A chunk is shorter than twice the least, as no batch here is as large.
const CHUNK_BYTES_MAX: u64 = 2 * CHUNK_BYTES_MIN;

fn options() -> Options {
    Options {
        wal_bytes_max: Some(16 << 20),
        wal_file_bytes: 2 << 20,
        segment_bytes: SEGMENT_BYTES,
        cache_bytes: 0,
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
    let created = engine.append(Frame::changes(vec![Change::Create { log, kind }]));
    created.unwrap().commit.wait().unwrap();
    log
}

/// Appends batches of all sizes in frames of a few, so that they are slices of all sizes.
fn fill(engine: &Engine, log: LogId, bytes: u64) {
    let other = LogId::DEFINITIONS;
    let mut filled = 0;
    let mut nth = 0;
    while filled < bytes {
        let mut frame = Frame::default();
        for _ in 0..1 + nth % 40 {
            nth += 1;
            let value = "x".repeat(100 + nth * 7919 % 20_000);
            for log in [log, other] {
                let appended = Frame::batch(log, batch(&[&value]));
                frame.appends.extend(appended.appends);
            }
            filled += value.len() as u64;
        }
        engine.append(frame).unwrap().commit.wait().unwrap();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(future)
}

fn kept_bytes(engine: &Engine, log: LogId, from: i64) -> u64 {
    let slices = block_on(read_all(engine, log, from));
    slices.iter().map(|slice| slice.len() as u64).sum()
}

/// Asks for all kinds of sizes, and looks what lies behind the answers.
fn check(engine: &Engine, log: LogId) {
    let bounds = engine.bounds(log).unwrap();
    let all = kept_bytes(engine, log, bounds.start);
    let mut later = bounds.end;
    for bytes in (0..all + 300 * KIB).step_by(300_007) {
        let newest = block_on(engine.newest(log, bytes)).unwrap();
        assert!(newest.first_offset >= bounds.start, "{newest:?} {bounds:?}");
        assert!(newest.first_offset <= later, "{newest:?} of {bytes}");
        later = newest.first_offset;
        let kept = kept_bytes(engine, log, newest.first_offset);
        assert!(kept >= bytes.min(all), "{newest:?} of {bytes}: {kept}");
        assert!(kept <= bytes + CHUNK_BYTES_MAX, "{newest:?} of {bytes}: {kept}");
        if newest.first_offset > bounds.start {
            assert_eq!(newest.bytes, kept, "{newest:?} of {bytes}");
        }
    }
    let more = block_on(engine.newest(log, u64::MAX)).unwrap();
    assert_eq!(more.first_offset, bounds.start);
}

#[test]
fn the_newest_records_are_found_in_segments_and_in_the_wal() {
    let recorder = Recorder::new();
    let engine = open(&recorder);
    let log = create(&engine);
    assert_eq!(engine.published_bytes(log), Some(0));
    fill(&engine, log, 3000 * KIB);
    until("it is sealed", || {
        engine.stats().segments_written >= 3 && engine.stats().unsealed_bytes < SEGMENT_BYTES
    });
    check(&engine, log);
    fill(&engine, log, 400 * KIB);
    assert!(engine.extents(log).iter().any(|extent| extent.is_sealed));
    assert!(engine.extents(log).iter().any(|extent| !extent.is_sealed));
    check(&engine, log);
    assert_eq!(engine.published_bytes(log), Some(kept_bytes(&engine, log, 0)));

    // Where it was trimmed in the middle of an extent.
    let newest = block_on(engine.newest(log, 1200 * KIB)).unwrap();
    let to = newest.first_offset;
    let trimmed = engine.append(Frame::changes(vec![Change::Trim { log, to }]));
    trimmed.unwrap().commit.wait().unwrap();
    check(&engine, log);
    let again = block_on(engine.newest(log, 1200 * KIB)).unwrap();
    assert_eq!(again, newest);
    fill(&engine, log, 2000 * KIB);
    check(&engine, log);
    engine.close();

    let engine = open(&recorder);
    check(&engine, log);
    engine.close();
}

#[test]
fn the_newest_records_are_found_in_memory() {
    let engine = Engine::memory(environment(), options());
    let log = create(&engine);
    fill(&engine, log, 500 * KIB);
    check(&engine, log);
    let none = LogId(99);
    let unknown = block_on(engine.newest(none, 1)).unwrap_err();
    assert!(matches!(unknown, ReadError::UnknownLog(log) if log == none));
    assert_eq!(engine.published_bytes(none), None);
    let nothing = create(&engine);
    let newest = block_on(engine.newest(nothing, 1)).unwrap();
    let expected = Newest {
        first_offset: 0,
        bytes: 0,
        published_bytes: 0,
    };
    assert_eq!(newest, expected);
}

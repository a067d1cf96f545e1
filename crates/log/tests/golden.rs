//! A data directory of format version 1, as it was written when that version was settled: today's engine opens it and
//! reads back all that it holds. A change that fails here has changed what is on users' disks.
//!
//! The directory was made by the ignored test in this file, which is run again only for a new format version, into a
//! directory of that version:
//!
//! ```text
//! cargo test -p firth-log --test golden -- --ignored
//! ```
//!
//! It has two segments, a WAL tail, a catalog, and of the meta log every kind of record.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its engine has failed"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use firth_log::file::disk::Disk;
use firth_log::{AppendError, Bounds, Change, Direct, Engine, Frame, Kind, LogId, Options, ReadError};
use support::{NOW_MS, batch, batch_of, environment, read_all, until, values};

const KEPT: LogId = LogId(16);
const TRIMMED: LogId = LogId(17);
const DELETED: LogId = LogId(18);
/// More than is gathered before it is sealed.
const LARGE: usize = 5000;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1")
}

fn open(directory: &Path, direct: Direct) -> Engine {
    let options = Options {
        direct,
        wal_bytes_max: Some(1024 * 1024),
        wal_file_bytes: 64 * 1024,
        segment_bytes: 4096,
        ..Options::default()
    };
    let disk = Disk::open(directory).unwrap();
    Engine::open(Arc::new(disk), environment(), options).unwrap()
}

fn commit(engine: &Engine, frame: Frame) {
    engine.append(frame).unwrap().commit.wait().unwrap();
}

fn large(letter: &str) -> String {
    letter.repeat(LARGE)
}

/// Appends enough for a segment, and waits until it is there.
fn seal(engine: &Engine, log: LogId, letter: &str) {
    let segments = engine.stats().segments_written;
    commit(engine, Frame::batch(log, batch(&[&large(letter)])));
    until("a segment was written", || {
        let stats = engine.stats();
        stats.segments_written > segments && stats.unsealed_bytes < LARGE as u64
    });
}

#[test]
#[ignore = "writes the golden directory anew, which is for a new format version alone"]
fn write_the_golden_directory() {
    let directory = golden();
    assert!(
        !directory.exists(),
        "a golden directory is never changed: {}",
        directory.display()
    );
    let engine = open(&directory, Direct::Never);
    assert_eq!(engine.allocate(3), KEPT);
    let create = |log| Change::Create {
        log,
        kind: Kind::Durable,
    };
    commit(
        &engine,
        Frame::changes([KEPT, TRIMMED, DELETED].map(create).to_vec()),
    );
    seal(&engine, DELETED, "x");

    commit(&engine, Frame::changes(vec![Change::Delete { log: DELETED }]));
    commit(&engine, Frame::batch(KEPT, batch_of(7, 0, 0, &["a", "b"])));
    commit(&engine, Frame::batch(KEPT, batch_of(9, 3, i32::MAX, &["c"])));
    commit(&engine, Frame::batch(TRIMMED, batch(&["0", "1", "2"])));
    commit(
        &engine,
        Frame::changes(vec![Change::Trim { log: TRIMMED, to: 1 }]),
    );
    let snapshot = engine.bounds(LogId::META).unwrap().end;
    seal(&engine, KEPT, "y");
    // The first segment is kept for records of the meta log alone now, so a snapshot of them is written.
    until("there is a snapshot", || {
        engine.bounds(LogId::META).unwrap().end > snapshot
    });

    commit(&engine, Frame::batch(KEPT, batch_of(7, 0, 2, &["d"])));
    commit(&engine, Frame::batch(KEPT, batch_of(9, 3, 0, &["e", "f"])));
    commit(&engine, Frame::batch(TRIMMED, batch(&["3"])));
    commit(&engine, Frame::batch(LogId::DEFINITIONS, batch(&["definition"])));
    let mut both = Frame::changes(vec![Change::Trim { log: TRIMMED, to: 3 }]);
    both.appends.extend(Frame::batch(KEPT, batch(&["g"])).appends);
    commit(&engine, both);
    engine.close();
}

/// Every file of a directory with what it holds, by its path within.
fn files(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut directories = vec![directory.to_path_buf()];
    while let Some(next) = directories.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                let name = path.strip_prefix(directory).unwrap().to_path_buf();
                found.push((name, fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

fn copy(to: &Path) {
    for (name, bytes) in files(&golden()) {
        let path = to.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

async fn check_records(engine: &Engine) {
    let bounds = |log| engine.bounds(log);
    assert_eq!(bounds(KEPT), Some(Bounds { start: 0, end: 8 }));
    assert_eq!(bounds(TRIMMED), Some(Bounds { start: 3, end: 4 }));
    assert_eq!(bounds(DELETED), None);
    assert_eq!(bounds(LogId::DEFINITIONS), Some(Bounds { start: 0, end: 1 }));
    let kept = values(&read_all(engine, KEPT, 0).await);
    assert_eq!(kept, ["a", "b", "c", &large("y"), "d", "e", "f", "g"]);
    assert_eq!(values(&read_all(engine, TRIMMED, 3).await), ["3"]);
    let definitions = read_all(engine, LogId::DEFINITIONS, 0).await;
    assert_eq!(values(&definitions), ["definition"]);
    let below = engine.read(TRIMMED, 2, 1).await;
    assert!(matches!(below, Err(ReadError::OutOfRange(_))), "{below:?}");
    let deleted = engine.read(DELETED, 0, 1).await;
    assert!(matches!(deleted, Err(ReadError::UnknownLog(DELETED))));
}

fn check_windows(engine: &Engine) {
    let retry = |producer_id, epoch, sequence, values: &[&str]| {
        let frame = Frame::batch(KEPT, batch_of(producer_id, epoch, sequence, values));
        engine.append(frame).map(|appended| appended.placed[0])
    };
    for (producer_id, epoch, sequence, values, base_offset) in [
        (7, 0, 0, &["a", "b"][..], 0),
        (9, 3, i32::MAX, &["c"], 2),
        (7, 0, 2, &["d"], 4),
        (9, 3, 0, &["e", "f"], 5),
    ] {
        let placed = retry(producer_id, epoch, sequence, values).unwrap();
        assert!(placed.duplicate, "{placed:?}");
        assert_eq!((placed.base_offset, placed.timestamp), (base_offset, NOW_MS));
    }
    let out_of_order = AppendError::OutOfOrderSequence {
        producer_id: 7,
        expected: 3,
        found: 4,
    };
    assert_eq!(retry(7, 0, 4, &["late"]), Err(out_of_order));
    let stale = AppendError::StaleProducerEpoch {
        producer_id: 9,
        current: 3,
        found: 2,
    };
    assert_eq!(retry(9, 2, 0, &["stale"]), Err(stale));
}

#[test]
fn a_directory_of_format_1_is_read_and_goes_on() {
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    for direct in [Direct::Auto, Direct::Never] {
        let directory = tempfile::tempdir().unwrap();
        copy(directory.path());
        let engine = open(directory.path(), direct);
        assert_eq!(engine.stats().quarantined, 0);
        assert_eq!(engine.stats().segments, 2);
        runtime.block_on(check_records(&engine));
        check_windows(&engine);
        assert_eq!(engine.allocate(1), LogId(19));
        engine.close();

        let engine = open(directory.path(), direct);
        runtime.block_on(check_records(&engine));
        check_windows(&engine);
        let next = engine
            .append(Frame::batch(KEPT, batch_of(7, 0, 3, &["next"])))
            .unwrap();
        assert_eq!(next.placed[0].base_offset, 8);
        next.commit.wait().unwrap();
        engine.close();
    }
}

/// What the catalog says follows from the segments and the WAL.
#[test]
fn a_directory_of_format_1_is_read_without_its_catalog() {
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let directory = tempfile::tempdir().unwrap();
    copy(directory.path());
    fs::remove_file(directory.path().join("catalog")).unwrap();
    let engine = open(directory.path(), Direct::Never);
    assert_eq!(engine.stats().quarantined, 0);
    runtime.block_on(check_records(&engine));
    check_windows(&engine);
    assert_eq!(engine.allocate(1), LogId(19));
    engine.close();
}

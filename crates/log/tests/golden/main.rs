//! Data directories as they were written when a format version was settled: today's engine opens them and reads back all
//! that they hold. A change that fails here has changed what is on users' disks.
//!
//! They were made by the ignored tests in `write.rs`, which are run again only for a new format version, into
//! directories of that version. Each has segments, a WAL tail and a catalog.
//!
//! - `v1`: segments of version 1, and of the meta log every kind of record that there was.
//! - `v2`: segments of version 2, sealed, merged and compacted, with extents without batches; a hole, accepted ones, and of the
//!   meta log every kind of record.
//! - `v2-lost`: a block of the WAL was lost with all that told whose records it held.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its engine has failed"
)]

#[path = "../support/mod.rs"]
mod support;
mod write;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use firth_log::file::disk::Disk;
use firth_log::{AppendError, Bounds, Direct, Engine, Frame, LogId, Options, ReadError};
use support::{NOW_MS, batch, batch_of, environment, read_all, values};

const KEPT: LogId = LogId(16);
const TRIMMED: LogId = LogId(17);
const DELETED: LogId = LogId(18);
/// Those of version 2 alone: one with a stretch in many segments, one of which the latest record of each key is kept, one
/// whose first records were rewritten away, and one of which records were lost.
const SPREAD: LogId = LogId(19);
const COMPACTED: LogId = LogId(20);
const EMPTIED: LogId = LogId(21);
const HOLED: LogId = LogId(22);
const SEGMENT_BYTES: u64 = 4096;
/// More than is gathered before it is sealed.
const LARGE: usize = 5000;

fn golden(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(version)
}

fn open(directory: &Path, direct: Direct) -> Engine {
    open_merging(directory, direct, 2)
}

fn open_merging(directory: &Path, direct: Direct, merge_segments: usize) -> Engine {
    let options = Options {
        direct,
        wal_bytes_max: Some(1024 * 1024),
        wal_file_bytes: 64 * 1024,
        segment_bytes: SEGMENT_BYTES,
        merge_segments,
        ..Options::default()
    };
    let disk = Disk::open(directory).unwrap();
    Engine::open(Arc::new(disk), environment(), options).unwrap()
}

fn large(letter: &str) -> String {
    letter.repeat(LARGE)
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

fn copy(version: &str, to: &Path) {
    for (name, bytes) in files(&golden(version)) {
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

async fn check_version_2(engine: &Engine) {
    let spread = values(&read_all(engine, SPREAD, 0).await);
    let expected: Vec<String> = (0..6).map(|record| format!("spread {record}")).collect();
    assert_eq!(spread, expected);

    assert_eq!(engine.bounds(COMPACTED), Some(Bounds { start: 0, end: 7 }));
    assert_eq!(engine.compacted_to(COMPACTED), 5);
    let compacted = read_all(engine, COMPACTED, 0).await;
    // A record that deletes its key has no value.
    assert_eq!(values(&compacted), ["k1 2", "", "k3 4", "k1 5", "k4 6"]);

    assert_eq!(engine.bounds(EMPTIED), Some(Bounds { start: 0, end: 4 }));
    assert_eq!(values(&read_all(engine, EMPTIED, 0).await), ["behind"]);

    assert_eq!(engine.bounds(HOLED), Some(Bounds { start: 0, end: 8 }));
    let holed = |offset| engine.read(HOLED, offset, 1);
    let lost = holed(1).await;
    let expected = ReadError::Damaged {
        log: HOLED,
        first_offset: 1,
        next_offset: 2,
    };
    assert_eq!(lost.unwrap_err().to_string(), expected.to_string());
    assert_eq!(values(&holed(0).await.unwrap().slices), ["holed 0"]);
    // Who asks for what was given up gets what is behind it.
    assert_eq!(values(&holed(3).await.unwrap().slices)[0], "holed 4");
    assert_eq!(values(&holed(5).await.unwrap().slices)[0], "holed 6");
    assert_eq!(values(&read_all(engine, HOLED, 6).await), ["holed 6", "holed 7"]);
}

/// The types of all sections with content that a directory's segments have: see docs/formats.md.
fn sections(directory: &Path) -> BTreeSet<u32> {
    let mut types = BTreeSet::new();
    for (_, bytes) in files(&directory.join("segments")) {
        let field = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let sections = (0..field(12) as usize).map(|nth| 32 + nth * 24);
        let filled = sections.filter(|section| field(section + 16) > 0);
        types.extend(filled.map(field));
    }
    types
}

/// Extents without batches.
fn empty_extents(directory: &Path) -> usize {
    let segments = files(&directory.join("segments")).into_iter();
    let counted = segments.map(|(_, bytes)| {
        let field = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
        // The first section is EXTENTS.
        let (start, length) = (field(40), field(48));
        let entries = (start..start + length).step_by(68);
        entries.filter(|entry| field(entry + 32) == 0).count()
    });
    counted.sum()
}

/// Opens a copy of a golden directory in every way, twice, and goes on in it.
fn check_directory(version: &str, quarantined: u64, next_log: LogId, check: impl Fn(&Engine)) {
    for (direct, with_catalog) in [
        (Direct::Auto, true),
        (Direct::Never, true),
        (Direct::Never, false),
    ] {
        let directory = tempfile::tempdir().unwrap();
        copy(version, directory.path());
        if !with_catalog {
            fs::remove_file(directory.path().join("catalog")).unwrap();
        }
        let engine = open(directory.path(), direct);
        assert_eq!(engine.stats().quarantined, quarantined);
        check(&engine);
        assert_eq!(engine.allocate(1), next_log);
        engine.close();

        let engine = open(directory.path(), direct);
        assert_eq!(engine.stats().quarantined, quarantined);
        check(&engine);
        let end = engine.bounds(KEPT).unwrap().end;
        let next = engine.append(Frame::batch(KEPT, batch(&["next"]))).unwrap();
        assert_eq!(next.placed[0].base_offset, end);
        next.commit.wait().unwrap();
        engine.close();
        let directory = directory.path();
        assert!(
            !directory.join("catalog.damaged-1").exists(),
            "the catalog is read"
        );
    }
}

#[test]
fn a_directory_of_version_1_is_read_and_goes_on() {
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    check_directory("v1", 0, LogId(19), |engine| {
        runtime.block_on(check_records(engine));
        check_windows(engine);
    });
}

#[test]
fn a_directory_of_version_2_is_read_and_goes_on() {
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    assert_eq!(sections(&golden("v2")), BTreeSet::from([1, 2, 3, 4, 5, 7]));
    assert_eq!(empty_extents(&golden("v2")), 1);
    check_directory("v2", 1, LogId(23), |engine| {
        runtime.block_on(check_records(engine));
        runtime.block_on(check_version_2(engine));
        check_windows(engine);
    });
}

/// All logs skip offsets where nothing tells whose records were lost.
#[test]
fn a_directory_with_lost_blocks_is_read_and_goes_on() {
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    assert!(sections(&golden("v2-lost")).contains(&6));
    let next_log = LogId(KEPT.0 + 1 + (1 << 32));
    // The blocks, and the offset that is missing between others.
    check_directory("v2-lost", 2, next_log, |engine| {
        let end = engine.bounds(KEPT).unwrap().end;
        assert!(end > 1 << 32, "{end}");
        let from = |offset| runtime.block_on(read_all(engine, KEPT, offset));
        assert_eq!(values(&from(2))[..3], ["behind", "sealed", "tail"]);
        let before = runtime.block_on(engine.read(KEPT, 0, 1)).unwrap();
        assert_eq!(values(&before.slices), ["before"]);
        let lost = runtime.block_on(engine.read(KEPT, 1, 1));
        assert!(matches!(lost, Err(ReadError::Damaged { .. })), "{lost:?}");
    });
}

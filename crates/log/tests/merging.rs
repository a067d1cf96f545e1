//! Segments that are made of others hold the same, before and after a restart, with a catalog and without.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its engine has failed"
)]

mod support;

use std::sync::Arc;

use firth_log::file::Storage;
use firth_log::file::recorder::Recorder;
use firth_log::{Bounds, Change, Direct, Engine, Frame, Kind, LogId, Options, ReadError, Seek};
use support::{batch, batch_at, batch_of, commit, environment, read_all, until, values};

const SEGMENT_BYTES: u64 = 16 * 1024;
const LOGS: u64 = 5;

fn options() -> Options {
    Options {
        direct: Direct::Never,
        wal_bytes_max: Some(4 << 20),
        wal_file_bytes: 256 * 1024,
        segment_bytes: SEGMENT_BYTES,
        merge_segments: 4,
        cache_bytes: 0,
        reserve_bytes: Some(0),
        ..Options::default()
    }
}

fn open(recorder: &Recorder) -> Engine {
    open_with(recorder, options())
}

fn open_with(recorder: &Recorder, options: Options) -> Engine {
    Engine::open(Arc::new(recorder.clone()), environment(), options).unwrap()
}

fn change(engine: &Engine, change: Change) {
    commit(engine, Frame::changes(vec![change]));
}

fn create(engine: &Engine) -> Vec<LogId> {
    let first = engine.allocate(LOGS).0;
    let logs: Vec<_> = (first..first + LOGS).map(LogId).collect();
    for log in &logs {
        let kind = Kind::Durable;
        change(engine, Change::Create { log: *log, kind });
    }
    logs
}

fn value(log: LogId, record: u64) -> String {
    format!("{} {record} {}", log.0, "x".repeat(100))
}

/// Appends records to all logs in turn, one in each batch, and waits until they are in segments.
fn fill(engine: &Engine, logs: &[LogId], records: std::ops::Range<u64>) {
    fill_only(engine, logs, records);
    seal(engine);
}

fn fill_only(engine: &Engine, logs: &[LogId], records: std::ops::Range<u64>) {
    let mut last = None;
    for record in records {
        for log in logs {
            let frame = Frame::batch(*log, batch_at(record as i64, &[&value(*log, record)]));
            last = Some(engine.append(frame).unwrap().commit);
        }
    }
    // What is not durable yet is in no cut.
    last.unwrap().wait().unwrap();
}

fn seal(engine: &Engine) {
    // Enough for one segment more, in a log that no test looks at.
    let filler = "x".repeat(SEGMENT_BYTES as usize);
    commit(engine, Frame::batch(LogId::DEFINITIONS, batch(&[&filler])));
    until("all is sealed", || engine.stats().unsealed_bytes < SEGMENT_BYTES);
}

fn read(engine: &Engine, log: LogId, from: i64) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    values(&runtime.block_on(read_all(engine, log, from)))
}

fn check(engine: &Engine, logs: &[LogId], from: u64, to: u64) {
    for log in logs {
        let expected: Vec<_> = (from..to).map(|record| value(*log, record)).collect();
        assert_eq!(read(engine, *log, from as i64), expected, "{log:?}");
        assert_eq!(
            engine.bounds(*log),
            Some(Bounds {
                start: from as i64,
                end: to as i64
            })
        );
    }
}

/// The directory as it is, and without its catalog.
fn reopened(recorder: &Recorder, check: impl Fn(&Engine)) {
    let whole = recorder.image();
    let mut bare = whole.clone();
    bare.remove("catalog");
    for (image, what) in [(whole, "whole"), (bare, "without a catalog")] {
        println!("{what}");
        let engine = open(&Recorder::from_image(image));
        assert_eq!(engine.stats().quarantined, 0);
        check(&engine);
        engine.close();
    }
}

#[test]
fn short_stretches_become_long_ones() {
    let recorder = Recorder::new();
    let engine = open(&recorder);
    let logs = create(&engine);
    let mut records = 0;
    for _ in 0..40 {
        fill(&engine, &logs, records..records + 20);
        records += 20;
    }
    until("eight times as many segments were merged", || {
        let stats = engine.stats();
        stats.rewrites > 0 && stats.segments * 5 < stats.segments_written
    });
    check(&engine, &logs, 0, records);
    let stats = engine.stats();
    assert!(
        stats.rewritten_bytes < 3 * stats.segment_written_bytes,
        "{stats:?}"
    );
    for log in &logs {
        let extents = engine.extents(*log);
        assert!(extents.len() < 20, "{log:?} has {} extents", extents.len());
    }
    engine.close();
    reopened(&recorder, |engine| check(engine, &logs, 0, records));
}

#[test]
fn what_little_is_kept_does_not_keep_the_rest() {
    let recorder = Recorder::new();
    let engine = open(&recorder);
    let logs = create(&engine);
    let (stuck, others) = logs.split_first().unwrap();
    fill(&engine, &logs, 0..500);
    let before = engine.stats().segment_bytes;
    for log in others {
        change(&engine, Change::Trim { log: *log, to: 500 });
    }
    let to = engine.bounds(LogId::DEFINITIONS).unwrap().end;
    let log = LogId::DEFINITIONS;
    change(&engine, Change::Trim { log, to });
    // A fifth is kept, and at least half of each segment.
    until("their space is free", || {
        engine.stats().segment_bytes < before / 2
    });
    check(&engine, &[*stuck], 0, 500);
    // Within an extent too, and a log that goes as a whole.
    change(&engine, Change::Trim { log: *stuck, to: 490 });
    until("its space is free", || engine.stats().segment_bytes < before / 20);
    check(&engine, &[*stuck], 490, 500);
    engine.close();
    reopened(&recorder, |engine| {
        check(engine, &[*stuck], 490, 500);
        check(engine, others, 500, 500);
    });
}

/// Of each log consecutive stretches alone become one, and the rest is not forgotten.
#[test]
fn what_is_left_of_segments_that_others_lie_between_moves_too() {
    let recorder = Recorder::new();
    // So that a segment is what is cut.
    let large = Options {
        segment_bytes: 1 << 20,
        ..options()
    };
    let engine = open_with(&recorder, large);
    let logs = create(&engine);
    let (stuck, others) = logs.split_first().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // Two segments of which little is kept then, and one between them of which all is: fewer than are merged.
    fill_only(&engine, &logs, 0..100);
    runtime.block_on(engine.cut()).unwrap();
    fill_only(&engine, &logs[..1], 100..200);
    runtime.block_on(engine.cut()).unwrap();
    fill_only(&engine, &logs[..1], 200..300);
    fill_only(&engine, others, 100..200);
    runtime.block_on(engine.cut()).unwrap();
    assert_eq!(engine.stats().segments, 3);
    let deleted = others.iter().map(|log| Change::Delete { log: *log });
    commit(&engine, Frame::changes(deleted.collect()));
    let kept = engine
        .extents(*stuck)
        .iter()
        .map(|extent| extent.bytes)
        .sum::<u64>();
    until("their space is free", || {
        engine.stats().segment_bytes < kept + 3 * 3 * 4096
    });
    check(&engine, &[*stuck], 0, 300);
    engine.close();
    reopened(&recorder, |engine| check(engine, &[*stuck], 0, 300));
}

#[test]
fn producers_go_on_where_they_were() {
    let recorder = Recorder::new();
    let engine = open(&recorder);
    let logs = create(&engine);
    let retry = || Frame::batch(logs[0], batch_of(7, 0, 0, &["sent twice"]));
    let first = engine.append(retry()).unwrap();
    first.commit.wait().unwrap();
    for part in 0..20 {
        fill(&engine, &logs[1..], part * 20..part * 20 + 20);
    }
    until("it was merged", || engine.stats().rewrites > 1);
    change(&engine, Change::Trim { log: logs[0], to: 1 });
    for part in 20..40 {
        fill(&engine, &logs[1..], part * 20..part * 20 + 20);
    }
    engine.close();
    reopened(&recorder, |engine| {
        let again = engine.append(retry()).unwrap();
        assert!(again.placed[0].duplicate);
    });
}

#[test]
fn damage_stays_where_it_is_and_what_surrounds_it_is_served() {
    let recorder = Recorder::new();
    let engine = open(&recorder);
    let logs = create(&engine);
    fill(&engine, &logs, 0..20);
    engine.close();
    let mut image = recorder.image();
    let needle = value(logs[2], 7);
    let (path, at) = image
        .files()
        .filter(|path| path.starts_with("segments/"))
        .find_map(|path| {
            let bytes = image.read(path)?;
            let at = bytes
                .windows(needle.len())
                .position(|window| window == needle.as_bytes())?;
            Some((path.to_owned(), at as u64))
        })
        .unwrap();
    image.flip(&path, at, 3);
    let recorder = Recorder::from_image(image);
    let engine = open(&recorder);
    for part in 1..20 {
        fill(&engine, &logs, part * 20..part * 20 + 20);
    }
    until("what can be merged is", || engine.stats().rewrites > 2);
    let check_damage = |engine: &Engine| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let refused = runtime.block_on(engine.read(logs[2], 7, 1)).unwrap_err();
        assert!(matches!(refused, ReadError::Damaged { .. }), "{refused}");
        let others: Vec<_> = logs.iter().filter(|log| **log != logs[2]).copied().collect();
        check(engine, &others, 0, 400);
        assert_eq!(read(engine, logs[2], 20).len(), 380);
    };
    check_damage(&engine);
    assert!(engine.stats().quarantined >= 1);
    engine.close();
    let engine = open(&recorder);
    check_damage(&engine);
    engine.close();
}

#[test]
fn searches_and_reads_go_on_while_segments_change_places() {
    let recorder = Recorder::new();
    let engine = open(&recorder);
    let logs = create(&engine);
    let writer = {
        let (engine, logs) = (engine.clone(), logs.clone());
        std::thread::spawn(move || {
            for part in 0..60 {
                fill(&engine, &logs, part * 20..part * 20 + 20);
            }
        })
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut searched = 0;
    while !writer.is_finished() {
        let log = logs[searched % logs.len()];
        let end = engine.bounds(log).unwrap().end;
        if end == 0 {
            continue;
        }
        let at = (searched as i64 * 7919) % end;
        let found = runtime.block_on(engine.find(log, Seek::Timestamp(at))).unwrap();
        assert_eq!(values(&[found.unwrap()]), [value(log, at as u64)]);
        let read = runtime.block_on(engine.read(log, at, 1)).unwrap();
        assert_eq!(values(&read.slices), [value(log, at as u64)]);
        searched += 1;
    }
    writer.join().unwrap();
    assert!(engine.stats().rewrites > 0);
    check(&engine, &logs, 0, 1200);
    engine.close();
}

#[test]
fn a_cut_shows_one_moment_without_a_catalog_and_a_wal() {
    let recorder = Recorder::new();
    let engine = open(&recorder);
    let logs = create(&engine);
    fill(&engine, &logs, 0..200);
    change(
        &engine,
        Change::Trim {
            log: logs[0],
            to: 150,
        },
    );
    change(&engine, Change::Delete { log: logs[1] });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let cut = runtime.block_on(engine.cut()).unwrap();
    fill(&engine, &logs[2..], 200..400);
    for log in &logs[2..] {
        change(&engine, Change::Trim { log: *log, to: 400 });
    }

    let copy = Recorder::new();
    copy.create_dir("segments").unwrap();
    for segment in cut.segments() {
        use firth_log::file::{Existence, Mode};
        let file = copy
            .open(&segment.id().path(), Mode::Buffered, Existence::CreateIfMissing)
            .unwrap();
        file.write_at(&segment.contents(0, segment.summary().length).unwrap(), 0)
            .unwrap();
    }
    let restored = open(&copy);
    assert_eq!(restored.stats().quarantined, 0);
    check(&restored, &logs[2..], 0, 200);
    check(&restored, &logs[..1], 150, 200);
    assert_eq!(restored.bounds(logs[1]), None);
    restored.close();
    engine.close();
}

//! The scrub finds what rots in sealed segments before anybody reads it.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its engine has failed"
)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use firth_log::file::recorder::Recorder;
use firth_log::file::{Existence, Mode, Storage};
use firth_log::{Change, Direct, Engine, Frame, Kind, LogId, Options, ReadError};
use support::{NOW_MS, batch, commit, environment, offsets, until};

const SEGMENT_BYTES: u64 = 16 * 1024;
const COUNT: i64 = 9;

fn open(recorder: &Recorder, scrub_interval: Option<Duration>) -> Engine {
    let options = Options {
        direct: Direct::Never,
        wal_bytes_max: Some(4 << 20),
        wal_file_bytes: 256 * 1024,
        segment_bytes: SEGMENT_BYTES,
        cache_bytes: 0,
        scrub_interval,
        merge_segments: 0,
        ..Options::default()
    };
    Engine::open(Arc::new(recorder.clone()), environment(), options).unwrap()
}

fn value(offset: i64) -> String {
    format!("offset {offset} {}", "x".repeat(SEGMENT_BYTES as usize))
}

/// A log whose records are in several segments.
fn filled(recorder: &Recorder) -> LogId {
    let engine = open(recorder, None);
    let log = engine.allocate(1);
    let kind = Kind::Durable;
    commit(&engine, Frame::changes(vec![Change::Create { log, kind }]));
    for offset in 0..COUNT {
        commit(&engine, Frame::batch(log, batch(&[&value(offset)])));
        until("it is sealed", || engine.stats().unsealed_bytes < 1000);
    }
    assert!(engine.stats().segments > 3);
    engine.close();
    log
}

/// The file and the position of a record.
fn find(recorder: &Recorder, offset: i64) -> (String, u64) {
    let image = recorder.image();
    let value = format!("offset {offset} ");
    let files = image.files().filter(|path| path.starts_with("segments/"));
    let found = files.filter_map(|path| {
        let bytes = image.read(path)?;
        let mut windows = bytes.windows(value.len());
        let at = windows.position(|window| window == value.as_bytes())?;
        Some((path.to_owned(), at as u64))
    });
    let found: Vec<_> = found.collect();
    assert_eq!(found.len(), 1);
    found[0].clone()
}

fn rot(recorder: &Recorder, offset: i64) {
    let (path, at) = find(recorder, offset);
    let file = recorder
        .open(&path, Mode::Buffered, Existence::MustExist)
        .unwrap();
    file.write_at(b"O", at).unwrap();
}

fn passes(engine: &Engine, count: u64) {
    let before = engine.stats().scrub_passes;
    until("the scrub is through", || {
        engine.stats().scrub_passes >= before + count
    });
}

#[test]
fn damage_is_found_without_a_reader_and_never_served() {
    let recorder = Recorder::new();
    let log = filled(&recorder);
    let engine = open(&recorder, Some(Duration::from_millis(1)));
    passes(&engine, 3);
    let stats = engine.stats();
    assert_eq!((stats.scrub_damages, stats.quarantined), (0, 0));
    assert_eq!(stats.scrub_completed_s, (NOW_MS / 1000) as u64);
    assert!(stats.scrub_segments >= 2 * stats.segments && stats.scrub_bytes > SEGMENT_BYTES);

    rot(&recorder, 4);
    until("it is found", || engine.stats().scrub_damages > 0);
    // It is news once.
    passes(&engine, 3);
    let stats = engine.stats();
    assert_eq!((stats.scrub_damages, stats.quarantined), (1, 1));
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    for offset in 0..COUNT {
        match runtime.block_on(engine.read(log, offset, 1)) {
            Ok(read) => assert_eq!(offsets(&read)[0].start, offset),
            Err(ReadError::Damaged {
                first_offset,
                next_offset,
                ..
            }) => assert_eq!((offset, first_offset, next_offset), (4, 4, 5)),
            Err(error) => panic!("{error}"),
        }
    }
    engine.close();
}

/// Damage of what no record depends on is named once too.
#[test]
fn a_damaged_header_is_found() {
    let recorder = Recorder::new();
    filled(&recorder);
    let engine = open(&recorder, Some(Duration::from_millis(1)));
    let (path, _) = find(&recorder, 4);
    let file = recorder
        .open(&path, Mode::Buffered, Existence::MustExist)
        .unwrap();
    file.write_at(b"X", 3).unwrap();
    until("it is found", || engine.stats().scrub_damages > 0);
    passes(&engine, 2);
    let stats = engine.stats();
    assert_eq!((stats.scrub_damages, stats.quarantined), (1, 0));
    engine.close();
}

#[test]
fn what_was_trimmed_is_no_news_and_segments_may_go_meanwhile() {
    let recorder = Recorder::new();
    let log = filled(&recorder);
    let engine = open(&recorder, Some(Duration::ZERO));
    for to in 1..=COUNT {
        rot(&recorder, to - 1);
        commit(&engine, Frame::changes(vec![Change::Trim { log, to }]));
        passes(&engine, 1);
    }
    until("its segments are gone", || engine.stats().segments < 3);
    passes(&engine, 2);
    engine.close();
}

/// An end does not wait for a pass, nor for the time between two.
#[test]
fn an_engine_ends_while_it_is_scrubbed() {
    let recorder = Recorder::new();
    filled(&recorder);
    for interval in [Duration::ZERO, Duration::from_secs(1 << 30)] {
        let engine = open(&recorder, Some(interval));
        until("it has begun", || engine.stats().scrub_segments > 0);
        engine.close();
    }
}

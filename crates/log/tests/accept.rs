//! What the operator gave up is no hole any more: reads pass it, nobody counts it, and no start names it again.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its engine has failed"
)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use firth_log::file::recorder::{Image, Recorder};
use firth_log::{Bounds, Change, Direct, Engine, Frame, Kind, LogId, Options, ReadError, Seek};
use support::{NOW_MS, batch, commit, environment, offsets, until};

const SEGMENT_BYTES: u64 = 16 * 1024;
const COUNT: i64 = 9;

fn open_with(recorder: &Recorder, scrub_interval: Option<Duration>) -> Engine {
    let options = Options {
        direct: Direct::Never,
        wal_bytes_max: Some(4 << 20),
        wal_file_bytes: 256 * 1024,
        segment_bytes: SEGMENT_BYTES,
        cache_bytes: 0,
        scrub_interval,
        ..Options::default()
    };
    Engine::open(Arc::new(recorder.clone()), environment(), options).unwrap()
}

fn open(recorder: &Recorder) -> Engine {
    open_with(recorder, None)
}

fn append(engine: &Engine, log: LogId, value: &str) {
    commit(engine, Frame::batch(log, batch(&[value])));
}

fn accept(engine: &Engine, log: LogId, first_offset: i64, next_offset: i64) {
    let accepted = engine.accept(log, first_offset, next_offset).unwrap();
    accepted.wait().unwrap();
}

fn seal(engine: &Engine) {
    append(engine, LogId::DEFINITIONS, &"x".repeat(SEGMENT_BYTES as usize));
    until("all of it is sealed", || engine.stats().unsealed_bytes < 1000);
}

/// A log of some records, each in a block of its own, with `lost` of them damaged in the WAL.
fn with_lost(lost: &[i64]) -> (Recorder, LogId) {
    let recorder = Recorder::new();
    let engine = open(&recorder);
    let log = engine.allocate(1);
    let kind = Kind::Durable;
    commit(&engine, Frame::changes(vec![Change::Create { log, kind }]));
    for offset in 0..COUNT {
        append(&engine, log, &format!("offset {offset} "));
    }
    // Behind all of them, so that they are known to have been durable.
    append(&engine, LogId::DEFINITIONS, "behind");
    engine.close();
    let mut image = recorder.image();
    for offset in lost {
        flip(&mut image, &format!("offset {offset} "));
    }
    (Recorder::from_image(image), log)
}

fn flip(image: &mut Image, value: &str) {
    let found = image
        .files()
        .filter(|path| !path.starts_with("quarantine/"))
        .find_map(|path| {
            let bytes = image.read(path)?;
            let mut windows = bytes.windows(value.len());
            let at = windows.position(|window| window == value.as_bytes())?;
            Some((path.to_owned(), at as u64))
        });
    let (path, at) = found.unwrap();
    image.flip(&path, at, 3);
}

fn without_catalog(recorder: &Recorder) -> Recorder {
    let mut image = recorder.image();
    image.remove("catalog");
    Recorder::from_image(image)
}

/// Reads a log to its end: the offsets of what is there, and the holes.
fn walk(engine: &Engine, log: LogId) -> (Vec<i64>, Vec<(i64, i64)>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let Bounds { start, end } = engine.bounds(log).unwrap();
    let (mut read, mut holes) = (Vec::new(), Vec::new());
    let mut at = start;
    while at < end {
        match runtime.block_on(engine.read(log, at, 1 << 20)) {
            Ok(found) if found.slices.is_empty() => break,
            Ok(found) => {
                for batch in offsets(&found) {
                    read.push(batch.start);
                    at = batch.end;
                }
            }
            Err(ReadError::Damaged {
                first_offset,
                next_offset,
                ..
            }) => {
                holes.push((first_offset, next_offset));
                at = next_offset;
            }
            Err(error) => panic!("{error}"),
        }
    }
    (read, holes)
}

fn all_but(lost: &[i64]) -> Vec<i64> {
    (0..COUNT).filter(|offset| !lost.contains(offset)).collect()
}

#[test]
fn what_was_accepted_is_no_hole_in_the_wal_sealed_and_opened_again() {
    let lost = [0, 4, 5];
    let (recorder, log) = with_lost(&lost);
    let engine = open(&recorder);
    assert_eq!(walk(&engine, log).0, all_but(&lost));
    assert!(engine.stats().quarantined > 0);
    // A part of a hole, and a stretch that is larger than another.
    accept(&engine, log, 4, 5);
    assert_eq!(walk(&engine, log), (all_but(&lost), vec![(0, 1), (5, 6)]));
    accept(&engine, log, 0, 1);
    accept(&engine, log, 5, 6);
    assert_eq!(walk(&engine, log), (all_but(&lost), vec![]));
    engine.close();

    for what in ["opened again", "sealed", "sealed again", "opened at last"] {
        let engine = open(&recorder);
        assert_eq!(engine.stats().quarantined, 0, "{what}");
        assert_eq!(walk(&engine, log), (all_but(&lost), vec![]), "{what}");
        let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
        // Whoever asks for an offset that was given up gets what is behind it.
        let read = runtime.block_on(engine.read(log, 4, 1)).unwrap();
        assert_eq!(offsets(&read)[0].start, 6, "{what}");
        let found = runtime
            .block_on(engine.find(log, Seek::Timestamp(NOW_MS)))
            .unwrap();
        assert!(found.is_some(), "{what}");
        if what.starts_with("sealed") {
            // The meta log is trimmed to its snapshots.
            (0..4).for_each(|_| seal(&engine));
        }
        engine.close();
        if what.starts_with("sealed") {
            let engine = open(&without_catalog(&recorder));
            assert_eq!(engine.stats().quarantined, 0, "{what}, without a catalog");
            assert_eq!(
                walk(&engine, log),
                (all_but(&lost), vec![]),
                "{what}, without a catalog"
            );
            engine.close();
        }
    }
}

/// Nothing comes behind it yet.
#[test]
fn the_accepted_end_of_a_log_gives_nothing_until_something_is_appended() {
    let (recorder, log) = with_lost(&[COUNT - 1]);
    let engine = open(&recorder);
    assert_eq!(walk(&engine, log).1, [(COUNT - 1, COUNT)]);
    accept(&engine, log, COUNT - 1, COUNT);
    engine.close();
    let engine = open(&recorder);
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let read = runtime.block_on(engine.read(log, COUNT - 1, 1)).unwrap();
    assert!(read.slices.is_empty());
    assert_eq!(read.bounds.end, COUNT);
    append(&engine, log, "goes on");
    let read = runtime.block_on(engine.read(log, COUNT - 1, 1)).unwrap();
    assert_eq!(offsets(&read)[0].start, COUNT);
    engine.close();
}

/// The damage is found by reading, and by the scrub, which both come to it again.
#[test]
fn accepted_damage_of_a_segment_is_passed_and_not_found_again() {
    let (recorder, log) = with_lost(&[]);
    let engine = open(&recorder);
    seal(&engine);
    engine.close();
    let mut image = recorder.image();
    flip(&mut image, "offset 4 ");
    let recorder = Recorder::from_image(image);
    let engine = open(&recorder);
    let (read, holes) = walk(&engine, log);
    // The chunk that it is in.
    assert_eq!(holes, [(0, COUNT)]);
    assert!(read.is_empty());
    append(&engine, log, "behind");
    accept(&engine, log, 0, COUNT);
    assert_eq!(walk(&engine, log), (vec![COUNT], vec![]));
    engine.close();
    let engine = open_with(&recorder, Some(Duration::from_millis(1)));
    until("it is scrubbed", || engine.stats().scrub_passes > 2);
    let stats = engine.stats();
    assert_eq!((stats.quarantined, stats.scrub_damages), (0, 0));
    assert_eq!(walk(&engine, log), (vec![COUNT], vec![]));
    engine.close();
}

#[test]
fn what_was_accepted_is_forgotten_with_its_log() {
    for delete in [false, true] {
        let (recorder, log) = with_lost(&[4]);
        let engine = open(&recorder);
        accept(&engine, log, 4, 5);
        let change = match delete {
            true => Change::Delete { log },
            false => Change::Trim { log, to: 6 },
        };
        commit(&engine, Frame::changes(vec![change]));
        (0..4).for_each(|_| seal(&engine));
        engine.close();
        for recorder in [recorder.clone(), without_catalog(&recorder)] {
            let engine = open(&recorder);
            assert_eq!(engine.stats().quarantined, 0);
            if !delete {
                assert_eq!(walk(&engine, log), ((6..COUNT).collect(), vec![]));
            }
            engine.close();
        }
    }
}

/// The engine's own records were damaged where nothing else tells what they said but the batches themselves.
#[test]
fn logs_whose_creation_is_lost_are_those_that_have_batches() {
    let (recorder, log) = with_lost(&[]);
    let engine = open(&recorder);
    seal(&engine);
    let next = engine.allocate(1);
    engine.close();
    let mut image = without_catalog(&recorder).image();
    // Every copy of the record: type, version, log.
    let record: Vec<u8> = [1, 1].into_iter().chain(log.0.to_le_bytes()).collect();
    let files: Vec<String> = image.files().map(str::to_owned).collect();
    for path in files {
        let bytes = image.read(&path).unwrap();
        for (at, window) in bytes.windows(record.len()).enumerate() {
            if window == record {
                image.flip(&path, at as u64 + 4, 3);
            }
        }
    }
    let engine = open(&Recorder::from_image(image));
    assert!(engine.stats().quarantined > 0);
    assert_eq!(walk(&engine, log), ((0..COUNT).collect(), vec![]));
    assert!(
        engine.allocate(1).0 > next.0 + (1 << 31),
        "no id is given out again"
    );
    append(&engine, log, "goes on");
    engine.close();
}

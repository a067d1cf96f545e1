//! Acknowledged data that is damaged stays named: reading gives what is before it and behind it, and an error for what is
//! gone, whether the rest lies in the WAL or was sealed, before and after each opening.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its engine has failed"
)]

mod support;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use firth_batch::Batches;
use firth_log::file::recorder::{Image, Recorder};
use firth_log::file::{Existence, Mode, Storage};
use firth_log::{Bounds, Change, Direct, Engine, Frame, Kind, LogId, Options, ReadError, Seek};
use proptest::prelude::*;
use support::{NOW_MS, batch, batch_at, batch_of, commit, environment, until};

const COUNT: i64 = 9;
/// The offset that is lost.
const LOST: i64 = 4;
const SEGMENT_BYTES: u64 = 16 * 1024;

fn options(cache_bytes: usize) -> Options {
    Options {
        direct: Direct::Never,
        wal_bytes_max: Some(4 << 20),
        wal_file_bytes: 256 * 1024,
        segment_bytes: SEGMENT_BYTES,
        cache_bytes,
        ..Options::default()
    }
}

fn open(recorder: &Recorder, cache_bytes: usize) -> Engine {
    Engine::open(Arc::new(recorder.clone()), environment(), options(cache_bytes)).unwrap()
}

/// A batch that is found again in a file by its value.
fn value(log: LogId, offset: i64) -> String {
    format!("log {} offset {offset}", log.0)
}

/// Two logs, of which each block has a batch.
fn fill(engine: &Engine) -> [LogId; 2] {
    let first = engine.allocate(2);
    let logs = [first, LogId(first.0 + 1)];
    let create = |log| Change::Create {
        log,
        kind: Kind::Durable,
    };
    commit(engine, Frame::changes(logs.map(create).to_vec()));
    for offset in 0..COUNT {
        let timestamp = NOW_MS + offset;
        let mut frame = Frame::default();
        for log in logs {
            let batch = batch_at(timestamp, &[&value(log, offset)]);
            frame.appends.extend(Frame::batch(log, batch).appends);
        }
        commit(engine, frame);
    }
    logs
}

/// The file and the position of a value.
fn find(image: &Image, value: &str) -> (String, u64) {
    for path in image.files() {
        let bytes = image.read(path).unwrap();
        let at = bytes
            .windows(value.len())
            .position(|window| window == value.as_bytes());
        if let Some(at) = at {
            return (path.to_owned(), at as u64);
        }
    }
    panic!("{value} is nowhere");
}

#[derive(Debug, PartialEq)]
enum Seen {
    Read(Range<i64>),
    Damaged(Range<i64>),
}

/// Reads a log from its start to its end, in reads that are as large as they may be, and steps over what is damaged.
fn walk(engine: &Engine, log: LogId) -> Vec<Seen> {
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let Bounds { start, end } = engine.bounds(log).unwrap();
    let mut at = start;
    let mut seen = Vec::new();
    while at < end {
        match runtime.block_on(engine.read(log, at, 1 << 20)) {
            Ok(read) => {
                for batch in read.slices.iter().flat_map(|slice| Batches::new(slice)) {
                    let (header, _) = batch.unwrap();
                    match seen.last_mut() {
                        Some(Seen::Read(range)) if range.end == header.base_offset => {
                            range.end = header.next_offset();
                        }
                        _ => seen.push(Seen::Read(header.base_offset..header.next_offset())),
                    }
                    at = header.next_offset();
                }
                assert!(!read.slices.is_empty(), "nothing at {at} of {start}..{end}");
            }
            Err(ReadError::Damaged {
                first_offset,
                next_offset,
                ..
            }) => {
                seen.push(Seen::Damaged(first_offset..next_offset));
                at = next_offset;
            }
            Err(error) => panic!("{error}"),
        }
    }
    seen
}

/// What is read of a log whose offset `LOST` was damaged and which has `end` offsets.
fn with_hole(end: i64) -> Vec<Seen> {
    vec![
        Seen::Read(0..LOST),
        Seen::Damaged(LOST..LOST + 1),
        Seen::Read(LOST + 1..end),
    ]
}

/// Seals all that there is, with one more batch for each log.
fn seal<const N: usize>(engine: &Engine, logs: [LogId; N]) {
    let large = "x".repeat(SEGMENT_BYTES as usize);
    let mut frame = Frame::default();
    for log in logs {
        frame.appends.extend(Frame::batch(log, batch(&[&large])).appends);
    }
    commit(engine, frame);
    until("all of it is sealed", || engine.stats().unsealed_bytes < 1000);
}

/// Checks a damaged directory as it is, sealed, opened again, and without its catalog.
fn check(recorder: &Recorder, logs: [LogId; 2], damaged: &[LogId]) {
    let expected = |log: LogId, end: i64| match damaged.contains(&log) {
        true => with_hole(end),
        false => vec![Seen::Read(0..end)],
    };
    for cache_bytes in [1 << 20, 0] {
        let recorder = Recorder::from_image(recorder.image());
        let engine = open(&recorder, cache_bytes);
        for log in logs {
            assert_eq!(walk(&engine, log), expected(log, COUNT), "in the WAL");
        }
        assert!(engine.stats().quarantined > 0);
        seal(&engine, logs);
        for log in logs {
            assert_eq!(walk(&engine, log), expected(log, COUNT + 1), "sealed");
        }
        engine.close();
        for what in ["opened again", "opened without a catalog"] {
            let mut image = recorder.image();
            if what == "opened without a catalog" {
                image.remove("catalog");
            }
            let engine = open(&Recorder::from_image(image), cache_bytes);
            for log in logs {
                assert_eq!(walk(&engine, log), expected(log, COUNT + 1), "{what}");
            }
            assert_eq!(engine.stats().quarantined, damaged.len() as u64, "{what}");
            engine.close();
        }
    }
}

/// What the disk holds with the slice of the lost record damaged.
fn without_lost(recorder: &Recorder, log: LogId) -> Recorder {
    let mut image = recorder.image();
    let (path, at) = find(&image, &value(log, LOST));
    image.flip(&path, at, 3);
    Recorder::from_image(image)
}

#[test]
fn a_damaged_slice_of_a_block_is_a_hole_of_its_log() {
    let recorder = Recorder::new();
    let engine = open(&recorder, 1 << 20);
    let logs = fill(&engine);
    engine.close();
    check(&without_lost(&recorder, logs[0]), logs, &logs[..1]);
}

/// Of a block without its directory nothing tells whose batches it had, but for what is missing between others.
#[test]
fn a_damaged_directory_is_a_hole_of_every_log_in_the_block() {
    let recorder = Recorder::new();
    let engine = open(&recorder, 1 << 20);
    let logs = fill(&engine);
    engine.close();
    let mut image = recorder.image();
    let (path, at) = find(&image, &value(logs[0], LOST));
    image.flip(&path, at / 4096 * 4096 + 100, 3);
    // Offsets are skipped there, so nothing more is appended.
    let engine = open(&Recorder::from_image(image), 1 << 20);
    for log in logs {
        assert_eq!(walk(&engine, log), with_hole(COUNT));
    }
    engine.close();
}

/// The sealer reads blocks that memory does not hold any more.
#[test]
fn damage_that_sealing_finds_is_a_hole_too() {
    let recorder = Recorder::new();
    let engine = open(&recorder, 0);
    let logs = fill(&engine);
    let (path, at) = find(&recorder.image(), &value(logs[0], LOST));
    let file = recorder
        .open(&path, Mode::Buffered, Existence::MustExist)
        .unwrap();
    file.write_at(b"damaged", at).unwrap();
    seal(&engine, logs);
    assert_eq!(walk(&engine, logs[0]), with_hole(COUNT + 1));
    assert_eq!(walk(&engine, logs[1]), [Seen::Read(0..COUNT + 1)]);
    engine.close();
    let evidence = recorder.image();
    assert!(evidence.files().any(|path| path.starts_with("quarantine/wal-")));

    let engine = open(&recorder, 0);
    assert_eq!(walk(&engine, logs[0]), with_hole(COUNT + 1), "opened again");
    engine.close();
}

#[test]
fn a_search_and_a_retry_find_what_is_behind_a_hole() {
    let recorder = Recorder::new();
    let engine = open(&recorder, 1 << 20);
    let logs = fill(&engine);
    commit(
        &engine,
        Frame::batch(logs[0], batch_of(7, 0, 0, &["of a producer"])),
    );
    engine.close();
    let recorder = without_lost(&recorder, logs[0]);
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    for (sealed, trimmed) in [(false, false), (true, false), (true, true)] {
        let engine = open(&recorder, 0);
        if sealed {
            seal(&engine, logs);
        }
        if trimmed {
            let log = logs[0];
            commit(&engine, Frame::changes(vec![Change::Trim { log, to: 2 }]));
        }
        let find = |seek| {
            let found = runtime.block_on(engine.find(logs[0], seek)).unwrap().unwrap();
            let (header, _) = Batches::new(&found).next().unwrap().unwrap();
            header.base_offset
        };
        assert_eq!(find(Seek::Timestamp(NOW_MS + LOST + 1)), LOST + 1);
        assert_eq!(find(Seek::MaxTimestamp), COUNT - 1);
        let retry = engine.append(Frame::batch(logs[0], batch_of(7, 0, 0, &["of a producer"])));
        let placed = retry.unwrap().placed[0];
        assert_eq!((placed.duplicate, placed.base_offset), (true, COUNT));
        engine.close();
    }
}

/// What is lost at the end of a log is told by nothing behind it, and yet its offset is not given to another record.
#[test]
fn the_damaged_end_of_a_log_is_not_given_out_again() {
    let recorder = Recorder::new();
    let engine = open(&recorder, 1 << 20);
    let logs = fill(&engine);
    commit(&engine, Frame::batch(logs[0], batch(&["at the end"])));
    commit(&engine, Frame::batch(logs[1], batch(&["behind"])));
    engine.close();
    let mut image = recorder.image();
    let (path, at) = find(&image, "at the end");
    image.flip(&path, at, 3);
    let recorder = Recorder::from_image(image);
    let mut expected = vec![Seen::Read(0..COUNT), Seen::Damaged(COUNT..COUNT + 1)];
    for what in ["in the WAL", "sealed", "opened again"] {
        let engine = open(&recorder, 0);
        assert_eq!(walk(&engine, logs[0]), expected, "{what}");
        if what == "in the WAL" {
            seal(&engine, [logs[1]]);
        }
        engine.close();
    }
    let engine = open(&recorder, 0);
    commit(&engine, Frame::batch(logs[0], batch(&["goes on"])));
    expected.push(Seen::Read(COUNT + 1..COUNT + 2));
    assert_eq!(walk(&engine, logs[0]), expected);
    engine.close();
}

/// What is read of a log of `end` offsets of which some are lost; neighbours among these are one.
fn with_holes(lost: &BTreeSet<i64>, end: i64) -> Vec<Seen> {
    let mut seen: Vec<Seen> = Vec::new();
    for offset in 0..end {
        match (seen.last_mut(), lost.contains(&offset)) {
            (Some(Seen::Damaged(range)), true) | (Some(Seen::Read(range)), false) => range.end += 1,
            (_, true) => seen.push(Seen::Damaged(offset..offset + 1)),
            (_, false) => seen.push(Seen::Read(offset..offset + 1)),
        }
    }
    seen
}

/// As `walk`, with neighbouring stretches that are damaged taken for one.
fn walk_merged(engine: &Engine, log: LogId) -> Vec<Seen> {
    let mut merged: Vec<Seen> = Vec::new();
    for seen in walk(engine, log) {
        match (merged.last_mut(), &seen) {
            (Some(Seen::Damaged(last)), Seen::Damaged(next)) if last.end == next.start => last.end = next.end,
            _ => merged.push(seen),
        }
    }
    merged
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_lost_of_the_wal_stays_named(
        lost in proptest::collection::btree_set((0..2_usize, 0..COUNT), 1..10),
        caches in any::<bool>(),
        appends in any::<bool>(),
    ) {
        let cache_bytes = if caches { 1 << 20 } else { 0 };
        let recorder = Recorder::new();
        let engine = open(&recorder, cache_bytes);
        let logs = fill(&engine);
        // Behind all of them, so that they are known to have been durable.
        commit(&engine, Frame::batch(LogId::DEFINITIONS, batch(&["behind"])));
        engine.close();
        let mut image = recorder.image();
        for (log, offset) in &lost {
            let (path, at) = find(&image, &value(logs[*log], *offset));
            image.flip(&path, at + 1, 5);
        }
        let recorder = Recorder::from_image(image);
        let mut end = COUNT;
        for what in ["in the WAL", "opened again", "sealed", "opened again", "without a catalog", "at last"] {
            if what == "without a catalog" {
                recorder.remove("catalog").unwrap();
            }
            let engine = open(&recorder, cache_bytes);
            if what == "sealed" {
                if appends {
                    seal(&engine, logs);
                    end += 1;
                } else {
                    seal(&engine, [LogId::DEFINITIONS]);
                }
            }
            for (nth, log) in logs.into_iter().enumerate() {
                let of_log = lost.iter().filter(|(log, _)| *log == nth).map(|(_, offset)| *offset);
                prop_assert_eq!(walk_merged(&engine, log), with_holes(&of_log.collect(), end), "{}", what);
            }
            engine.close();
        }
    }
}

/// What is trimmed was given up, damaged or not.
#[test]
fn a_hole_that_is_trimmed_is_forgotten() {
    let recorder = Recorder::new();
    let engine = open(&recorder, 1 << 20);
    let logs = fill(&engine);
    engine.close();
    let recorder = without_lost(&recorder, logs[0]);
    let engine = open(&recorder, 0);
    seal(&engine, logs);
    let trim = Change::Trim {
        log: logs[0],
        to: LOST + 1,
    };
    commit(&engine, Frame::changes(vec![trim]));
    let expected = [Seen::Read(LOST + 1..COUNT + 1)];
    assert_eq!(walk(&engine, logs[0]), expected);
    engine.close();
    let engine = open(&recorder, 0);
    assert_eq!(walk(&engine, logs[0]), expected, "opened again");
    assert_eq!(engine.stats().quarantined, 0);
    engine.close();
}

//! What is lost stays named until it is trimmed, and no longer, also where no batch of its log lies beside it.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its engine has failed"
)]

mod support;

use std::sync::Arc;

use firth_log::file::Storage;
use firth_log::file::aligned::BufferPool;
use firth_log::file::recorder::{Image, Recorder};
use firth_log::segment::{self, FooterCache, Segment, SegmentId};
use firth_log::{Bounds, Change, Direct, Engine, Frame, Kind, LogId, Options, ReadError};
use support::{batch, commit, environment, offsets, until};

const SEGMENT_BYTES: u64 = 16 * 1024;

fn open(recorder: &Recorder) -> Engine {
    let options = Options {
        direct: Direct::Never,
        wal_bytes_max: Some(4 << 20),
        wal_file_bytes: 256 * 1024,
        segment_bytes: SEGMENT_BYTES,
        cache_bytes: 0,
        ..Options::default()
    };
    Engine::open(Arc::new(recorder.clone()), environment(), options).unwrap()
}

fn append(engine: &Engine, log: LogId, value: &str) {
    commit(engine, Frame::batch(log, batch(&[value])));
}

fn change(engine: &Engine, change: Change) {
    commit(engine, Frame::changes(vec![change]));
}

/// Two logs of one record each: what becomes of the first, and one that is kept.
fn create(engine: &Engine) -> [LogId; 2] {
    let first = engine.allocate(2);
    let logs = [first, LogId(first.0 + 1)];
    for log in logs {
        let kind = Kind::Durable;
        change(engine, Change::Create { log, kind });
    }
    logs
}

/// Seals all that there is, with one more batch of a log.
fn seal(engine: &Engine, log: LogId) {
    append(engine, log, &"x".repeat(SEGMENT_BYTES as usize));
    until("all of it is sealed", || engine.stats().unsealed_bytes < 1000);
}

/// Where a value lies.
fn find(image: &Image, value: &str) -> (String, u64) {
    let found = image.files().find_map(|path| {
        let bytes = image.read(path)?;
        let mut windows = bytes.windows(value.len());
        let at = windows.position(|window| window == value.as_bytes())?;
        Some((path.to_owned(), at as u64))
    });
    found.unwrap()
}

/// What of a block is damaged.
#[derive(Clone, Copy)]
enum Part {
    /// The value itself, so that the block tells whose it was.
    Slice,
    /// The directory, so that nothing does.
    Directory,
}

/// The disk after it damaged the block that holds a value.
fn damage(recorder: &Recorder, value: &str, part: Part) -> Recorder {
    let mut image = recorder.image();
    let (path, at) = find(&image, value);
    match part {
        Part::Slice => image.flip(&path, at, 3),
        Part::Directory => image.flip(&path, at / 4096 * 4096 + 100, 3),
    }
    Recorder::from_image(image)
}

fn without_catalog(recorder: &Recorder) -> Recorder {
    let mut image = recorder.image();
    image.remove("catalog");
    Recorder::from_image(image)
}

fn segments_with_losses(recorder: &Recorder) -> usize {
    let names = recorder.list(segment::DIRECTORY).unwrap();
    let ids = names.iter().filter_map(|name| SegmentId::parse(name));
    let open = |id| Segment::open(recorder, id, FooterCache::new(0), BufferPool::new(0)).unwrap();
    ids.map(open)
        .filter(|segment| !segment.summary().losses.is_empty())
        .count()
}

/// Nothing is lost any more, now and after the next start.
fn check_forgotten(recorder: &Recorder, engine: Engine) {
    for _ in 0..3 {
        seal(&engine, LogId::DEFINITIONS);
    }
    engine.close();
    assert_eq!(segments_with_losses(recorder), 0);
    let engine = open(recorder);
    assert_eq!(engine.stats().quarantined, 0);
    engine.close();
}

/// Offsets that are read, or refused as damaged.
fn read(engine: &Engine, log: LogId, from: i64) -> Result<Vec<i64>, (i64, i64)> {
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    match runtime.block_on(engine.read(log, from, 1 << 20)) {
        Ok(read) => Ok(offsets(&read).iter().map(|batch| batch.start).collect()),
        Err(ReadError::Damaged {
            first_offset,
            next_offset,
            ..
        }) => Err((first_offset, next_offset)),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_hole_is_named_where_its_log_has_nothing_else() {
    let recorder = Recorder::new();
    let engine = open(&recorder);
    let [lost, kept] = create(&engine);
    append(&engine, lost, "the only one");
    append(&engine, kept, "behind");
    engine.close();

    let recorder = damage(&recorder, "the only one", Part::Slice);
    let engine = open(&recorder);
    seal(&engine, kept);
    engine.close();
    for recorder in [recorder.clone(), without_catalog(&recorder)] {
        let engine = open(&recorder);
        assert_eq!(engine.stats().quarantined, 1);
        assert_eq!(read(&engine, lost, 0), Err((0, 1)));
        append(&engine, lost, "another");
        assert_eq!(read(&engine, lost, 1), Ok(vec![1]));
        engine.close();
    }
}

/// The segment that names it outlives the batches beside it.
#[test]
fn a_hole_is_named_until_its_log_is_trimmed_or_deleted() {
    for delete in [false, true] {
        let recorder = Recorder::new();
        let engine = open(&recorder);
        let [lost, kept] = create(&engine);
        append(&engine, lost, "the only one");
        append(&engine, kept, "behind");
        engine.close();

        let recorder = damage(&recorder, "the only one", Part::Slice);
        let engine = open(&recorder);
        seal(&engine, kept);
        let to = engine.bounds(kept).unwrap().end;
        change(&engine, Change::Trim { log: kept, to });
        // The meta log is trimmed too, by which the segment is kept for the hole alone.
        for _ in 0..3 {
            seal(&engine, LogId::DEFINITIONS);
        }
        engine.close();
        assert_eq!(segments_with_losses(&recorder), 1);
        let engine = open(&recorder);
        assert_eq!(engine.stats().quarantined, 1);
        assert_eq!(read(&engine, lost, 0), Err((0, 1)));

        change(
            &engine,
            match delete {
                true => Change::Delete { log: lost },
                false => Change::Trim { log: lost, to: 1 },
            },
        );
        check_forgotten(&recorder, engine);
    }
}

/// All that the WAL has is the damaged block.
#[test]
fn a_hole_is_found_at_each_start_until_it_is_sealed() {
    let recorder = Recorder::new();
    let engine = open(&recorder);
    append(&engine, LogId::DEFINITIONS, "the only one");
    engine.close();
    let recorder = damage(&recorder, "the only one", Part::Slice);
    for _ in 0..3 {
        let engine = open(&recorder);
        assert_eq!(engine.stats().quarantined, 1);
        assert_eq!(read(&engine, LogId::DEFINITIONS, 0), Err((0, 1)));
        engine.close();
    }
    let engine = open(&recorder);
    seal(&engine, LogId::DEFINITIONS);
    engine.close();
    let engine = open(&without_catalog(&recorder));
    assert_eq!(engine.stats().quarantined, 1);
    assert_eq!(read(&engine, LogId::DEFINITIONS, 0), Err((0, 1)));
    assert_eq!(read(&engine, LogId::DEFINITIONS, 1), Ok(vec![1]));
    engine.close();
}

/// Of a block without its directory nothing tells whose it was, and nothing follows it that would.
#[test]
fn a_lost_block_is_counted_until_what_is_as_old_is_trimmed() {
    let recorder = Recorder::new();
    let engine = open(&recorder);
    let [lost, kept] = create(&engine);
    append(&engine, lost, "before");
    append(&engine, lost, "the last one");
    append(&engine, kept, "behind");
    engine.close();

    let recorder = damage(&recorder, "the last one", Part::Directory);
    let engine = open(&recorder);
    assert_eq!(engine.stats().quarantined, 1);
    seal(&engine, kept);
    let end = engine.bounds(kept).unwrap().end;
    engine.close();
    for recorder in [recorder.clone(), without_catalog(&recorder)] {
        let engine = open(&recorder);
        assert_eq!(engine.stats().quarantined, 1);
        append(&engine, lost, "after");
        assert!(
            engine.bounds(lost).unwrap().end > 1 << 32,
            "what is lost is not given out again"
        );
        engine.close();
    }

    let engine = open(&recorder);
    for log in [kept, lost] {
        let to = engine.bounds(log).unwrap().end;
        change(&engine, Change::Trim { log, to });
    }
    assert_eq!(engine.bounds(kept).map(|bounds| bounds.start >= end), Some(true));
    check_forgotten(&recorder, engine);
}

#[test]
fn what_a_missing_segment_held_is_served_when_it_is_put_back() {
    let recorder = Recorder::new();
    let engine = open(&recorder);
    let [log, _] = create(&engine);
    append(&engine, log, "in the first segment");
    seal(&engine, log);
    append(&engine, log, "behind it");
    engine.close();
    let segment = find(&recorder.image(), "in the first segment").0;
    assert!(segment.starts_with("segments/"), "{segment}");
    let bytes = recorder.image().read(&segment).unwrap();
    let mut image = recorder.image();
    image.remove(&segment);

    let recorder = Recorder::from_image(image);
    for _ in 0..2 {
        let engine = open(&recorder);
        assert_eq!(read(&engine, log, 0), Err((0, 2)));
        seal(&engine, LogId::DEFINITIONS);
        engine.close();
    }
    let mut image = recorder.image();
    image.insert(&segment, &bytes);
    let engine = open(&Recorder::from_image(image));
    assert_eq!(engine.stats().quarantined, 0);
    assert_eq!(engine.bounds(log), Some(Bounds { start: 0, end: 3 }));
    assert_eq!(read(&engine, log, 0), Ok(vec![0, 1, 2]));
    engine.close();
}

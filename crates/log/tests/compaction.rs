//! A log that is rewritten on request: of each key the latest record stays, at its offset, beside producers and readers.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its engine has failed"
)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use firth_batch::{Batch, Batches, Builder, Compression};
use firth_log::file::recorder::Recorder;
use firth_log::{
    Bounds, Change, Compaction, Direct, Engine, Frame, Keep, Kind, LogId, Options, RewriteError, Rewritten,
};
use support::{NOW_MS, environment, read_all};

const HORIZON_MS: i64 = NOW_MS + 1000;

fn options() -> Options {
    Options {
        direct: Direct::Never,
        wal_bytes_max: Some(4 << 20),
        wal_file_bytes: 256 * 1024,
        segment_bytes: 16 * 1024,
        merge_segments: 4,
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
    let frame = Frame::changes(vec![Change::Create { log, kind }]);
    engine.append(frame).unwrap().commit.wait().unwrap();
    log
}

type Record = (i64, String, Option<String>);

/// What was written, and what has to be there.
#[derive(Default)]
struct Model {
    records: Vec<Record>,
}

impl Model {
    /// Appends batches of a few records of some keys each; every seventh record deletes its key.
    fn write(&mut self, engine: &Engine, log: LogId, batches: usize, codec: Compression) {
        for nth in 1..=batches {
            let mut builder = Builder::new(codec);
            let first = self.records.len() as i64;
            for offset in first..=first + first % 5 {
                let key = format!("key {}", offset * 7919 % 23);
                let value = (offset % 7 != 3).then(|| format!("value {offset} {}", "x".repeat(40)));
                builder.push(
                    NOW_MS,
                    Some(key.as_bytes()),
                    value.as_deref().map(str::as_bytes),
                    &[],
                );
                self.records.push((offset, key, value));
            }
            let appended = engine.append(Frame::batch(log, builder.build())).unwrap();
            if nth == batches {
                appended.commit.wait().unwrap();
            }
        }
    }

    fn end(&self) -> i64 {
        self.records.len() as i64
    }

    /// The records of which nothing later is known below `to`, and all from there on.
    fn kept(&self, to: i64, tombstones: bool) -> Vec<Record> {
        let below = self.records.iter().filter(|(offset, ..)| *offset < to);
        let latest: BTreeMap<&String, i64> = below.map(|(offset, key, _)| (key, *offset)).collect();
        let kept = self.records.iter().filter(|(offset, key, value)| {
            *offset >= to || latest[key] == *offset && (tombstones || value.is_some())
        });
        kept.cloned().collect()
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

fn read(engine: &Engine, log: LogId) -> Vec<Record> {
    let start = engine.bounds(log).unwrap().start;
    let mut records = Vec::new();
    for slice in runtime().block_on(read_all(engine, log, start)) {
        for batch in Batches::new(&slice) {
            let batch = Batch::stored(slice.slice_ref(batch.unwrap().1)).unwrap();
            for record in &batch.records(1 << 20).unwrap() {
                let record = record.unwrap();
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                assert_eq!(record.timestamp, NOW_MS);
                records.push((record.offset, text(record.key.unwrap()), record.value.map(text)));
            }
        }
    }
    records
}

fn compact(engine: &Engine, log: LogId, to: i64, now_ms: i64) -> Result<Rewritten, RewriteError> {
    let compaction = Compaction {
        to,
        now_ms,
        delete_horizon_ms: HORIZON_MS,
        memory_bytes: 1 << 20,
    };
    runtime().block_on(engine.rewrite(log, Keep::LatestOfKey(compaction)))
}

fn reopened(recorder: &Recorder, check: impl Fn(&Engine)) {
    let whole = recorder.image();
    let mut bare = whole.clone();
    bare.remove("catalog");
    for image in [whole, bare] {
        let engine = open(&Recorder::from_image(image));
        assert_eq!(engine.stats().quarantined, 0);
        check(&engine);
        engine.close();
    }
}

#[test]
fn of_each_key_the_latest_record_stays_at_its_offset() {
    for codec in [Compression::None, Compression::Zstd] {
        let recorder = Recorder::new();
        let engine = open(&recorder);
        let log = create(&engine);
        let mut model = Model::default();
        for round in 1..=4 {
            model.write(&engine, log, 300, codec);
            let to = model.end() - 10;
            let rewritten = compact(&engine, log, to, NOW_MS).unwrap();
            assert_eq!(rewritten.compacted_to, to);
            assert_eq!(engine.compacted_to(log), to);
            assert!(
                rewritten.bytes_after < rewritten.bytes_before / 2,
                "{rewritten:?}"
            );
            assert_eq!(read(&engine, log), model.kept(to, true), "round {round}");
            let bounds = Bounds {
                start: 0,
                end: model.end(),
            };
            assert_eq!(engine.bounds(log), Some(bounds));
        }
        // Records that delete a key go when their time is over, and not before.
        let to = model.end();
        model.write(&engine, log, 1, codec);
        compact(&engine, log, to, HORIZON_MS - 1).unwrap();
        assert_eq!(read(&engine, log), model.kept(to, true));
        model.write(&engine, log, 1, codec);
        let later = model.end();
        compact(&engine, log, later, HORIZON_MS).unwrap();
        let kept = read(&engine, log);
        assert!(kept.len() < model.kept(later, true).len());
        engine.close();
        reopened(&recorder, |engine| {
            assert_eq!(read(engine, log), kept);
            assert_eq!(engine.compacted_to(log), later);
            assert_eq!(engine.bounds(log).unwrap().end, model.end());
        });
    }
}

#[test]
fn a_log_is_compacted_as_far_as_there_is_memory_for_its_keys() {
    let recorder = Recorder::new();
    let engine = open(&recorder);
    let log = create(&engine);
    let mut model = Model::default();
    model.write(&engine, log, 100, Compression::None);
    let to = model.end();
    let compaction = Compaction {
        to,
        now_ms: NOW_MS,
        delete_horizon_ms: HORIZON_MS,
        memory_bytes: 24 * 16,
    };
    let rewritten = runtime()
        .block_on(engine.rewrite(log, Keep::LatestOfKey(compaction)))
        .unwrap();
    assert!((1..to).contains(&rewritten.compacted_to), "{rewritten:?}");
    assert_eq!(read(&engine, log), model.kept(rewritten.compacted_to, true));
    compact(&engine, log, to, NOW_MS).unwrap();
    assert_eq!(read(&engine, log), model.kept(to, true));
    engine.close();
}

#[test]
fn producers_readers_trims_and_deletions_go_on_meanwhile() {
    let recorder = Recorder::new();
    let engine = open(&recorder);
    let (log, deleted) = (create(&engine), create(&engine));
    let mut model = Model::default();
    model.write(&engine, log, 200, Compression::None);
    Model::default().write(&engine, deleted, 200, Compression::None);
    let compacting = {
        let engine = engine.clone();
        std::thread::spawn(move || {
            let mut compacted = 0;
            while compacted < 3000 {
                let to = engine.bounds(log).unwrap().end;
                compacted = compact(&engine, log, to, NOW_MS).unwrap().compacted_to;
                // It is gone, or is not yet.
                let _ = compact(&engine, deleted, 300, NOW_MS);
            }
        })
    };
    while !compacting.is_finished() {
        model.write(&engine, log, 20, Compression::None);
        let to = engine.bounds(log).unwrap().start + 10;
        let frame = Frame::changes(vec![Change::Trim { log, to }]);
        engine.append(frame).unwrap().commit.wait().unwrap();
        if engine.bounds(deleted).is_some() && model.end() > 1500 {
            let frame = Frame::changes(vec![Change::Delete { log: deleted }]);
            engine.append(frame).unwrap().commit.wait().unwrap();
        }
        let seen = read(&engine, log);
        assert!(seen.is_sorted_by(|a, b| a.0 < b.0));
        assert!(
            seen.iter()
                .all(|record| model.records[record.0 as usize] == *record)
        );
    }
    compacting.join().unwrap();
    let to = model.end();
    compact(&engine, log, to, NOW_MS).unwrap();
    let start = engine.bounds(log).unwrap().start;
    let check = |engine: &Engine| {
        let mut kept = model.kept(to, true);
        kept.retain(|record| record.0 >= start);
        let mut seen = read(engine, log);
        seen.retain(|record| record.0 >= start);
        assert_eq!(seen, kept);
        assert_eq!(engine.bounds(deleted), None);
    };
    check(&engine);
    engine.close();
    reopened(&recorder, check);
}

#[test]
fn one_stuck_record_does_not_keep_its_batch() {
    let recorder = Recorder::new();
    let engine = open(&recorder);
    let log = create(&engine);
    let mut builder = Builder::new(Compression::None);
    for record in 0..1000 {
        builder.push(NOW_MS, None, Some(format!("value {record}").as_bytes()), &[]);
    }
    engine.append(Frame::batch(log, builder.build())).unwrap();
    Model::default().write(&engine, log, 1, Compression::None);
    runtime().block_on(engine.cut()).unwrap();
    let keep = Keep::Offsets(vec![7..8, 1000..i64::MAX]);
    let rewritten = runtime().block_on(engine.rewrite(log, keep)).unwrap();
    assert!(rewritten.bytes_after < 300, "{rewritten:?}");
    let values = |engine: &Engine| support::values(&runtime().block_on(read_all(engine, log, 0)));
    assert_eq!(values(&engine)[0], "value 7");
    assert_eq!(values(&engine).len(), 2);
    engine.close();
    reopened(&recorder, |engine| assert_eq!(values(engine).len(), 2));
}

//! Readers of old data: what they find, where it comes from, and that readers of the tail do not notice them.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its engine has failed"
)]

mod support;

use std::sync::Arc;

use firth_log::file::disk::Disk;
use firth_log::file::recorder::Recorder;
use firth_log::file::{Existence, Mode, Storage};
use firth_log::{Change, Direct, Engine, Frame, Kind, LogId, Options, Stats};
use support::{batch, environment, offsets, until};

const SEGMENT_BYTES: u64 = 256 * 1024;
const READ_BYTES: usize = 512 * 1024;
const VALUE_BYTES: usize = 8 * 1024;

/// Segments that go through the page cache, of which one read spans several, as they are not merged.
fn options() -> Options {
    Options {
        direct: Direct::Never,
        wal_bytes_max: Some(4 << 20),
        wal_file_bytes: 1 << 20,
        segment_bytes: SEGMENT_BYTES,
        merge_segments: 0,
        cache_bytes: 512 * 1024,
        ..Options::default()
    }
}

fn create(engine: &Engine) -> LogId {
    let log = engine.allocate(1);
    let create = Change::Create {
        log,
        kind: Kind::Durable,
    };
    let created = engine.append(Frame::changes(vec![create])).unwrap();
    created.commit.wait().unwrap();
    log
}

/// Appends to both logs in turn, so that each has a part of every segment.
fn fill(engine: &Engine, logs: [LogId; 2], batches: usize) {
    let value = "x".repeat(VALUE_BYTES);
    for _ in 0..batches {
        let commits = logs.map(|log| engine.append(Frame::batch(log, batch(&[&value]))).unwrap().commit);
        commits.into_iter().for_each(|commit| commit.wait().unwrap());
    }
}

/// Reads what is sealed and not in memory, checks that no offset is missing, and calls `between` after each read.
async fn read_old(engine: &Engine, log: LogId, mut between: impl AsyncFnMut()) -> usize {
    let mut reads = 0;
    let mut at = 0;
    loop {
        let before = engine.stats().tail_reads;
        let read = engine.read(log, at, READ_BYTES).await.unwrap();
        if engine.stats().tail_reads > before {
            return reads;
        }
        assert!(read.bytes <= READ_BYTES);
        for range in offsets(&read) {
            assert_eq!(range.start, at, "no record is left out");
            at = range.end;
        }
        reads += 1;
        between().await;
    }
}

fn opened(storage: Arc<dyn Storage>) -> (Engine, [LogId; 2]) {
    let engine = Engine::open(storage, environment(), options()).unwrap();
    let logs = [create(&engine), create(&engine)];
    fill(&engine, logs, 400);
    until("most is sealed", || {
        engine.stats().segment_bytes > 10 * SEGMENT_BYTES && engine.stats().unsealed_bytes < SEGMENT_BYTES
    });
    (engine, logs)
}

/// Of the reads since `before`: from memory, from the page cache, from the disk.
fn reads_since(engine: &Engine, before: Stats) -> [u64; 3] {
    let now = engine.stats();
    [
        now.tail_reads - before.tail_reads,
        now.cached_reads - before.cached_reads,
        now.disk_reads - before.disk_reads,
    ]
}

#[tokio::test]
async fn one_read_goes_through_several_extents() {
    let (engine, logs) = opened(Arc::new(Recorder::new()));
    for log in logs {
        let reads = read_old(&engine, log, async || {}).await;
        let sealed = engine
            .extents(log)
            .iter()
            .filter(|extent| extent.bytes > 0)
            .count();
        assert!(reads * 2 < sealed, "{reads} reads of {sealed} extents");
    }
    engine.close();
}

#[tokio::test]
async fn who_reads_everything_takes_nothing_from_readers_of_the_tail() {
    let temp = tempfile::tempdir().unwrap();
    let (engine, [old, live]) = opened(Arc::new(Disk::open(temp.path()).unwrap()));
    let cached_bytes = engine.stats().cached_bytes;
    assert!(cached_bytes > 0);
    let last = engine.bounds(live).unwrap().end - 1;
    for _ in 0..3 {
        let reads = read_old(&engine, old, async || {
            let before = engine.stats();
            assert_eq!(
                offsets(&engine.read(live, last, READ_BYTES).await.unwrap()).len(),
                1
            );
            assert_eq!(reads_since(&engine, before), [1, 0, 0]);
        });
        assert!(reads.await > 3);
        assert_eq!(engine.stats().cached_bytes, cached_bytes);
    }
    engine.close();
}

#[tokio::test]
async fn what_is_in_the_page_cache_is_read_without_the_disk() {
    let temp = tempfile::tempdir().unwrap();
    let disk = Arc::new(Disk::open(temp.path()).unwrap());
    let probe = disk.open("probe", Mode::Buffered, Existence::MustBeNew).unwrap();
    probe.write_at(b"probe", 0).unwrap();
    if !probe.read_cached_at(&mut [0; 5], 0).unwrap() {
        eprintln!("skipped: this file system does not tell what is in the page cache");
        return;
    }
    let (engine, [log, _]) = opened(disk);
    let before = engine.stats();
    let reads = read_old(&engine, log, async || {}).await as u64;
    // The last read found the tail.
    assert_eq!(reads_since(&engine, before), [1, reads, 0]);
    engine.close();
}

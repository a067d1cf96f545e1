//! Writes the golden directories, which is for new format versions alone:
//!
//! ```text
//! cargo test -p firth-log --test golden -- --ignored
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use firth_batch::{Batch, Builder, Compression};
use firth_log::{Change, Compaction, Direct, Engine, Frame, Keep, Kind, LogId};

use super::support::{NOW_MS, batch, batch_of, commit, until};
use super::{
    COMPACTED, DELETED, EMPTIED, HOLED, KEPT, LARGE, SPREAD, TRIMMED, files, golden, large, open,
    open_merging,
};

/// Appends enough for a segment, and waits until it is there.
fn seal(engine: &Engine, log: LogId, letter: &str) {
    let segments = engine.stats().segments_written;
    commit(engine, Frame::batch(log, batch(&[&large(letter)])));
    until("a segment was written", || {
        let stats = engine.stats();
        stats.segments_written > segments && stats.unsealed_bytes < LARGE as u64
    });
}

fn append(engine: &Engine, log: LogId, values: &[&str]) {
    commit(engine, Frame::batch(log, batch(values)));
}

fn create(engine: &Engine, logs: &[LogId]) {
    let kind = Kind::Durable;
    let changes = logs.iter().map(|log| Change::Create { log: *log, kind });
    commit(engine, Frame::changes(changes.collect()));
}

fn new_directory(version: &str) -> PathBuf {
    let directory = golden(version);
    assert!(
        !directory.exists(),
        "a golden directory is never changed: {}",
        directory.display()
    );
    directory
}

/// Flips a bit of a WAL file, at the start of what is found there last.
fn damage_wal(directory: &Path, what: &[u8]) {
    let wal = directory.join("wal");
    let found = files(&wal).into_iter().rev().find_map(|(name, bytes)| {
        let mut windows = bytes.windows(what.len());
        let at = windows.rposition(|window| window == what)?;
        Some((name, bytes, at))
    });
    let (name, mut bytes, at) = found.unwrap();
    bytes[at] ^= 1;
    fs::write(wal.join(name), bytes).unwrap();
}

#[test]
#[ignore = "writes a golden directory anew, which is for a new format version alone"]
fn write_version_2() {
    let directory = new_directory("v2");
    let engine = open(&directory, Direct::Never);
    assert_eq!(engine.allocate(7), KEPT);
    let logs = [KEPT, TRIMMED, DELETED, SPREAD, COMPACTED, EMPTIED, HOLED];
    create(&engine, &logs);
    seal(&engine, DELETED, "x");

    commit(&engine, Frame::changes(vec![Change::Delete { log: DELETED }]));
    commit(&engine, Frame::batch(KEPT, batch_of(7, 0, 0, &["a", "b"])));
    commit(&engine, Frame::batch(KEPT, batch_of(9, 3, i32::MAX, &["c"])));
    append(&engine, TRIMMED, &["0", "1", "2"]);
    let trim = |to| Frame::changes(vec![Change::Trim { log: TRIMMED, to }]);
    commit(&engine, trim(1));
    spread(&engine, 0);
    spread(&engine, 1);
    let snapshot = engine.bounds(LogId::META).unwrap().end;
    seal(&engine, KEPT, "y");
    // The first segment is kept for records of the meta log alone now, so a snapshot of them is written.
    until("there is a snapshot", || {
        engine.bounds(LogId::META).unwrap().end > snapshot
    });
    compact(&engine);
    merge(&engine);
    lose(engine, &directory);

    // So that nothing is merged any more.
    let engine = open_merging(&directory, Direct::Never, 100);
    empty(&engine);
    commit(&engine, Frame::batch(KEPT, batch_of(7, 0, 2, &["d"])));
    commit(&engine, Frame::batch(KEPT, batch_of(9, 3, 0, &["e", "f"])));
    append(&engine, TRIMMED, &["3"]);
    append(&engine, LogId::DEFINITIONS, &["definition"]);
    append(&engine, HOLED, &["holed 7"]);
    let mut both = trim(3);
    both.appends.extend(Frame::batch(KEPT, batch(&["g"])).appends);
    commit(&engine, both);
    engine.accept(HOLED, 5, 6).unwrap().wait().unwrap();
    engine.close();
    fs::remove_dir_all(directory.join("quarantine")).unwrap();
}

fn spread(engine: &Engine, record: usize) {
    append(engine, SPREAD, &[&format!("spread {record}")]);
}

fn keyed(records: &[(&str, Option<&str>)]) -> Batch {
    let mut builder = Builder::new(Compression::None);
    for (key, value) in records {
        builder.push(NOW_MS, Some(key.as_bytes()), value.map(str::as_bytes), &[]);
    }
    builder.build()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

/// Compacts a log.
fn compact(engine: &Engine) {
    let first = keyed(&[("k1", Some("k1 0")), ("k2", Some("k2 1")), ("k1", Some("k1 2"))]);
    commit(engine, Frame::batch(COMPACTED, first));
    commit(
        engine,
        Frame::batch(COMPACTED, keyed(&[("k2", None), ("k3", Some("k3 4"))])),
    );
    commit(engine, Frame::batch(COMPACTED, keyed(&[("k1", Some("k1 5"))])));
    let compaction = Compaction {
        to: 5,
        now_ms: NOW_MS,
        delete_horizon_ms: NOW_MS + 1000,
        memory_bytes: 1 << 20,
    };
    let compacted = runtime().block_on(engine.rewrite(COMPACTED, Keep::LatestOfKey(compaction)));
    assert_eq!(compacted.unwrap().compacted_to, 5);
}

/// Leaves an extent without batches, and a batch behind it.
fn empty(engine: &Engine) {
    append(engine, EMPTIED, &["gone", "gone too"]);
    append(engine, EMPTIED, &["gone as well"]);
    runtime().block_on(engine.cut()).unwrap();
    let emptied = runtime().block_on(engine.rewrite(EMPTIED, Keep::Offsets(std::iter::once(3..4).collect())));
    assert_eq!(emptied.unwrap().bytes_after, 0);
    append(engine, EMPTIED, &["behind"]);
}

/// Makes small stretches of one log, until they are merged.
fn merge(engine: &Engine) {
    let rewrites = engine.stats().rewrites;
    for record in 2..6 {
        spread(engine, record);
        runtime().block_on(engine.cut()).unwrap();
    }
    until("segments were merged", || engine.stats().rewrites > rewrites);
}

/// Loses three records in the WAL, of which one is given up, and seals what names them.
fn lose(engine: Engine, directory: &Path) {
    for record in 0..7 {
        append(&engine, HOLED, &[&format!("holed {record}")]);
    }
    // Behind all of them, so that they are known to have been durable.
    commit(&engine, Frame::batch(COMPACTED, keyed(&[("k4", Some("k4 6"))])));
    engine.close();
    for record in [1, 3, 5] {
        damage_wal(directory, format!("holed {record}").as_bytes());
    }
    let engine = open(directory, Direct::Never);
    assert_eq!(engine.stats().quarantined, 3);
    engine.accept(HOLED, 3, 4).unwrap().wait().unwrap();
    runtime().block_on(engine.cut()).unwrap();
    engine.close();
}

#[test]
#[ignore = "writes a golden directory anew, which is for a new format version alone"]
fn write_version_2_with_lost_blocks() {
    let directory = new_directory("v2-lost");
    let engine = open(&directory, Direct::Never);
    let log = engine.allocate(1);
    assert_eq!(log, KEPT);
    create(&engine, &[log]);
    append(&engine, log, &["before"]);
    append(&engine, log, &["lost"]);
    append(&engine, log, &["behind"]);
    engine.close();
    // The number of the block, behind that of its incarnation and its first one.
    let header = [1_u64, 1, 3].map(u64::to_le_bytes).concat();
    damage_wal(&directory, &header);

    let engine = open(&directory, Direct::Never);
    append(&engine, log, &["sealed"]);
    runtime().block_on(engine.cut()).unwrap();
    append(&engine, log, &["tail"]);
    engine.close();
    fs::remove_dir_all(directory.join("quarantine")).unwrap();
}

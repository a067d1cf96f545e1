//! Lookups by offset and by time at both sides of every boundary: of batches, segments, the tail, and what was trimmed.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its engine has failed"
)]

mod support;

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use firth_batch::{Builder, Compression, Header};
use firth_log::file::recorder::Recorder;
use firth_log::{Change, Direct, Engine, Frame, Kind, LogId, Options, ReadError, Seek};
use support::{commit, environment, offsets, until};

const SEGMENT_BYTES: u64 = 8 * 1024;
/// Records of a batch.
const RECORDS: i64 = 3;
const BATCHES: i64 = 120;
/// Between two records, in milliseconds.
const STEP_MS: i64 = 10;

static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().build().unwrap());

fn open(recorder: &Recorder, merge_segments: usize) -> Engine {
    let options = Options {
        direct: Direct::Never,
        wal_bytes_max: Some(2 << 20),
        wal_file_bytes: 128 * 1024,
        segment_bytes: SEGMENT_BYTES,
        merge_segments,
        cache_bytes: 0,
        reserve_bytes: Some(0),
        ..Options::default()
    };
    Engine::open(Arc::new(recorder.clone()), environment(), options).unwrap()
}

/// Of the record at an offset.
fn timestamp(offset: i64) -> i64 {
    1_000_000 + offset * STEP_MS
}

/// Two logs whose batches lie beside each other in blocks and segments.
fn fill(engine: &Engine) -> [LogId; 2] {
    let first = engine.allocate(2);
    let logs = [first, LogId(first.0 + 1)];
    let create = |log| Change::Create {
        log,
        kind: Kind::Durable,
    };
    commit(engine, Frame::changes(logs.map(create).to_vec()));
    for nth in 0..BATCHES {
        for log in logs {
            let mut builder = Builder::new(Compression::None);
            for record in 0..RECORDS {
                let value = "x".repeat(80);
                builder.push(
                    timestamp(nth * RECORDS + record),
                    None,
                    Some(value.as_bytes()),
                    &[],
                );
            }
            commit(engine, Frame::batch(log, builder.build()));
        }
    }
    logs
}

fn first_batch(engine: &Engine, log: LogId, offset: i64) -> Result<Option<Range<i64>>, ReadError> {
    let read = RUNTIME.block_on(engine.read(log, offset, 1))?;
    Ok(offsets(&read).first().cloned())
}

fn find(engine: &Engine, log: LogId, seek: Seek) -> Option<Range<i64>> {
    let batch = RUNTIME.block_on(engine.find(log, seek)).unwrap()?;
    let header = Header::decode(&batch).unwrap();
    Some(header.base_offset..header.next_offset())
}

/// The batch of an offset.
fn batch_of(offset: i64) -> Range<i64> {
    let base = offset / RECORDS * RECORDS;
    base..base + RECORDS
}

/// Looks at every boundary that there is, and at the offsets around it.
fn check(engine: &Engine, log: LogId, start: i64) {
    let end = BATCHES * RECORDS;
    let extents = engine.extents(log);
    assert_eq!(extents.last().map(|extent| extent.next_offset), Some(end));
    let edges = extents
        .iter()
        .flat_map(|extent| [extent.first_offset, extent.next_offset]);
    let around = edges.flat_map(|edge| edge - 1..=edge + 1);
    for offset in around.chain([start, start + 1, end - 1, end, end + 1]) {
        let found = first_batch(engine, log, offset);
        if !(start..=end).contains(&offset) {
            assert!(
                matches!(&found, Err(ReadError::OutOfRange(bounds)) if (bounds.start, bounds.end) == (start, end)),
                "offset {offset}: {found:?}"
            );
            continue;
        }
        let expected = (offset < end).then(|| batch_of(offset));
        assert_eq!(found.unwrap(), expected, "offset {offset}");
        // The first record that is as late, whether or not there is one of exactly that time.
        for early_ms in [0, STEP_MS - 1] {
            let found = find(engine, log, Seek::Timestamp(timestamp(offset) - early_ms));
            assert_eq!(found, expected, "{early_ms} ms before the record at {offset}");
        }
    }
    let first = find(engine, log, Seek::Timestamp(i64::MIN));
    assert_eq!(first, Some(batch_of(start)));
    let last = find(engine, log, Seek::MaxTimestamp);
    assert_eq!(last, Some(batch_of(end - 1)));
}

fn reopened(recorder: &Recorder, logs: [LogId; 2], starts: [i64; 2]) {
    let whole = recorder.image();
    let mut bare = whole.clone();
    bare.remove("catalog");
    for image in [whole, bare] {
        let engine = open(&Recorder::from_image(image), 0);
        for (log, start) in logs.into_iter().zip(starts) {
            check(&engine, log, start);
        }
        engine.close();
    }
}

#[test]
fn offsets_and_times_are_found_on_both_sides_of_every_boundary() {
    for merge_segments in [0, 4] {
        let recorder = Recorder::new();
        let engine = open(&recorder, merge_segments);
        let logs = fill(&engine);
        let sealed = |engine: &Engine, log| {
            engine
                .extents(log)
                .iter()
                .filter(|extent| extent.is_sealed)
                .count()
        };
        until("some of it is sealed", || {
            engine.stats().unsealed_bytes < SEGMENT_BYTES
                && (merge_segments == 0 || engine.stats().rewrites > 0)
        });
        assert!(sealed(&engine, logs[0]) > 1);
        logs.iter().for_each(|log| check(&engine, *log, 0));

        // Trimmed exactly at a boundary, on both sides of it, and within a batch.
        let boundary = engine.extents(logs[0])[0].next_offset;
        let mut starts = [0, 0];
        for to in [boundary - 1, boundary, boundary + 1, boundary + RECORDS] {
            let trims = logs.map(|log| Change::Trim { log, to });
            commit(&engine, Frame::changes(trims.to_vec()));
            starts = [to, to];
            logs.iter().for_each(|log| check(&engine, *log, to));
        }
        engine.close();
        reopened(&recorder, logs, starts);
    }
}

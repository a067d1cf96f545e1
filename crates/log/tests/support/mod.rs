//! What the engine's tests share.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use firth_batch::{Batch, Batches, Builder, Compression};
use firth_log::{Engine, Environment, Frame, LogId, Read};

pub const NOW_MS: i64 = 1_700_000_000_000;

/// A clock that stands still, and numbers that never repeat.
pub fn environment() -> Environment {
    static DRAWN: AtomicU64 = AtomicU64::new(1);
    let random = || {
        let drawn = DRAWN.fetch_add(1, Ordering::Relaxed);
        (u128::from(drawn).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)).to_le_bytes()
    };
    Environment {
        wall_ms: Arc::new(|| NOW_MS),
        random: Arc::new(random),
        on_failure: Arc::new(|_| {}),
    }
}

/// Appends a frame, and waits until it is durable.
pub fn commit(engine: &Engine, frame: Frame) {
    let appended = engine.append(frame).expect("the frame is taken");
    appended.commit.wait().expect("the frame becomes durable");
}

/// Waits for a condition. The bound is for failures alone.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let mut left = 60_000;
    while !is_so() {
        assert!(left > 0, "waited in vain until {what}");
        left -= 1;
        std::thread::park_timeout(std::time::Duration::from_millis(1));
    }
}

pub fn batch(values: &[&str]) -> Batch {
    batch_at(NOW_MS, values)
}

pub fn batch_at(timestamp: i64, values: &[&str]) -> Batch {
    build(Builder::new(Compression::None), timestamp, values)
}

pub fn batch_of(producer_id: i64, epoch: i16, sequence: i32, values: &[&str]) -> Batch {
    build(
        Builder::new(Compression::None).producer(producer_id, epoch, sequence),
        NOW_MS,
        values,
    )
}

fn build(mut builder: Builder, timestamp: i64, values: &[&str]) -> Batch {
    for value in values {
        builder.push(timestamp, None, Some(value.as_bytes()), &[]);
    }
    builder.build()
}

/// Everything from an offset on, in as many reads as it takes.
pub async fn read_all(engine: &Engine, log: LogId, from: i64) -> Vec<Bytes> {
    let mut batches = Vec::new();
    let mut at = from;
    loop {
        let read = engine.read(log, at, 256).await.expect("the log can be read");
        let Some(last) = offsets(&read).last().cloned() else {
            return batches;
        };
        at = last.end;
        batches.extend(read.slices);
    }
}

/// The offsets of each batch.
pub fn offsets(read: &Read) -> Vec<Range<i64>> {
    let headers = read.slices.iter().flat_map(|slice| Batches::new(slice));
    headers
        .map(|batch| batch.expect("a read gives whole batches").0)
        .map(|header| header.base_offset..header.next_offset())
        .collect()
}

/// The values of all records.
pub fn values(batches: &[Bytes]) -> Vec<String> {
    let mut values = Vec::new();
    for slice in batches {
        for batch in Batches::new(slice) {
            let (_, bytes) = batch.expect("a read gives whole batches");
            let batch = Batch::stored(slice.slice_ref(bytes)).expect("a read gives valid batches");
            for record in &batch.records(1 << 20).expect("the records can be opened") {
                let value = record.expect("the records are whole").value.unwrap_or_default();
                values.push(String::from_utf8(value.to_vec()).expect("tests write text"));
            }
        }
    }
    values
}

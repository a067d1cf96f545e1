//! Those who write: one batch at a time to each topic, partition after partition, at an even pace.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use super::{Flow, Shared};
use crate::{
    batch::Batch,
    cli::timestamp_ms,
    connection::Connection,
    protocol::{self, many},
};

/// Of the records of a compacted topic one in so many deletes its key.
const TOMBSTONE_EVERY: u64 = 50;
/// A topic that is created, written and deleted again.
const VISITOR: Flow = Flow {
    topic: "visitor",
    partitions: 4,
    batch_bytes: 64 << 10,
    record_bytes: 1024,
    percent: 0,
    retention_bytes: None,
    retention_ms: None,
    keys: None,
};
const VISITOR_BATCHES: i32 = 64;
const VISIT_EVERY: Duration = Duration::from_secs(60);

pub(super) fn write(shared: &Shared, flow: &Flow, bytes_per_s: f64) -> Result<()> {
    let mut writer = Writer::new(shared, flow)?;
    let mut due = Instant::now();
    for turn in 0.. {
        shared.sleep_until(due);
        if shared.stopped() {
            break;
        }
        let written = writer.write(shared, flow.topic, turn % flow.partitions)?;
        due += Duration::from_secs_f64(written as f64 / bytes_per_s);
        // What could not be written in time is not made up for in a burst.
        due = due.max(Instant::now() - Duration::from_secs(1));
    }
    Ok(())
}

/// Topics that are there for a while only: what a broker keeps of them would grow.
pub(super) fn come_and_go(shared: &Shared) -> Result<()> {
    let mut due = Instant::now();
    for visit in 0.. {
        shared.sleep_until(due);
        if shared.stopped() {
            break;
        }
        due += VISIT_EVERY;
        let topic = format!("{}-{visit}", VISITOR.topic);
        let mut writer = Writer::new(shared, &VISITOR)?;
        writer.connection.create_topic(&topic, VISITOR.partitions, &[])?;
        for turn in 0..VISITOR_BATCHES {
            writer.write(shared, &topic, turn % VISITOR.partitions)?;
        }
        shared.sleep_until(due - VISIT_EVERY / 2);
        let names = [topic];
        let deleted = writer.connection.call(|id| many::delete_topics(id, &names))?;
        many::topics_deleted(&deleted)?;
    }
    Ok(())
}

struct Writer<'a> {
    flow: &'a Flow,
    connection: Connection,
    batch: Batch,
    random: u64,
}

impl<'a> Writer<'a> {
    fn new(shared: &Shared, flow: &'a Flow) -> Result<Self> {
        Ok(Self {
            flow,
            connection: Connection::open(shared.bootstrap)?,
            batch: Batch::filled(flow.record_bytes, flow.batch_bytes, timestamp_ms()),
            random: 0x9e37_79b9_7f4a_7c15,
        })
    }

    /// Writes a batch and returns its payload in bytes.
    fn write(&mut self, shared: &Shared, topic: &str, partition: i32) -> Result<u64> {
        self.renew();
        let batch = &self.batch;
        let began = Instant::now();
        let reply = self.connection.call(|id| {
            let mut request = protocol::produce_prefix(id, topic, partition, -1, batch.bytes.len());
            request.extend_from_slice(&batch.bytes);
            request.extend_from_slice(&protocol::PRODUCE_TAIL);
            request
        })?;
        let taken = many::produced(&reply)?;
        ensure!(taken == 1, "{taken} batches were taken of one");
        shared
            .latency()
            .saturating_record(began.elapsed().as_nanos() as u64);
        shared
            .produced_bytes
            .fetch_add(batch.payload_bytes, Ordering::Relaxed);
        Ok(batch.payload_bytes)
    }

    /// The next batch: of now, and with other keys if it has any.
    fn renew(&mut self) {
        let Some(keys) = self.flow.keys else {
            return self.batch.date(timestamp_ms());
        };
        let random = &mut self.random;
        let drawn = std::iter::repeat_with(|| {
            *random ^= *random << 13;
            *random ^= *random >> 7;
            *random ^= *random << 17;
            (*random % keys, !(*random >> 32).is_multiple_of(TOMBSTONE_EVERY))
        });
        self.batch = Batch::keyed(
            drawn,
            self.flow.record_bytes,
            self.flow.batch_bytes,
            timestamp_ms(),
        );
    }
}

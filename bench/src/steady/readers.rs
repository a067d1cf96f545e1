//! Those who read: some follow what comes, one begins again and again at the start of what is kept.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{Flow, Shared};
use crate::{
    batch,
    connection::Connection,
    protocol::{self, Edge, FetchLimits, FetchPosition},
};

const OFFSET_OUT_OF_RANGE: i16 = 1;
const FOLLOWING: FetchLimits = FetchLimits {
    wait_ms_max: 200,
    bytes_min: 16 << 10,
    bytes_max: 8 << 20,
    partition_bytes_max: 1 << 20,
};
const REREADING: FetchLimits = FetchLimits {
    wait_ms_max: 200,
    bytes_min: 1,
    bytes_max: 8 << 20,
    partition_bytes_max: 1 << 20,
};
const REREAD_EVERY: Duration = Duration::from_secs(30);

pub(super) fn follow(shared: &Shared, flow: &Flow) -> Result<()> {
    let mut reader = Reader::new(shared, flow, Edge::Latest, FOLLOWING)?;
    while !shared.stopped() {
        reader.fetch(&shared.followed_bytes)?;
    }
    Ok(())
}

/// Reads what is kept of all topics, one after the other, and begins again, each time over a connection of its own.
pub(super) fn reread(shared: &Shared, flows: &[Flow]) -> Result<()> {
    let mut due = Instant::now();
    while !shared.stopped() {
        for flow in flows {
            let mut reader = Reader::new(shared, flow, Edge::Earliest, REREADING)?;
            while !shared.stopped() && !reader.is_at_end() {
                reader.fetch(&shared.reread_bytes)?;
            }
        }
        due = (due + REREAD_EVERY).max(Instant::now());
        shared.sleep_until(due);
    }
    Ok(())
}

struct Reader<'a> {
    flow: &'a Flow,
    limits: FetchLimits,
    connection: Connection,
    /// Rotated, so that no partition is always the last to be filled.
    positions: Vec<FetchPosition>,
    /// What the ends were when it began, by partition.
    ends: Vec<i64>,
}

impl<'a> Reader<'a> {
    fn new(shared: &Shared, flow: &'a Flow, edge: Edge, limits: FetchLimits) -> Result<Self> {
        let mut connection = Connection::open(shared.bootstrap)?;
        let ends = connection.offsets(flow.topic, flow.partitions, Edge::Latest)?;
        let offsets = connection.offsets(flow.topic, flow.partitions, edge)?;
        let positions = (0..).zip(offsets);
        let positions = positions.map(|(partition, offset)| FetchPosition { partition, offset });
        Ok(Self {
            flow,
            limits,
            connection,
            positions: positions.collect(),
            ends,
        })
    }

    fn is_at_end(&self) -> bool {
        self.positions.iter().all(|at| {
            self.ends
                .get(at.partition as usize)
                .is_none_or(|end| at.offset >= *end)
        })
    }

    fn fetch(&mut self, read_bytes: &AtomicU64) -> Result<()> {
        self.positions.rotate_left(1);
        let (flow, limits, positions) = (self.flow, self.limits, &mut self.positions);
        let answer = self
            .connection
            .call(|id| protocol::fetch(id, flow.topic, positions, limits))?;
        let mut trimmed = false;
        protocol::fetched_body(&answer, |fetched| {
            let partition = fetched.partition;
            if fetched.error_code == OFFSET_OUT_OF_RANGE {
                trimmed = true;
                return Ok(());
            }
            ensure!(
                fetched.error_code == 0,
                "{} {partition} failed with error {}",
                flow.topic,
                fetched.error_code
            );
            let position = positions.iter_mut().find(|at| at.partition == partition);
            let position = position.context("an unknown partition was fetched")?;
            advance(flow, position, fetched.records, read_bytes)
        })?;
        if trimmed { self.go_on_behind_trim() } else { Ok(()) }
    }

    /// Retention overtook the reader: it goes on where the partition begins now.
    fn go_on_behind_trim(&mut self) -> Result<()> {
        let flow = self.flow;
        let first = self
            .connection
            .offsets(flow.topic, flow.partitions, Edge::Earliest)?;
        for at in &mut self.positions {
            let start = first.get(at.partition as usize).copied();
            at.offset = at.offset.max(start.unwrap_or(0));
        }
        Ok(())
    }
}

/// Checks the batches and moves behind them. Only in a compacted topic may offsets be missing.
fn advance(flow: &Flow, position: &mut FetchPosition, records: &[u8], read_bytes: &AtomicU64) -> Result<()> {
    for head in batch::walk(records) {
        let head = head?;
        head.check_crc()?;
        let next = head.base_offset + i64::from(head.last_offset_delta) + 1;
        // The first batch may start before the offset that was asked for, since batches are not split.
        if next <= position.offset {
            continue;
        }
        ensure!(
            head.base_offset <= position.offset || flow.keys.is_some(),
            "{} {}: offset {} is followed by {}",
            flow.topic,
            position.partition,
            position.offset - 1,
            head.base_offset
        );
        position.offset = next;
        read_bytes.fetch_add(head.bytes.len() as u64, Ordering::Relaxed);
    }
    Ok(())
}

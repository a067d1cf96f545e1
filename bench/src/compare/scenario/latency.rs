//! Latency at an even pace, beside the bare flush and the ideal server at the same pace.

use std::{path::Path, time::Duration};

use anyhow::Result;

use super::{Scenario, TOPIC};
use crate::{
    compare::{Comparison, figure::Figure},
    flush::{self, Flushing},
    latency::{self, Pacing},
    recycled::Durability,
    server::Server,
    table::Target,
};

const RATE: f64 = 5000.0;
const RECORD_BYTES: usize = 1024;

impl Scenario {
    pub(super) fn latency(&self, comparison: &Comparison, dir: &Path) -> Result<Vec<Figure>> {
        let duration = Duration::from_secs_f64(comparison.seconds);
        let bare = flush::run(&Flushing {
            file: dir.join("flush"),
            file_bytes: 64 << 20,
            block_bytes: 4096,
            rate: Some(RATE),
            duration,
        })?;
        let pacing = |server: &Server, ack_only| Pacing {
            bootstrap: server.address,
            topic: TOPIC.to_owned(),
            rate: RATE,
            record_bytes: RECORD_BYTES,
            warmup: Duration::from_secs(1),
            duration,
            ack_only,
            pid: Some(server.pid()),
        };
        let floor = comparison.start_floor(dir, Durability::Disk)?;
        let ideal = latency::run(&pacing(&floor, true), comparison.timestamp_ms)?.report();
        floor.stop()?;
        let broker = comparison.start_broker(dir, Durability::Disk)?;
        let outcome = broker
            .as_ref()
            .map(|broker| latency::run(&pacing(broker, false), comparison.timestamp_ms));
        let report = outcome.transpose()?.map(|outcome| outcome.report());
        broker.map_or(Ok(()), Server::stop)?;
        let bare = bare.report();
        let number = |field| report.as_ref().and_then(|report| report.number(field));
        let consume =
            |name, flush, field, target| self.figure(name, bare.number(flush), number(field), target);
        let ack = |name, field| self.figure(name, ideal.number(field), number(field), Target::None);
        Ok(vec![
            consume(
                "to consume p50 us",
                "flush_p50_us",
                "consume_p50_us",
                Target::ExcessAtMost(150.0),
            ),
            consume(
                "to consume p99 us",
                "flush_p99_us",
                "consume_p99_us",
                Target::ExcessAtMost(500.0),
            ),
            consume(
                "to consume p99.9 us",
                "flush_p99.9_us",
                "consume_p99.9_us",
                Target::None,
            ),
            ack("to ack p50 us, floor: ideal", "ack_p50_us"),
            ack("to ack p99 us, floor: ideal", "ack_p99_us"),
            ack("to ack p99.9 us, floor: ideal", "ack_p99.9_us"),
            ack(
                "server CPU s per million, floor: ideal",
                "server_cpu_s_per_million",
            ),
        ])
    }
}

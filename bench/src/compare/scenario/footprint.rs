//! What a broker costs at rest: start, memory, connections.

use std::path::Path;

use anyhow::Result;

use super::{FLUSHED_1K, Scenario};
use crate::{
    compare::{Comparison, figure::Figure},
    idle::{self, Idling},
    process::Memory,
    produce::Until,
    recycled::Durability,
    table::Target,
};

const CONNECTIONS: usize = 1000;

impl Scenario {
    pub(super) fn footprint(&self, comparison: &Comparison, dir: &Path) -> Result<Vec<Figure>> {
        let Some(broker) = comparison.start_broker(dir, Durability::Disk)? else {
            return Ok(Vec::new());
        };
        let memory = Memory::of(broker.pid())?;
        let idling = Idling {
            bootstrap: broker.address,
            connections: CONNECTIONS,
            pid: broker.pid(),
        };
        let idle = idle::run(&idling)?;
        let ready_ms = broker.ready_after.as_secs_f64() * 1000.0;
        broker.stop()?;
        let broker_only = |name, value, bound| self.figure(name, None, Some(value), Target::AtMost(bound));
        Ok(vec![
            broker_only("start to first answer ms", ready_ms, 20.0),
            broker_only(
                "idle RSS MiB",
                memory.resident_bytes as f64 / f64::from(1 << 20),
                15.0,
            ),
            broker_only("bytes per idle connection", idle.bytes_per_connection(), 8192.0),
        ])
    }

    pub(super) fn restart(&self, comparison: &Comparison, dir: &Path) -> Result<Vec<Figure>> {
        let Some(broker) = comparison.start_broker(dir, Durability::Disk)? else {
            return Ok(Vec::new());
        };
        let until = Until::PayloadBytes(comparison.restart_bytes);
        FLUSHED_1K.load_until(&broker, comparison, 0, until)?;
        broker.stop()?;
        let mut figures = Vec::new();
        for (name, end) in [
            ("start after SIGTERM ms", false),
            ("start after kill -9 ms", true),
        ] {
            if end {
                // Killed in the middle of writing, not at rest.
                let Some(broker) = comparison.start_broker(dir, Durability::Disk)? else {
                    break;
                };
                FLUSHED_1K.load_until(
                    &broker,
                    comparison,
                    0,
                    Until::PayloadBytes(comparison.wal_limit_bytes),
                )?;
                broker.kill()?;
            }
            let Some(broker) = comparison.start_broker(dir, Durability::Disk)? else {
                break;
            };
            let ready_ms = broker.ready_after.as_secs_f64() * 1000.0;
            broker.stop()?;
            figures.push(self.figure(name, None, Some(ready_ms), Target::AtMost(2000.0)));
        }
        Ok(figures)
    }
}

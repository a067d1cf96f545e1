//! Throughput: the raw driver against the floor and the broker, or against the broker twice.

use std::{fs, path::Path, time::Duration};

use anyhow::Result;

use super::{Extent, ProduceTargets, SUSTAINED_LAPS, Scenario, Shape, TOPIC};
use crate::{
    compare::{Comparison, figure::Figure},
    produce::{self, Load, Outcome, Until},
    server::Server,
    table::Target,
};

/// Of the WAL's limit. At seven eighths the broker begins to hold producers to the pace of sealing, which is what the
/// sustained scenarios measure.
const BURST_PERCENT: u64 = 85;

impl Scenario {
    pub(super) fn produce(
        &self,
        comparison: &Comparison,
        dir: &Path,
        shape: Shape,
        extent: Extent,
        targets: ProduceTargets,
    ) -> Result<Vec<Figure>> {
        let floor = comparison.start_floor(dir, shape.durability)?;
        let floor_outcome = shape.load(&floor, comparison, extent)?;
        floor.stop()?;
        let Some(broker) = comparison.start_broker(dir, shape.durability)? else {
            return Ok(self.produce_figures(&floor_outcome, None, targets));
        };
        if matches!(extent, Extent::UntilWalLimit) {
            shape.load(&broker, comparison, extent)?;
            broker.wait_until_idle()?;
        }
        let broker_outcome = shape.load(&broker, comparison, extent)?;
        broker.stop()?;
        Ok(self.produce_figures(&floor_outcome, Some(&broker_outcome), targets))
    }

    pub(super) fn produce_figures(
        &self,
        floor: &Outcome,
        broker: Option<&Outcome>,
        targets: ProduceTargets,
    ) -> Vec<Figure> {
        let (floor, broker) = (floor.report(), broker.map(Outcome::report));
        let figure = |name, field, target| {
            let broker = broker.as_ref().and_then(|report| report.number(field));
            self.figure(name, floor.number(field), broker, target)
        };
        vec![
            figure("msg/s", "msg_per_s", targets.throughput),
            figure("MB/s", "mb_per_s", Target::None),
            figure(
                "server CPU s per million",
                "server_cpu_s_per_million",
                targets.cpu,
            ),
            figure("ack p50 us", "ack_p50_us", Target::None),
            figure("ack p99 us", "ack_p99_us", targets.p99),
            figure("ack p99.9 us", "ack_p99.9_us", Target::None),
            figure("RSS peak MB", "server_rss_peak_mb", Target::None),
            figure("write amplification", "write_amplification", Target::None),
            figure("disk writes/s", "disk_writes_per_s", Target::None),
            figure("disk flushes/s", "disk_flushes_per_s", Target::None),
            figure(
                "driver CPU s per million",
                "driver_cpu_s_per_million",
                Target::None,
            ),
        ]
    }

    pub(super) fn partitions(
        &self,
        comparison: &Comparison,
        dir: &Path,
        shape: Shape,
        many: i32,
        ratio_min: f64,
    ) -> Result<Vec<Figure>> {
        let one = dir.join("one");
        fs::create_dir(&one)?;
        let Some(one) = comparison.start_broker(&one, shape.durability)? else {
            return Ok(Vec::new());
        };
        let floor = shape.load(&one, comparison, Extent::Seconds)?;
        one.stop()?;
        let Some(broker) = comparison.start_broker(dir, shape.durability)? else {
            return Ok(Vec::new());
        };
        let spread = Shape {
            partitions: many,
            ..shape
        };
        let outcome = spread.load(&broker, comparison, Extent::Seconds)?;
        broker.stop()?;
        let targets = ProduceTargets {
            throughput: Target::RatioAtLeast(ratio_min),
            cpu: Target::None,
            p99: Target::None,
        };
        Ok(self.produce_figures(&floor, Some(&outcome), targets))
    }
}

impl Shape {
    pub(super) fn load(self, server: &Server, comparison: &Comparison, extent: Extent) -> Result<Outcome> {
        let limit = comparison.wal_limit_bytes;
        let seconds = Until::Elapsed(Duration::from_secs_f64(comparison.seconds));
        match extent {
            Extent::UntilWalLimit | Extent::UntilWalLimitNew => self.load_until(
                server,
                comparison,
                0,
                Until::PayloadBytes(limit * BURST_PERCENT / 100),
            ),
            Extent::Sustained => self.load_until(server, comparison, SUSTAINED_LAPS * limit, seconds),
            Extent::Seconds => self.load_until(server, comparison, 0, seconds),
        }
    }

    pub(super) fn load_until(
        self,
        server: &Server,
        comparison: &Comparison,
        warmup_bytes: u64,
        until: Until,
    ) -> Result<Outcome> {
        let load = self.driver(server, warmup_bytes, until);
        produce::run(&load, comparison.timestamp_ms)
    }

    pub(super) fn driver(self, server: &Server, warmup_bytes: u64, until: Until) -> Load {
        Load {
            bootstrap: server.address,
            topic: TOPIC.to_owned(),
            partitions: self.partitions,
            topic_configs: Vec::new(),
            connections: self.connections,
            depth: self.depth,
            record_bytes: self.record_bytes,
            batch_bytes: self.batch_bytes,
            acks: -1,
            keys: None,
            warmup: Until::PayloadBytes(warmup_bytes),
            until,
            rate: None,
            pid: Some(server.pid()),
        }
    }
}

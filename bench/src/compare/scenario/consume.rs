//! Reading back: there is no floor for it, since the ideal server keeps nothing.

use std::path::Path;

use anyhow::{Result, ensure};

use super::{Extent, Scenario, Shape, TOPIC};
use crate::{
    compare::{Comparison, figure::Figure},
    consume::{self, Reading},
    protocol::FetchLimits,
    table::Target,
};

impl Scenario {
    pub(super) fn consume(&self, comparison: &Comparison, dir: &Path, shape: Shape) -> Result<Vec<Figure>> {
        let Some(broker) = comparison.start_broker(dir, shape.durability)? else {
            return Ok(Vec::new());
        };
        let produced = shape.load(&broker, comparison, Extent::UntilWalLimit)?;
        let reading = Reading {
            bootstrap: broker.address,
            topic: TOPIC.to_owned(),
            partitions: shape.partitions,
            connections: 2,
            limits: FetchLimits {
                wait_ms_max: 500,
                bytes_min: 1,
                bytes_max: 8 << 20,
                partition_bytes_max: 1 << 20,
            },
            check_crc: false,
            follow: None,
            pid: Some(broker.pid()),
        };
        let consumed = consume::run(&reading)?;
        ensure!(
            consumed.records >= produced.records,
            "of {} records {} came back",
            produced.records,
            consumed.records
        );
        broker.stop()?;
        let report = consumed.report();
        let figure = |name, field| self.figure(name, None, report.number(field), Target::None);
        Ok(vec![
            figure("msg/s", "msg_per_s"),
            figure("MB/s", "mb_per_s"),
            figure("server CPU s per million", "server_cpu_s_per_million"),
        ])
    }
}

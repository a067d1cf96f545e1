//! Reading back: once as writing left it, then again and again, from whatever the page cache holds of it.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::{Sample, TOPIC, Versus, Volume};
use crate::{
    consume::{self, Reading},
    process::{Memory, Usage},
    produce::{self, Load, Until},
    protocol::FetchLimits,
    server::Server,
    table::Target,
};

const CONNECTIONS: usize = 2;
/// Those that Kafka's consumer has by default.
const LIMITS: FetchLimits = FetchLimits {
    wait_ms_max: 500,
    bytes_min: 1,
    bytes_max: 50 << 20,
    partition_bytes_max: 1 << 20,
};

pub(super) fn reading(partitions: i32, server: &Server) -> Reading {
    Reading {
        bootstrap: server.address,
        topic: TOPIC.to_owned(),
        partitions,
        connections: CONNECTIONS,
        limits: LIMITS,
        check_crc: false,
        follow: None,
        pid: Some(server.pid()),
    }
}

impl Volume {
    pub(super) fn consume(self, versus: &Versus, server: &Server) -> Result<Vec<Sample>> {
        let load = Load {
            warmup: Until::PayloadBytes(0),
            until: Until::PayloadBytes(versus.read_bytes),
            ..self.load(versus, server)
        };
        let written = produce::run(&load, versus.timestamp_ms)?.records;
        server.wait_until_idle()?;
        let reading = reading(self.partitions, server);
        let read = || -> Result<consume::Outcome> {
            let outcome = consume::run(&reading)?;
            ensure!(
                outcome.records >= written,
                "of {written} records {} came back",
                outcome.records
            );
            Ok(outcome)
        };
        let first = read()?;
        let began = Instant::now();
        while began.elapsed() < versus.warmup {
            read()?;
        }
        let before = Usage::of(server.pid())?;
        let (mut records, mut bytes, mut seconds) = (0, 0, 0.0);
        while seconds < versus.duration.as_secs_f64() {
            let outcome = read()?;
            records += outcome.records;
            bytes += outcome.bytes;
            seconds += outcome.seconds;
        }
        let cpu_s = Usage::of(server.pid())?.since(before).cpu_s();
        let millions = records as f64 / 1e6;
        let rss_peak_mb = Memory::of(server.pid())?.resident_peak_bytes as f64 / 1e6;
        Ok(vec![
            Sample::new("first reading msg/s", first.records_per_s(), Target::None),
            Sample::new("msg/s", records as f64 / seconds, Target::RatioAtLeast(1.0)),
            Sample::new("MB/s", bytes as f64 / 1e6 / seconds, Target::None),
            Sample::new(
                "server CPU s per million",
                cpu_s / millions,
                Target::RatioAtMost(0.5),
            ),
            Sample::new("RSS peak MB", rss_peak_mb, Target::RatioAtMost(0.1)),
        ])
    }
}

//! Latency at an even pace, a real client library, and what a server costs at rest.

use std::{path::Path, thread, time::Duration};

use anyhow::Result;

use super::{NO_MORE, RECORD_BYTES, Sample, TOPIC, Versus, samples};
use crate::{
    connection::Connection,
    groups::{self, Grouping},
    idle::{self, Idling},
    kcat::{self, Input},
    latency::{self, Pacing},
    process::{Memory, Usage},
    server::Server,
    table::Target,
    versus::contender::Started,
};

const IDLE_CONNECTIONS: usize = 1000;
/// The default of Java's client and of librdkafka.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(3);

pub(super) fn latency(versus: &Versus, server: &Server, records_per_s: u32) -> Result<Vec<Sample>> {
    let pacing = Pacing {
        bootstrap: server.address,
        topic: TOPIC.to_owned(),
        rate: f64::from(records_per_s),
        record_bytes: RECORD_BYTES,
        warmup: versus.warmup,
        duration: versus.duration,
        ack_only: false,
        pid: Some(server.pid()),
    };
    let report = latency::run(&pacing, versus.timestamp_ms)?.report();
    let mut figures = samples(
        &report,
        &[
            ("to ack p50 us", "ack_p50_us", Target::None),
            ("to ack p99 us", "ack_p99_us", NO_MORE),
            ("to ack p99.9 us", "ack_p99.9_us", Target::None),
            ("to consume p50 us", "consume_p50_us", Target::None),
            ("to consume p99 us", "consume_p99_us", NO_MORE),
            ("to consume p99.9 us", "consume_p99.9_us", Target::None),
            (
                "server CPU s per million",
                "server_cpu_s_per_million",
                Target::RatioAtMost(0.333),
            ),
            ("RSS peak MB", "server_rss_peak_mb", Target::RatioAtMost(0.1)),
        ],
    );
    // Where a server does not keep the pace, records wait for room before they are stamped, and the percentiles are too good.
    if let (Some(late), Some(sent)) = (report.number("late"), report.number("sent")) {
        figures.push(Sample::new("sent late %", 100.0 * late / sent, Target::None));
    }
    Ok(figures)
}

/// The first file of lines is not measured: the server's code is warm when the second comes.
pub(super) fn client(server: &Server, dir: &Path) -> Result<Vec<Sample>> {
    let input = Input::create(&dir.join("lines"))?;
    Connection::open(server.address)?.create_topic(TOPIC, 1, &[])?;
    input.produce(server, TOPIC)?;
    let produced = input.produce(server, TOPIC)?;
    kcat::consume(server, TOPIC, 2)?;
    let consumed = kcat::consume(server, TOPIC, 2)?;
    let figure = |name, value| Sample::new(name, value, Target::None);
    Ok(vec![
        figure("produced msg/s", produced.records_per_s),
        figure(
            "server CPU s per million produced",
            produced.server_cpu_s_per_million,
        ),
        figure("consumed msg/s", consumed.records_per_s),
        figure(
            "server CPU s per million consumed",
            consumed.server_cpu_s_per_million,
        ),
    ])
}

pub(super) fn footprint(versus: &Versus, started: &Started) -> Result<Vec<Sample>> {
    let server = &started.server;
    // What is left to do after the start is not rest.
    thread::sleep(versus.warmup);
    let before = Usage::of(server.pid())?;
    thread::sleep(versus.duration);
    let cpu_s = Usage::of(server.pid())?.since(before).cpu_s();
    let resident_mb = Memory::of(server.pid())?.resident_bytes as f64 / 1e6;
    let idle = idle::run(&Idling {
        bootstrap: server.address,
        connections: IDLE_CONNECTIONS,
        pid: server.pid(),
    })?;
    let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
    Ok(vec![
        Sample::new("start to first answer ms", ms(server.ready_after), NO_MORE),
        Sample::new("start to first topic ms", ms(started.topic_after), NO_MORE),
        Sample::new("idle RSS MB", resident_mb, Target::RatioAtMost(0.1)),
        Sample::new(
            "idle CPU ms per s",
            cpu_s * 1000.0 / versus.duration.as_secs_f64(),
            NO_MORE,
        ),
        Sample::new(
            "bytes per idle connection",
            idle.bytes_per_connection(),
            Target::None,
        ),
    ])
}

pub(super) fn groups(versus: &Versus, server: &Server) -> Result<Vec<Sample>> {
    let grouping = Grouping {
        bootstrap: server.address,
        pid: Some(server.pid()),
        groups: 1000,
        members: 4,
        rebalanced_members: 100,
        rebalances: 6,
        heartbeat_interval: HEARTBEAT_INTERVAL,
        warmup: versus.warmup,
        duration: versus.duration,
    };
    Ok(samples(
        &groups::run(&grouping)?.report(),
        &[
            (
                "server CPU % of a core",
                "server_cpu_percent",
                Target::AtMost(10.0),
            ),
            ("heartbeat p50 us", "heartbeat_p50_us", Target::None),
            ("heartbeat p99 us", "heartbeat_p99_us", NO_MORE),
            (
                "rebalance of 100 p50 ms",
                "rebalance_p50_ms",
                Target::AtMost(3000.0),
            ),
            ("rebalance of 100 max ms", "rebalance_max_ms", Target::None),
        ],
    ))
}

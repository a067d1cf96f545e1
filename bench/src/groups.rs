//! `bench groups`: consumer groups that only keep alive, and how long one of them takes to rebalance.
//!
//! Each member has a connection of its own, as clients do, and sends its heartbeat when it is due. A rebalance begins with a
//! member that joins or leaves, of which the others learn by their next heartbeat, and is over when all have their assignment.

mod crowd;
mod member;

use std::{
    net::SocketAddr,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;

use self::{crowd::Crowd, member::Member};
use crate::{
    connection::Connection,
    process::Usage,
    protocol::groups::{error_code, find_coordinator},
    report::{Report, latency_histogram},
};

/// Apache Kafka creates the topic of the groups when it is asked for a coordinator first.
const COORDINATOR_TIMEOUT: Duration = Duration::from_secs(60);
const COORDINATOR_POLL: Duration = Duration::from_millis(50);
/// New groups wait for their members for three seconds by default.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(120);

#[derive(Debug, Clone)]
pub(crate) struct Grouping {
    pub(crate) bootstrap: SocketAddr,
    pub(crate) pid: Option<u32>,
    pub(crate) groups: usize,
    /// Of each group.
    pub(crate) members: usize,
    /// Of the group that is rebalanced; with none, no rebalance is measured.
    pub(crate) rebalanced_members: usize,
    pub(crate) rebalances: usize,
    pub(crate) heartbeat_interval: Duration,
    pub(crate) warmup: Duration,
    pub(crate) duration: Duration,
}

#[derive(Debug)]
pub(crate) struct Outcome {
    members: usize,
    seconds: f64,
    heartbeats: Histogram<u64>,
    cpu_s: Option<f64>,
    rebalances: Histogram<u64>,
}

impl Outcome {
    pub(crate) fn report(&self) -> Report {
        let mut report = Report::default();
        report
            .put("members", self.members)
            .put("heartbeats", self.heartbeats.len())
            .figure("seconds", self.seconds)
            .percentiles("heartbeat", &self.heartbeats);
        if let Some(cpu_s) = self.cpu_s {
            report.figure("server_cpu_percent", 100.0 * cpu_s / self.seconds);
        }
        if !self.rebalances.is_empty() {
            report
                .put("rebalances", self.rebalances.len())
                .figure(
                    "rebalance_p50_ms",
                    self.rebalances.value_at_quantile(0.5) as f64 / 1e6,
                )
                .figure("rebalance_max_ms", self.rebalances.max() as f64 / 1e6);
        }
        report
    }
}

pub(crate) fn run(grouping: &Grouping) -> Result<Outcome> {
    await_coordinator(grouping.bootstrap)?;
    let mut crowd = Crowd::new(grouping.heartbeat_interval)?;
    for group in 0..grouping.groups {
        for _ in 0..grouping.members {
            crowd.join(Member::open(grouping.bootstrap, format!("bench-{group}"))?)?;
        }
    }
    crowd.settle(-1, SETTLE_TIMEOUT)?;
    crowd.run(grouping.warmup)?;

    crowd.heartbeats.reset();
    let usage = || grouping.pid.map(Usage::of).transpose();
    let (before, began) = (usage()?, Instant::now());
    crowd.run(grouping.duration)?;
    let seconds = began.elapsed().as_secs_f64();
    let used = |(after, before): (Usage, Usage)| after.since(before).cpu_s();
    let cpu_s = usage()?.zip(before).map(used);
    let (members, heartbeats) = (crowd.len(), crowd.heartbeats.clone());
    crowd.disband()?;
    Ok(Outcome {
        members,
        seconds,
        heartbeats,
        cpu_s,
        rebalances: rebalance(grouping)?,
    })
}

/// Rebalances a group by a member that joins and leaves again.
fn rebalance(grouping: &Grouping) -> Result<Histogram<u64>> {
    let mut times = latency_histogram();
    if grouping.rebalanced_members == 0 {
        return Ok(times);
    }
    let member = || Member::open(grouping.bootstrap, "bench-rebalanced".to_owned());
    let mut crowd = Crowd::new(grouping.heartbeat_interval)?;
    for _ in 0..grouping.rebalanced_members {
        crowd.join(member()?)?;
    }
    crowd.settle(-1, SETTLE_TIMEOUT)?;
    for nth in 0..grouping.rebalances {
        // Heartbeats are spread again only after one of each.
        crowd.run(grouping.heartbeat_interval)?;
        let (generation, began) = (crowd.generation(), Instant::now());
        if nth % 2 == 0 {
            crowd.join(member()?)?;
        } else {
            crowd.leave()?;
        }
        crowd.settle(generation, SETTLE_TIMEOUT)?;
        times.saturating_record(began.elapsed().as_nanos() as u64);
    }
    crowd.disband()?;
    Ok(times)
}

fn await_coordinator(bootstrap: SocketAddr) -> Result<()> {
    let mut connection = Connection::open(bootstrap)?;
    let began = Instant::now();
    loop {
        let found = connection.call(|id| find_coordinator(id, "bench"))?;
        let error_code = error_code(&found)?;
        if error_code == 0 {
            return Ok(());
        }
        ensure!(
            began.elapsed() < COORDINATOR_TIMEOUT,
            "there is no coordinator after {COORDINATOR_TIMEOUT:?}: error {error_code}"
        );
        sleep(COORDINATOR_POLL);
    }
}

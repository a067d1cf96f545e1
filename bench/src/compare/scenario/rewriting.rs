//! What rewriting takes from a producer: the same load twice, beside merging or compaction and without them.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result};

use super::{ProduceTargets, Scenario, Shape};
use crate::{
    compare::{Comparison, figure::Figure},
    produce::{self, Load, Outcome, Until},
    server::Server,
    table::Target,
};

/// Written before anything is measured, in times of the WAL's limit: by then there is enough to rewrite.
const WARMUP_LAPS: u64 = 4;
/// Different keys of each partition: 20 MB of what is written are kept.
const KEYS: u64 = 20_000;
/// A wait that no run outlasts.
const NEVER_MS: &str = "86400000";
/// The broker is asked to compact as often as it can.
const EAGER: [(&str, &str); 1] = [("FIRTH_RETENTION_CHECK_INTERVAL_MS", "1000")];

#[derive(Debug, Clone, Copy)]
pub(super) enum Work {
    /// The baseline is another build, which has no merging.
    Merging,
    /// The baseline is the same broker, of whose topic every record is too young to be compacted.
    Compacting,
}

impl Scenario {
    pub(super) fn rewriting(
        &self,
        comparison: &Comparison,
        dir: &Path,
        shape: Shape,
        work: Work,
        records_per_s: Option<f64>,
        round: usize,
    ) -> Result<Vec<Figure>> {
        let Some(broker) = &comparison.broker else {
            return Ok(Vec::new());
        };
        let baseline = match work {
            Work::Merging => comparison
                .baseline
                .as_ref()
                .context("--baseline is a build of the broker with `merge_segments: 0`")?,
            Work::Compacting => broker,
        };
        let run = |binary: &Path, name: &str, rewrites| -> Result<Outcome> {
            let dir = dir.join(name);
            fs::create_dir(&dir)?;
            let server = Server::broker(
                binary,
                &dir.join("data"),
                shape.durability,
                Some(comparison.wal_limit_bytes),
                &EAGER,
            )?;
            let until = Until::Elapsed(Duration::from_secs_f64(comparison.seconds));
            let mut load = shape.driver(&server, WARMUP_LAPS * comparison.wal_limit_bytes, until);
            load.rate = records_per_s;
            work.configure(&mut load, rewrites);
            let outcome = produce::run(&load, comparison.timestamp_ms);
            server.stop()?;
            fs::remove_dir_all(&dir)?;
            outcome
        };
        // One goes first in one round and the other in the next, since the disk is not the same after a run.
        let (without, beside) = if round.is_multiple_of(2) {
            let without = run(baseline, "without", false)?;
            (without, run(broker, "beside", true)?)
        } else {
            let beside = run(broker, "beside", true)?;
            (run(baseline, "without", false)?, beside)
        };
        let (throughput, p99) = match records_per_s {
            None => (Target::RatioAtLeast(0.85), Target::None),
            Some(_) => (Target::None, Target::ExcessAtMost(1000.0)),
        };
        let targets = ProduceTargets {
            throughput,
            cpu: Target::None,
            p99,
        };
        Ok(self.produce_figures(&without, Some(&beside), targets))
    }
}

impl Work {
    fn configure(self, load: &mut Load, rewrites: bool) {
        if matches!(self, Work::Merging) {
            return;
        }
        load.keys = Some(KEYS);
        let mut set = |name: &str, value: &str| load.topic_configs.push((name.to_owned(), value.to_owned()));
        set("cleanup.policy", "compact");
        if rewrites {
            set("min.cleanable.dirty.ratio", "0.1");
        } else {
            set("min.compaction.lag.ms", NEVER_MS);
        }
    }
}

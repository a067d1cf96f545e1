//! `bench versus`: Firth and Apache Kafka, or Firth and RabbitMQ, by turns under the same drivers, several rounds in one run, each measurement with a new
//! server in a new directory on the same disk. It prints the table of docs/benchmarks.md.

mod contender;
mod figure;
mod workload;

use std::{path::PathBuf, time::Duration};

use anyhow::{Result, ensure};

pub(crate) use self::contender::{Contender, Opponent};
use self::{
    figure::{Figure, markdown},
    workload::{Sample, Workload},
};
use crate::report::Report;

#[derive(Debug, Clone)]
pub(crate) struct Versus {
    /// Firth's binary.
    pub(crate) firth: PathBuf,
    pub(crate) opponent: Opponent,
    /// In the order of the table's columns.
    pub(crate) contenders: Vec<Contender>,
    /// Where data goes; it must be on the disk that is meant.
    pub(crate) dir: PathBuf,
    pub(crate) rounds: usize,
    pub(crate) only: Vec<String>,
    /// Load before a measurement: a JVM compiles what it runs often, Firth fills its WAL.
    pub(crate) warmup: Duration,
    pub(crate) duration: Duration,
    pub(crate) batch_bytes: usize,
    /// How much is written to be read back.
    pub(crate) read_bytes: u64,
    pub(crate) timestamp_ms: i64,
}

/// Runs the workloads and prints their figures. What one contender fails in has no figure; the others go on, since a run takes
/// hours, and the failures are the error of the whole.
pub(crate) fn run(versus: &Versus, json: bool) -> Result<()> {
    let mut table = Vec::new();
    let mut failures = Vec::new();
    for workload in workload::chosen(&versus.opponent, &versus.only)? {
        eprintln!("{}: {}", workload.name, workload.about);
        let figures = rounds(versus, &workload, &mut failures)?;
        for figure in &figures {
            eprintln!("  {}", figure.row(&versus.contenders, versus.opponent.base()));
        }
        table.extend(figures);
    }
    if json {
        let mut report = Report::default();
        for figure in &table {
            figure.report(&mut report);
        }
        report.print(true);
    } else {
        print!("{}", markdown(&table, &versus.contenders, versus.opponent.base()));
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

fn rounds(versus: &Versus, workload: &Workload, failures: &mut Vec<String>) -> Result<Vec<Figure>> {
    let mut figures: Vec<Figure> = Vec::new();
    for round in 0..versus.rounds {
        for contender in turns(&versus.contenders, round) {
            match sample(versus, workload, contender)? {
                Ok(samples) => figure::gather(&mut figures, workload, contender, samples),
                Err(error) => {
                    let failure = format!("{}, {}: {error:#}", workload.name, contender.title());
                    eprintln!("  {failure}");
                    failures.push(failure);
                }
            }
        }
    }
    Ok(figures)
}

/// Another one begins in each round, since the disk is not the same after a run.
fn turns(contenders: &[Contender], round: usize) -> Vec<Contender> {
    let mut turns = contenders.to_vec();
    turns.rotate_left(round % contenders.len().max(1));
    turns
}

/// The outer error is of the machine, the inner one of the contender.
fn sample(versus: &Versus, workload: &Workload, contender: Contender) -> Result<Result<Vec<Sample>>> {
    let dir = tempfile::Builder::new()
        .prefix("firth-bench-")
        .tempdir_in(&versus.dir)?;
    let samples = workload.run(versus, contender, dir.path());
    dir.close()?;
    // What this one left to be written back is not to be paid for by the next one.
    rustix::fs::sync();
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_contender_begins_once() {
        let contenders = Contender::BESIDE_KAFKA;
        let first: Vec<_> = (0..4).map(|round| turns(&contenders, round)[0]).collect();
        assert_eq!(first, contenders);
        assert_eq!(turns(&contenders, 4), contenders);
    }
}

//! `bench compare`: each scenario on the ideal server and on the broker, in turn, several rounds, in one run, since machines differ
//! and vary from hour to hour, and only the ratio travels. It prints the table of docs/benchmarks.md.

mod figure;
mod scenario;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use self::{figure::Figure, scenario::Scenario};
use crate::{recycled::Durability, report::Report, server::Server};

#[derive(Debug, Clone)]
pub(crate) struct Comparison {
    /// Without a broker only the floor is measured.
    pub(crate) broker: Option<PathBuf>,
    /// Another build of the broker, for scenarios that compare two of them.
    pub(crate) baseline: Option<PathBuf>,
    /// Where data goes; it must be on the disk that is meant.
    pub(crate) dir: PathBuf,
    pub(crate) rounds: usize,
    pub(crate) only: Vec<String>,
    pub(crate) seconds: f64,
    pub(crate) wal_limit_bytes: u64,
    /// How much data the restart finds.
    pub(crate) restart_bytes: u64,
    pub(crate) timestamp_ms: i64,
}

impl Comparison {
    fn start_floor(&self, dir: &Path, durability: Durability) -> Result<Server> {
        Server::ideal(&dir.join("ideal"), durability)
    }

    fn start_broker(&self, dir: &Path, durability: Durability) -> Result<Option<Server>> {
        let broker = self.broker.as_ref();
        broker
            .map(|binary| {
                let limit = Some(self.wal_limit_bytes);
                Server::broker(binary, &dir.join("data"), durability, limit, &[])
            })
            .transpose()
    }
}

/// Runs the scenarios and prints their figures.
pub(crate) fn run(comparison: &Comparison, json: bool) -> Result<()> {
    let mut table = Vec::new();
    for scenario in scenario::all() {
        if !comparison.only.is_empty() && !comparison.only.iter().any(|name| name == scenario.name) {
            continue;
        }
        eprintln!("{}: {}", scenario.name, scenario.about);
        let figures = rounds(comparison, &scenario).with_context(|| format!("scenario {}", scenario.name))?;
        for figure in figures {
            if !json {
                eprintln!("  {}", figure.row());
            }
            table.push(figure);
        }
    }
    if json {
        let mut report = Report::default();
        for figure in &table {
            figure.report(&mut report);
        }
        report.print(true);
    } else {
        print!("{}", figure::markdown(&table));
    }
    Ok(())
}

/// All rounds of a scenario; each figure keeps its samples and shows their median.
fn rounds(comparison: &Comparison, scenario: &Scenario) -> Result<Vec<Figure>> {
    let mut figures: Vec<Figure> = Vec::new();
    for round in 0..comparison.rounds {
        // Each round has a directory of its own, which goes when the round ends.
        let dir = tempfile::Builder::new()
            .prefix("firth-bench-")
            .tempdir_in(&comparison.dir)?;
        for sample in scenario.run(comparison, dir.path(), round)? {
            match figures.iter_mut().find(|figure| figure.is_like(&sample)) {
                Some(figure) => figure.merge(sample),
                None => figures.push(sample),
            }
        }
    }
    Ok(figures)
}

//! One line of the table: a figure of the broker, its floor, and what it must reach.

use std::fmt::Write;

use crate::{
    report::Report,
    table::{Target, median, shown},
};

#[derive(Debug, Clone)]
pub(crate) struct Figure {
    scenario: &'static str,
    name: &'static str,
    floor: Vec<f64>,
    broker: Vec<f64>,
    target: Target,
}

impl Figure {
    pub(crate) fn new(
        scenario: &'static str,
        name: &'static str,
        floor: Option<f64>,
        broker: Option<f64>,
        target: Target,
    ) -> Self {
        let (floor, broker) = (floor.into_iter().collect(), broker.into_iter().collect());
        Self {
            scenario,
            name,
            floor,
            broker,
            target,
        }
    }

    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.scenario == other.scenario && self.name == other.name
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.floor.extend(other.floor);
        self.broker.extend(other.broker);
    }

    pub(crate) fn row(&self) -> String {
        let (floor, broker) = (median(&self.floor), median(&self.broker));
        let ratio = match (floor, broker) {
            (Some(floor), Some(broker)) if floor > 0.0 => format!("{:.2}", broker / floor),
            _ => String::new(),
        };
        format!(
            "| {} | {} | {} | {} | {ratio} | {} | {} |",
            self.scenario,
            self.name,
            shown(&self.floor),
            shown(&self.broker),
            self.target.text("floor"),
            broker.map_or("", |broker| self.target.verdict(floor, broker)),
        )
    }

    pub(crate) fn report(&self, report: &mut Report) {
        for (side, samples) in [("floor", &self.floor), ("broker", &self.broker)] {
            if let Some(median) = median(samples) {
                report.figure(&format!("{}/{}/{side}", self.scenario, self.name), median);
            }
        }
    }
}

pub(crate) fn markdown(figures: &[Figure]) -> String {
    let mut table = String::from("| scenario | figure | floor | broker | ratio | must reach | |\n");
    table.push_str("|---|---|---:|---:|---:|---|---|\n");
    for figure in figures {
        // Writing to a string cannot fail.
        let _ = writeln!(table, "{}", figure.row());
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_merge_into_a_median_that_is_held_against_the_target() {
        let sample = |floor, broker| {
            Figure::new(
                "flushed-1k",
                "msg/s",
                Some(floor),
                Some(broker),
                Target::RatioAtLeast(0.8),
            )
        };
        let mut figure = sample(1_000_000.0, 700_000.0);
        figure.merge(sample(1_000_000.0, 850_000.0));
        figure.merge(sample(900_000.0, 900_000.0));
        assert_eq!(
            figure.row(),
            "| flushed-1k | msg/s | 1,000,000 (900,000–1,000,000) | 850,000 (700,000–900,000) | 0.85 | ≥ 0.8 × floor | reached |"
        );
    }

    #[test]
    fn a_figure_without_a_broker_has_no_verdict() {
        let figure = Figure::new(
            "latency",
            "p50 us",
            Some(131.0),
            None,
            Target::ExcessAtMost(150.0),
        );
        assert_eq!(
            figure.row(),
            "| latency | p50 us | 131 | – |  | ≤ floor + 150 |  |"
        );
    }
}

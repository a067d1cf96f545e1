//! One line of the table: a figure of the broker, its floor, and what it must reach.

use std::fmt::Write;

use crate::report::Report;

#[derive(Debug, Clone)]
pub(crate) struct Figure {
    scenario: &'static str,
    name: &'static str,
    floor: Vec<f64>,
    broker: Vec<f64>,
    target: Target,
}

/// What the figure is held against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Target {
    None,
    RatioAtLeast(f64),
    RatioAtMost(f64),
    /// Above the floor.
    ExcessAtMost(f64),
    AtLeast(f64),
    AtMost(f64),
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
            self.target.text(),
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

impl Target {
    fn text(self) -> String {
        match self {
            Self::None => String::new(),
            Self::RatioAtLeast(bound) => format!("≥ {bound} × floor"),
            Self::RatioAtMost(bound) => format!("≤ {bound} × floor"),
            Self::ExcessAtMost(bound) => format!("≤ floor + {bound}"),
            Self::AtLeast(bound) => format!("≥ {}", number(bound)),
            Self::AtMost(bound) => format!("≤ {}", number(bound)),
        }
    }

    fn verdict(self, floor: Option<f64>, broker: f64) -> &'static str {
        let met = match (self, floor) {
            (Self::AtLeast(bound), _) => broker >= bound,
            (Self::AtMost(bound), _) => broker <= bound,
            (Self::RatioAtLeast(bound), Some(floor)) => broker >= bound * floor,
            (Self::RatioAtMost(bound), Some(floor)) => broker <= bound * floor,
            (Self::ExcessAtMost(bound), Some(floor)) => broker <= floor + bound,
            (Self::None, _) | (_, None) => return "",
        };
        if met { "reached" } else { "missed" }
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

/// The median, with the range behind it if there were several rounds.
fn shown(samples: &[f64]) -> String {
    let Some(median) = median(samples) else {
        return "–".to_owned();
    };
    let low = samples.iter().copied().fold(f64::INFINITY, f64::min);
    let high = samples.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if samples.len() == 1 {
        return number(median);
    }
    format!("{} ({}–{})", number(median), number(low), number(high))
}

fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

/// Three significant digits and more, with commas between thousands.
fn number(value: f64) -> String {
    if value.abs() < 10.0 {
        return format!("{value:.2}");
    }
    if value.abs() < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
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

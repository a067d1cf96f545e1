//! Whether a run was flat, as numbers: each series early and late.

use super::{sample::Sample, series::PANELS};
use crate::report::Report;

/// The share of the run in which everything fills for the first time.
const FILLING: f64 = 0.15;

/// Medians of the first and the last third of what follows the filling.
pub(super) fn report(samples: &[Sample]) -> Report {
    let mut report = Report::default();
    let minutes = samples.last().map_or(0.0, |last| last.seconds / 60.0);
    report.figure("minutes", minutes);
    for panel in PANELS {
        for series in panel.series {
            let points = series.points(samples);
            let name = format!("{}: {}", panel.title, series.name);
            if let Some([early, late]) = early_and_late(&points, minutes) {
                report.figure(&format!("{name}, early"), early);
                report.figure(&format!("{name}, late"), late);
            }
        }
    }
    report
}

fn early_and_late(points: &[(f64, f64)], minutes: f64) -> Option<[f64; 2]> {
    let third = minutes * (1.0 - FILLING) / 3.0;
    let start = minutes * FILLING;
    let between = |from: f64, to: f64| -> Option<f64> {
        let within = points.iter().filter(|(at, _)| (from..=to).contains(at));
        let mut values: Vec<f64> = within.map(|(_, value)| *value).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    Some([between(start, start + third)?, between(minutes - third, minutes)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_fills_at_the_start_does_not_drift() {
        let filled: Vec<(f64, f64)> = (0..=100)
            .map(|minute| (f64::from(minute), f64::from(minute.min(10))))
            .collect();
        assert_eq!(early_and_late(&filled, 100.0), Some([10.0, 10.0]));
        let growing: Vec<(f64, f64)> = (0..=100)
            .map(|minute| (f64::from(minute), f64::from(minute)))
            .collect();
        assert_eq!(early_and_late(&growing, 100.0), Some([29.0, 86.0]));
    }
}

//! Small multiples as SVG, written by hand: one panel for each thing that must stay flat, all over the same minutes.

use std::fmt::Write;

use super::{
    sample::Sample,
    series::{PANELS, Panel},
};

const COLUMNS: usize = 2;
const PANEL_WIDTH: f64 = 440.0;
const PANEL_HEIGHT: f64 = 170.0;
/// What is around the area of a panel in which lines are drawn.
const LEFT: f64 = 52.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 24.0;
const COLORS: [&str; 3] = ["#0b6e99", "#d9730d", "#7a7a7a"];
const TICKS_X: usize = 6;

pub(super) fn svg(samples: &[Sample]) -> String {
    let rows = PANELS.len().div_ceil(COLUMNS);
    let (width, height) = (PANEL_WIDTH * COLUMNS as f64, PANEL_HEIGHT * rows as f64);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let minutes = samples.last().map_or(1.0, |last| last.seconds / 60.0);
    for (index, panel) in PANELS.iter().enumerate() {
        let x = (index % COLUMNS) as f64 * PANEL_WIDTH;
        let y = (index / COLUMNS) as f64 * PANEL_HEIGHT;
        // Writing to a string cannot fail.
        let _ = writeln!(svg, "<g transform=\"translate({x},{y})\">");
        draw(&mut svg, panel, samples, minutes);
        svg.push_str("</g>\n");
    }
    svg.push_str("</svg>\n");
    svg
}

/// Where values lie in the height of a panel.
#[derive(Debug, Clone, Copy)]
struct Axis {
    low: f64,
    high: f64,
    logarithmic: bool,
}

impl Axis {
    fn of(panel: &Panel, values: impl Iterator<Item = f64> + Clone) -> Self {
        let high = values.clone().fold(f64::MIN_POSITIVE, f64::max);
        if !panel.logarithmic {
            let step = step(high);
            return Self {
                low: 0.0,
                high: (high / step).ceil() * step,
                logarithmic: false,
            };
        }
        let positive = values.filter(|value| *value > 0.0);
        let low = positive.fold(high, f64::min);
        Self {
            low: 10f64.powf(low.log10().floor()),
            high: 10f64.powf(high.log10().ceil()),
            logarithmic: true,
        }
    }

    fn y(self, value: f64) -> f64 {
        let share = if self.logarithmic {
            (value.max(self.low) / self.low).log10() / (self.high / self.low).log10().max(1.0)
        } else {
            value / self.high
        };
        PANEL_HEIGHT - BOTTOM - share * (PANEL_HEIGHT - TOP - BOTTOM)
    }

    fn ticks(self) -> Vec<f64> {
        let mut ticks = Vec::new();
        let mut tick = self.low;
        while tick <= self.high * 1.001 {
            ticks.push(tick);
            tick = if self.logarithmic {
                tick * 10.0
            } else {
                tick + step(self.high)
            };
        }
        ticks
    }
}

/// 1, 2 or 5 times a power of ten, so that there are three to seven of it.
fn step(high: f64) -> f64 {
    let power = 10f64.powf((high / 3.0).log10().floor());
    let steps = [5.0, 2.0, 1.0].map(|digit| digit * power);
    steps.into_iter().find(|step| high / step >= 3.0).unwrap_or(power)
}

fn draw(svg: &mut String, panel: &Panel, samples: &[Sample], minutes: f64) {
    let lines: Vec<Vec<(f64, f64)>> = panel.series.iter().map(|series| series.points(samples)).collect();
    let axis = Axis::of(panel, lines.iter().flatten().map(|(_, value)| *value));
    let across = |minute: f64| LEFT + minute / minutes * (PANEL_WIDTH - LEFT - RIGHT);
    grid(svg, axis, minutes, across);
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"14\" font-weight=\"bold\">{}</text>",
        panel.title
    );
    let mut legend_x = LEFT;
    for ((series, line), color) in panel.series.iter().zip(&lines).zip(COLORS) {
        let mut points = String::new();
        for (minute, value) in line {
            let _ = write!(points, "{:.1},{:.1} ", across(*minute), axis.y(*value));
        }
        let _ = writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"{color}\" stroke-width=\"1\" points=\"{}\"/>",
            points.trim_end()
        );
        if panel.series.len() > 1 {
            let _ = writeln!(
                svg,
                "<text x=\"{legend_x}\" y=\"26\" fill=\"{color}\">{}</text>",
                series.name
            );
            legend_x += 20.0 + 6.0 * series.name.len() as f64;
        }
    }
}

fn grid(svg: &mut String, axis: Axis, minutes: f64, across: impl Fn(f64) -> f64) {
    for tick in axis.ticks() {
        let y = axis.y(tick);
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {y:.1}H{}\" stroke=\"#e0e0e0\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            PANEL_WIDTH - RIGHT,
            LEFT - 4.0,
            y + 4.0,
            label(tick)
        );
    }
    for tick in 0..=TICKS_X {
        let minute = minutes * tick as f64 / TICKS_X as f64;
        let unit = if tick == TICKS_X { " min" } else { "" };
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555\">{minute:.0}{unit}</text>",
            across(minute),
            PANEL_HEIGHT - 8.0
        );
    }
}

/// Without zeros that say nothing.
fn label(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_few() {
        for (high, expected) in [(340.0, 100.0), (1.9, 0.5), (7.0, 2.0), (1000.0, 200.0)] {
            assert!((step(high) - expected).abs() < 1e-9, "{high}: {}", step(high));
        }
    }

    #[test]
    fn every_panel_is_drawn_with_its_lines() {
        let sample = |seconds: f64| Sample {
            seconds,
            rss_bytes: 100_000_000,
            ack_p99_us: 900.0,
            ..Sample::default()
        };
        let samples: Vec<Sample> = (1..40).map(|tick| sample(f64::from(tick) * 5.0)).collect();
        let svg = svg(&samples);
        let lines: usize = PANELS.iter().map(|panel| panel.series.len()).sum();
        assert_eq!(svg.matches("<polyline").count(), lines);
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }
}

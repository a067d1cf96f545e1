//! The figures that are drawn and compared, by name, from the samples that they are computed from.

use super::sample::Sample;

const MB: f64 = 1e6;
/// Sums are compared with what they were so many seconds before, so that what comes in bursts is seen as a whole.
const WINDOW_S: f64 = 60.0;

#[derive(Debug, Clone, Copy)]
pub(super) struct Series {
    pub(super) name: &'static str,
    /// The value at one of the samples; none where there is not yet a window before it.
    value: fn(&[Sample], usize) -> Option<f64>,
}

impl Series {
    /// Minutes and values.
    pub(super) fn points(self, samples: &[Sample]) -> Vec<(f64, f64)> {
        let point =
            |(at, sample): (usize, &Sample)| Some((sample.seconds / 60.0, (self.value)(samples, at)?));
        samples.iter().enumerate().filter_map(point).collect()
    }
}

/// Series that are drawn over each other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Panel {
    pub(super) title: &'static str,
    /// The axis is logarithmic; else it begins at 0.
    pub(super) logarithmic: bool,
    pub(super) series: &'static [Series],
}

macro_rules! now {
    ($name:literal, $value:expr) => {
        Series {
            name: $name,
            value: |samples, at| samples.get(at).map($value),
        }
    };
}

macro_rules! in_window {
    ($name:literal, $value:expr) => {
        Series {
            name: $name,
            value: |samples, at| {
                let [before, now] = window(samples, at)?;
                Some(($value)(before, now))
            },
        }
    };
}

pub(super) const PANELS: [Panel; 8] = [
    Panel {
        title: "memory, MB",
        logarithmic: false,
        series: &[now!("RSS", |at: &Sample| at.rss_bytes as f64 / MB)],
    },
    Panel {
        title: "open files",
        logarithmic: false,
        series: &[now!("file descriptors", |at: &Sample| at.fds as f64)],
    },
    Panel {
        title: "disk, MB",
        logarithmic: false,
        series: &[
            now!("all", |at: &Sample| at.disk_bytes as f64 / MB),
            now!("segments", |at: &Sample| at.segment_bytes as f64 / MB),
        ],
    },
    Panel {
        title: "bytes written for each that was produced",
        logarithmic: false,
        series: &[
            in_window!("in a minute", |before: &Sample, now: &Sample| (now.written_bytes
                - before.written_bytes)
                as f64
                / (now.produced_bytes - before.produced_bytes).max(1) as f64),
            now!("since the start", |at: &Sample| at.written_bytes as f64
                / at.produced_bytes.max(1) as f64),
        ],
    },
    Panel {
        title: "produce to acknowledgement, ms",
        logarithmic: true,
        series: &[
            now!("p50", |at: &Sample| at.ack_p50_us / 1e3),
            now!("p99", |at: &Sample| at.ack_p99_us / 1e3),
        ],
    },
    Panel {
        title: "kept, of retention.bytes",
        logarithmic: false,
        series: &[
            now!("events, 8 × 64 MiB", |at: &Sample| at.kept[0]),
            now!("audit, 256 MiB", |at: &Sample| at.kept[1]),
        ],
    },
    Panel {
        title: "MB/s in a minute",
        logarithmic: false,
        series: &[
            in_window!("produced", |before: &Sample, now: &Sample| rate(
                before,
                now,
                |at| at.produced_bytes
            )),
            in_window!("followed", |before: &Sample, now: &Sample| rate(
                before,
                now,
                |at| at.followed_bytes
            )),
            in_window!("read again", |before: &Sample, now: &Sample| rate(
                before,
                now,
                |at| at.reread_bytes
            )),
        ],
    },
    Panel {
        title: "cores",
        logarithmic: true,
        series: &[
            in_window!("broker", |before: &Sample, now: &Sample| (now.cpu_s
                - before.cpu_s)
                / (now.seconds - before.seconds)),
            now!("load of the machine", |at: &Sample| at.load),
        ],
    },
];

/// The sample a window ago and this one.
fn window(samples: &[Sample], at: usize) -> Option<[&Sample; 2]> {
    let now = samples.get(at)?;
    let before = samples
        .get(..at)?
        .iter()
        .rfind(|before| now.seconds - before.seconds >= WINDOW_S - 1.0)?;
    Some([before, now])
}

fn rate(before: &Sample, now: &Sample, sum: fn(&Sample) -> u64) -> f64 {
    (sum(now) - sum(before)) as f64 / MB / (now.seconds - before.seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_compared_with_what_was_produced_in_the_same_minute() {
        let sample = |seconds, produced_bytes, written_bytes| Sample {
            seconds,
            produced_bytes,
            written_bytes,
            ..Sample::default()
        };
        let samples = [sample(0.0, 0, 50), sample(60.0, 100, 250), sample(90.0, 150, 400)];
        let panel = PANELS[3];
        assert_eq!(
            panel.series[0].points(&samples),
            [(1.0, 2.0), (1.5, 350.0 / 150.0)]
        );
        assert_eq!(panel.series[1].points(&samples)[1], (1.0, 2.5));
    }
}

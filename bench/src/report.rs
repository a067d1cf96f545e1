//! What a run found: a table for people, one JSON object for programs.

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use crate::process::{Disks, Memory, Usage};

/// One minute in nanoseconds, the longest latency that is kept apart from longer ones.
const LATENCY_NS_MAX: u64 = 60_000_000_000;
const SIGNIFICANT_DIGITS: u8 = 3;

pub(crate) fn latency_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, SIGNIFICANT_DIGITS)
        .expect("the bounds are constants in range")
}

#[derive(Debug, Default)]
pub(crate) struct Report {
    fields: Vec<(String, Value)>,
}

impl Report {
    pub(crate) fn put(&mut self, name: &str, value: impl Into<Value>) -> &mut Self {
        self.fields.push((name.to_owned(), value.into()));
        self
    }

    /// A figure, rounded to what a measurement carries.
    pub(crate) fn figure(&mut self, name: &str, value: f64) -> &mut Self {
        let digits = if value.abs() >= 1000.0 { 0 } else { 3 };
        let factor = 10f64.powi(digits);
        self.put(name, json!((value * factor).round() / factor))
    }

    /// Percentiles in microseconds of a histogram of nanoseconds.
    pub(crate) fn percentiles(&mut self, name: &str, histogram: &Histogram<u64>) -> &mut Self {
        for (suffix, quantile) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)] {
            let ns = histogram.value_at_quantile(quantile);
            self.figure(&format!("{name}_{suffix}_us"), ns as f64 / 1000.0);
        }
        self
    }

    /// What the server used for `records` records of `payload_bytes` together.
    pub(crate) fn server(&mut self, server: &ServerUsage, records: u64, payload_bytes: u64) -> &mut Self {
        let millions = records as f64 / 1e6;
        self.figure("server_cpu_s_per_million", server.usage.cpu_s() / millions);
        self.figure(
            "server_cpu_user_share",
            server.usage.cpu_user_s / server.usage.cpu_s(),
        );
        self.figure("server_rss_mb", server.memory.resident_bytes as f64 / 1e6);
        self.figure(
            "server_rss_peak_mb",
            server.memory.resident_peak_bytes as f64 / 1e6,
        );
        self.figure(
            "write_amplification",
            server.usage.written_bytes as f64 / payload_bytes as f64,
        );
        self
    }

    pub(crate) fn disks(&mut self, disks: &Disks, seconds: f64) -> &mut Self {
        self.figure("disk_writes_per_s", disks.writes as f64 / seconds);
        self.figure("disk_flushes_per_s", disks.flushes as f64 / seconds);
        self.figure(
            "disk_written_mb_per_s",
            disks.written_bytes as f64 / 1e6 / seconds,
        )
    }

    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        self.fields.iter().find(|(field, _)| field == name)?.1.as_f64()
    }

    pub(crate) fn print(&self, json: bool) {
        if json {
            println!(
                "{}",
                Value::Object(self.fields.iter().cloned().collect::<Map<_, _>>())
            );
            return;
        }
        for (name, value) in &self.fields {
            println!("{name:<28} {value}");
        }
    }
}

/// A server's use of the machine over one measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServerUsage {
    pub(crate) usage: Usage,
    pub(crate) memory: Memory,
}

//! What was found: tables for people, one JSON object for programs.

use std::io::{Write, stdout};

use anyhow::Result;
use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use super::Records;
use super::tally::{Measured, Unit};
use super::topic::Topic;
use crate::table::table;

const QUANTILES: [(&str, f64); 5] = [
    ("p50", 0.5),
    ("p90", 0.9),
    ("p99", 0.99),
    ("p99.9", 0.999),
    ("max", 1.0),
];

pub(super) struct Report {
    fields: Map<String, Value>,
    /// For people.
    tables: Vec<String>,
    latencies: Vec<Vec<String>>,
}

impl Report {
    pub(super) fn new(what: &str) -> Report {
        let mut report = Report {
            fields: Map::new(),
            tables: Vec::new(),
            latencies: Vec::new(),
        };
        report.put("bench", what);
        report
    }

    pub(super) fn topic(&mut self, topic: &Topic) {
        self.put("topic", topic.name.as_str());
        self.put("partitions", topic.partitions);
    }

    pub(super) fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.fields.insert(name.to_owned(), value.into());
    }

    pub(super) fn records(&mut self, records: &Records) {
        self.put("record_bytes", records.record_bytes);
        self.put("compression", records.compression.to_string());
        self.put("acks", records.acks);
    }

    pub(super) fn measured(&mut self, measured: &Measured, unit: Unit) {
        let unit = unit.name();
        let seconds = measured.seconds.max(f64::MIN_POSITIVE);
        let records_per_s = measured.records as f64 / seconds;
        let mb_per_s = measured.bytes as f64 / 1e6 / seconds;
        self.put(unit, measured.records);
        self.put("bytes", measured.bytes);
        self.put("seconds", rounded(measured.seconds));
        self.put(&format!("{unit}_per_s"), rounded(records_per_s));
        self.put("mb_per_s", rounded(mb_per_s));
        self.put("interrupted", measured.interrupted);
        let row = vec![
            measured.records.to_string(),
            format!("{:.1}", measured.seconds),
            format!("{records_per_s:.0}"),
            format!("{mb_per_s:.1}"),
        ];
        let per_s = format!("{unit}/s");
        let head = [unit, "seconds", &per_s, "MB/s"];
        self.tables.push(table(&head, &[row]));
    }

    /// Nothing where nothing took a time, as without acknowledgements.
    pub(super) fn latency(&mut self, name: &str, histogram: &Histogram<u64>) {
        if histogram.is_empty() {
            return;
        }
        let ms = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e6;
        let figures: Map<String, Value> = QUANTILES
            .iter()
            .map(|(name, quantile)| ((*name).to_owned(), rounded(ms(*quantile))))
            .collect();
        self.put(&format!("{name}_ms"), figures);
        let cells = QUANTILES
            .iter()
            .map(|(_, quantile)| format!("{:.3}", ms(*quantile)));
        let row = std::iter::once(name.replace('_', "-")).chain(cells);
        self.latencies.push(row.collect());
    }

    pub(super) fn print(mut self, as_json: bool) -> Result<()> {
        if as_json {
            writeln!(stdout(), "{}", Value::Object(self.fields))?;
            return Ok(());
        }
        if !self.latencies.is_empty() {
            let quantiles = QUANTILES.iter().map(|(name, _)| *name);
            let head: Vec<&str> = std::iter::once("latency (ms)").chain(quantiles).collect();
            self.tables.push(table(&head, &self.latencies));
        }
        write!(stdout(), "{}", self.tables.join("\n"))?;
        Ok(())
    }
}

/// To what a measurement carries.
fn rounded(value: f64) -> Value {
    let digits = if value.abs() >= 1000.0 { 0 } else { 3 };
    let factor = 10_f64.powi(digits);
    json!((value * factor).round() / factor)
}

//! Prometheus' text format, version 0.0.4: <https://prometheus.io/docs/instrumenting/exposition_formats/>.
//!
//! Names begin with `firth_` and end with their unit; counters end with `_total`.

use std::fmt::Write;

use firth_broker::Broker;
use firth_kafka::Metrics as KafkaMetrics;
use firth_log::file::DiskUsage;
use firth_log::{Durability, Stats};

use crate::Admin;

/// Metrics as they are now.
pub(crate) fn render(admin: &Admin) -> String {
    let mut text = Text::default();
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    text.family("firth_build_info", Kind::Gauge, "The version that runs.")
        .sample(&version, 1);
    let durability = match admin.durability {
        Durability::Disk => "disk",
        Durability::Os => "os",
    };
    text.family(
        "firth_durability_info",
        Kind::Gauge,
        "When a record is acknowledged: disk after the flush, os when the operating system has it.",
    )
    .sample(&[("durability", durability)], 1);
    text.gauge(
        "firth_healthy",
        "1 unless the engine has failed.",
        u64::from(admin.health.failure().is_none()),
    );
    render_broker(&mut text, &admin.broker);
    let stats = admin.broker.engine_stats();
    render_engine(&mut text, &stats);
    render_scrub(&mut text, &stats);
    if let Some(disk) = admin.engine.disk_usage() {
        render_disk(&mut text, &disk);
    }
    if let Some(kafka) = &admin.kafka {
        render_kafka(&mut text, kafka);
        render_groups(&mut text, kafka);
    }
    text.text
}

fn render_broker(text: &mut Text, broker: &Broker) {
    text.gauge("firth_topics", "Topics that exist.", broker.topic_count() as u64);
    let memory = broker.memory();
    let reserved = memory.bytes_reserved() as u64;
    text.gauge(
        "firth_request_memory_bytes",
        "Memory that requests in flight hold.",
        reserved,
    );
    let budget = memory.bytes_max() as u64;
    text.gauge(
        "firth_request_memory_max_bytes",
        "Memory that requests in flight may hold.",
        budget,
    );
    for (name, help, value) in broker.counters().all() {
        text.counter(&format!("firth_{name}_total"), help, value);
    }
    render_quotas(text, broker);
}

fn render_quotas(text: &mut Text, broker: &Broker) {
    let mut throttled = text.family(
        "firth_quota_throttled_total",
        Kind::Counter,
        "Requests and connections that were made to wait, by the quota that was exceeded.",
    );
    for (key, count, _) in broker.quotas().waits() {
        throttled.sample(&[("quota", key.name())], count);
    }
    let mut waits = text.family(
        "firth_quota_throttle_milliseconds_total",
        Kind::Counter,
        "How long they were made to wait, together.",
    );
    for (key, _, wait) in broker.quotas().waits() {
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        waits.sample(&[("quota", key.name())], wait_ms);
    }
}

fn render_segments(text: &mut Text, stats: &Stats) {
    text.counter(
        "firth_log_segments_written_total",
        "Segments written.",
        stats.segments_written,
    );
    text.counter(
        "firth_log_segment_written_bytes_total",
        "Bytes of segments written.",
        stats.segment_written_bytes,
    );
    text.counter(
        "firth_log_rewrites_total",
        "Segments written that are made of others: merged, or what was left of them.",
        stats.rewrites,
    );
    text.counter(
        "firth_log_rewritten_bytes_total",
        "Bytes of segments written that are made of others.",
        stats.rewritten_bytes,
    );
    text.gauge("firth_log_segments", "Segments on disk.", stats.segments);
    text.gauge(
        "firth_log_segment_bytes",
        "Bytes of segments on disk.",
        stats.segment_bytes,
    );
}

fn render_reads(text: &mut Text, stats: &Stats) {
    let mut reads = text.family(
        "firth_log_reads_total",
        Kind::Counter,
        "Reads of logs by where all of it came from: blocks in memory, the page cache, or perhaps the disk.",
    );
    let from = [
        ("memory", stats.tail_reads),
        ("page_cache", stats.cached_reads),
        ("disk", stats.disk_reads),
    ];
    for (source, count) in from {
        reads.sample(&[("source", source)], count);
    }
}

fn render_engine(text: &mut Text, stats: &Stats) {
    text.counter(
        "firth_log_batches_total",
        "Batches appended to logs.",
        stats.batches,
    );
    text.counter(
        "firth_log_batch_bytes_total",
        "Bytes of batches appended to logs.",
        stats.batch_bytes,
    );
    text.counter(
        "firth_log_commits_total",
        "Commit blocks written to the WAL.",
        stats.commits,
    );
    text.counter(
        "firth_log_wal_written_bytes_total",
        "Bytes of commit blocks written to the WAL, padding included.",
        stats.wal_written_bytes,
    );
    render_segments(text, stats);
    render_reads(text, stats);
    text.gauge(
        "firth_log_unsealed_bytes",
        "Bytes of batches that no segment holds yet.",
        stats.unsealed_bytes,
    );
    text.gauge(
        "firth_log_cached_bytes",
        "Bytes of committed blocks in memory.",
        stats.cached_bytes,
    );
    text.gauge(
        "firth_log_wal_bytes",
        "Bytes of WAL files on disk.",
        stats.wal_bytes,
    );
    text.gauge("firth_log_logs", "Logs that exist.", stats.logs);
    text.counter(
        "firth_log_quarantined_total",
        "Stretches of logs that were acknowledged and found damaged.",
        stats.quarantined,
    );
    text.gauge(
        "firth_log_disk_full",
        "1 while producers are refused for a full disk.",
        stats.disk_full,
    );
    text.gauge("firth_log_failed", "1 after a flush has failed.", stats.failed);
}

fn render_scrub(text: &mut Text, stats: &Stats) {
    text.counter(
        "firth_scrub_read_bytes_total",
        "Bytes of segments that the scrub read.",
        stats.scrub_bytes,
    );
    text.counter(
        "firth_scrub_segments_total",
        "Segments that the scrub verified.",
        stats.scrub_segments,
    );
    text.counter(
        "firth_scrub_damages_total",
        "Damages that the scrub found and nobody knew before.",
        stats.scrub_damages,
    );
    text.gauge(
        "firth_scrub_completed_timestamp_seconds",
        "When the scrub was through with all segments last; 0 if it was not since the start.",
        stats.scrub_completed_s,
    );
}

/// The alarm that is `firth_log_disk_full` belongs to this directory.
fn render_disk(text: &mut Text, disk: &DiskUsage) {
    for (name, help, value) in [
        (
            "firth_disk_total_bytes",
            "Size of the file system that holds the data directory.",
            disk.total_bytes,
        ),
        (
            "firth_disk_free_bytes",
            "Bytes of it that are free.",
            disk.free_bytes,
        ),
        (
            "firth_disk_needed_bytes",
            "Bytes that have to be free for producers to be taken.",
            disk.needed_bytes,
        ),
    ] {
        let mut family = text.family(name, Kind::Gauge, help);
        family.sample(&[("directory", &disk.directory)], value);
    }
}

fn render_kafka(text: &mut Text, kafka: &KafkaMetrics) {
    text.gauge(
        "firth_kafka_connections",
        "Open connections.",
        kafka.connections_open(),
    );
    text.counter(
        "firth_kafka_connections_accepted_total",
        "Connections accepted.",
        kafka.connections_accepted(),
    );
    text.counter(
        "firth_kafka_connections_failed_total",
        "Connections closed for a reason that was logged.",
        kafka.connections_failed(),
    );
    text.counter(
        "firth_kafka_accept_errors_total",
        "Connections that could not be accepted.",
        kafka.accept_errors(),
    );
    text.counter(
        "firth_kafka_received_bytes_total",
        "Bytes received from clients.",
        kafka.received_bytes(),
    );
    text.counter(
        "firth_kafka_sent_bytes_total",
        "Bytes sent to clients.",
        kafka.sent_bytes(),
    );
    text.counter(
        "firth_kafka_fetch_looks_total",
        "Partitions that Fetch looked at. It should grow with what is produced, not with what is subscribed to.",
        kafka.fetch_looks(),
    );
    let mut family = |name, help, value: fn(&firth_kafka::ApiMetrics) -> u64| {
        let mut family = text.family(name, Kind::Counter, help);
        for (api_key, metrics) in kafka.apis() {
            family.sample(&[("api", &format!("{api_key:?}"))], value(metrics));
        }
    };
    family(
        "firth_kafka_requests_total",
        "Requests.",
        firth_kafka::ApiMetrics::requests,
    );
    family(
        "firth_kafka_request_errors_total",
        "Responses with an error.",
        firth_kafka::ApiMetrics::errors,
    );
    family(
        "firth_kafka_request_bytes_total",
        "Bytes of requests.",
        firth_kafka::ApiMetrics::request_bytes,
    );
}

fn render_groups(text: &mut Text, kafka: &KafkaMetrics) {
    text.gauge("firth_groups", "Consumer groups that exist.", kafka.groups());
    text.gauge(
        "firth_group_memory_bytes",
        "Memory that members and offsets of groups take.",
        kafka.group_bytes(),
    );
    text.counter(
        "firth_group_offsets_committed_total",
        "Offsets that groups committed.",
        kafka.offsets_committed(),
    );
    text.counter(
        "firth_group_offsets_expired_total",
        "Offsets deleted because nobody needed them for their time of retention, or their topic was gone.",
        kafka.offsets_expired(),
    );
    let mut rebalances = text.family(
        "firth_group_rebalances_total",
        Kind::Counter,
        "Rebalances of groups, by what brought them about.",
    );
    for (cause, count) in kafka.rebalances() {
        rebalances.sample(&[("cause", cause.name())], count);
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

#[derive(Default)]
struct Text {
    text: String,
}

/// The samples of one metric, which must follow each other.
struct Family<'a> {
    text: &'a mut String,
    name: &'a str,
}

impl Text {
    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, Kind::Counter, help).sample(&[], value);
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, Kind::Gauge, help).sample(&[], value);
    }

    fn family<'a>(&'a mut self, name: &'a str, kind: Kind, help: &str) -> Family<'a> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        self.text
            .push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        Family {
            text: &mut self.text,
            name,
        }
    }
}

impl Family<'_> {
    fn sample(&mut self, labels: &[(&str, &str)], value: u64) {
        self.text.push_str(self.name);
        if !labels.is_empty() {
            let labels: Vec<_> = labels
                .iter()
                .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
                .collect();
            let _ = write!(self.text, "{{{}}}", labels.join(","));
        }
        let _ = writeln!(self.text, " {value}");
    }
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', r"\\")
        .replace('"', r#"\""#)
        .replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_written_as_prometheus_reads_it() {
        let mut text = Text::default();
        text.counter("firth_a_total", "What a is.", 7);
        let mut family = text.family("firth_b", Kind::Gauge, "What b is.");
        family.sample(&[("x", "1"), ("y", "z\n\"\\")], 0);
        family.sample(&[("x", "2"), ("y", "z")], u64::MAX);
        assert_eq!(
            text.text,
            "# HELP firth_a_total What a is.\n\
             # TYPE firth_a_total counter\n\
             firth_a_total 7\n\
             # HELP firth_b What b is.\n\
             # TYPE firth_b gauge\n\
             firth_b{x=\"1\",y=\"z\\n\\\"\\\\\"} 0\n\
             firth_b{x=\"2\",y=\"z\"} 18446744073709551615\n"
        );
    }
}

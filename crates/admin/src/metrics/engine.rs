//! What broker and engine did, and what they hold.

use firth_broker::Broker;
use firth_log::Stats;
use firth_log::file::DiskUsage;

use super::text::{Kind, Text};
use crate::Admin;

pub(super) fn render(text: &mut Text<'_>, admin: &Admin) {
    render_broker(text, &admin.broker);
    let stats = admin.broker.engine_stats();
    render_engine(text, &stats);
    render_scrub(text, &stats);
    if let Some(disk) = admin.engine.disk_usage() {
        render_disk(text, &disk);
    }
}

fn render_broker(text: &mut Text<'_>, broker: &Broker) {
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

fn render_quotas(text: &mut Text<'_>, broker: &Broker) {
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

fn render_segments(text: &mut Text<'_>, stats: &Stats) {
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

fn render_reads(text: &mut Text<'_>, stats: &Stats) {
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

fn render_engine(text: &mut Text<'_>, stats: &Stats) {
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

fn render_scrub(text: &mut Text<'_>, stats: &Stats) {
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
fn render_disk(text: &mut Text<'_>, disk: &DiskUsage) {
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

//! What the Kafka listener did.

use firth_kafka::{ApiMetrics, Latency, Metrics};

use super::text::{Kind, Text};

/// Of a second. Labels, so that what is written is exact.
const BOUNDS_S: [&str; Latency::BOUNDS_US.len()] = [
    "0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5",
    "1", "2.5", "10",
];

pub(super) fn render(text: &mut Text<'_>, kafka: &Metrics) {
    render_connections(text, kafka);
    render_apis(text, kafka);
    render_errors(text, kafka);
    render_latency(text, kafka);
    render_groups(text, kafka);
}

fn render_connections(text: &mut Text<'_>, kafka: &Metrics) {
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
}

fn render_apis(text: &mut Text<'_>, kafka: &Metrics) {
    let mut family = |name, help, value: fn(&ApiMetrics) -> u64| {
        let mut family = text.family(name, Kind::Counter, help);
        for (api_key, metrics) in kafka.apis() {
            family.sample(&[("api", api_key.name())], value(metrics));
        }
    };
    family("firth_kafka_requests_total", "Requests.", ApiMetrics::requests);
    family(
        "firth_kafka_request_bytes_total",
        "Bytes of requests.",
        ApiMetrics::request_bytes,
    );
    family(
        "firth_kafka_response_bytes_total",
        "Bytes of responses.",
        ApiMetrics::response_bytes,
    );
}

fn render_errors(text: &mut Text<'_>, kafka: &Metrics) {
    let mut family = text.family(
        "firth_kafka_request_errors_total",
        Kind::Counter,
        "Errors that responses named, each partition's for itself. Some are the protocol's way to go on, as MEMBER_ID_REQUIRED is.",
    );
    for (api_key, metrics) in kafka.apis() {
        for (code, count) in metrics.errors() {
            family.sample(&[("api", api_key.name()), ("error", code.name())], count);
        }
    }
}

/// APIs that nobody uses are left out: each takes as many lines as there are bounds.
fn render_latency(text: &mut Text<'_>, kafka: &Metrics) {
    let mut family = text.family(
        "firth_kafka_request_seconds",
        Kind::Histogram,
        "Time from when a request was taken up until its answer could be sent. Fetch waits for records, JoinGroup for members, \
         Produce until it is durable.",
    );
    for (api_key, metrics) in kafka.apis() {
        let (within, all) = metrics.latency().cumulative();
        if all == 0 {
            continue;
        }
        let api = ("api", api_key.name());
        for (bound, count) in BOUNDS_S.iter().zip(within) {
            family.sample_of("_bucket", &[api, ("le", bound)], count);
        }
        family.sample_of("_bucket", &[api, ("le", "+Inf")], all);
        family.sample_of("_sum", &[api], metrics.latency().sum().as_secs_f64());
        family.sample_of("_count", &[api], all);
    }
}

fn render_groups(text: &mut Text<'_>, kafka: &Metrics) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_written_as_they_are() {
        for (text, us) in BOUNDS_S.iter().zip(Latency::BOUNDS_US) {
            let seconds: f64 = text.parse().unwrap();
            assert_eq!((seconds * 1_000_000.0).round() as u64, us);
        }
    }
}

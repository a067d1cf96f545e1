//! Topics and groups as Prometheus sees them: under the names of kafka_exporter, so that what was made for it goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use firth_kafka_codec::{
    ErrorCode, OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};

use crate::broker::{Broker, Directory};
use crate::crash::client::Client;

/// All names that kafka_exporter 1.9 gives topics and groups, with their labels.
const EXPORTER: &[(&str, &[&str])] = &[
    ("kafka_brokers", &[]),
    ("kafka_broker_info", &["id", "address"]),
    ("kafka_topic_partitions", &["topic"]),
    ("kafka_topic_partition_current_offset", &["topic", "partition"]),
    ("kafka_topic_partition_oldest_offset", &["topic", "partition"]),
    ("kafka_topic_partition_in_sync_replica", &["topic", "partition"]),
    ("kafka_topic_partition_leader", &["topic", "partition"]),
    (
        "kafka_topic_partition_leader_is_preferred",
        &["topic", "partition"],
    ),
    ("kafka_topic_partition_replicas", &["topic", "partition"]),
    (
        "kafka_topic_partition_under_replicated_partition",
        &["topic", "partition"],
    ),
    ("kafka_consumergroup_members", &["consumergroup"]),
    (
        "kafka_consumergroup_current_offset",
        &["consumergroup", "topic", "partition"],
    ),
    (
        "kafka_consumergroup_current_offset_sum",
        &["consumergroup", "topic"],
    ),
    (
        "kafka_consumergroup_lag",
        &["consumergroup", "topic", "partition"],
    ),
    ("kafka_consumergroup_lag_sum", &["consumergroup", "topic"]),
];

/// What Grafana's dashboard 7589 asks: its panels, then its variables.
const DASHBOARD_7589: &[&str] = &[
    r#"sum(rate(kafka_topic_partition_current_offset{instance=~'$instance', topic=~"$topic"}[1m])) by (topic)"#,
    r#"sum(kafka_consumergroup_lag{instance="$instance",topic=~"$topic"}) by (consumergroup, topic)"#,
    r#"sum(delta(kafka_topic_partition_current_offset{instance=~'$instance', topic=~"$topic"}[5m])/5) by (topic)"#,
    r#"sum(delta(kafka_consumergroup_current_offset{instance=~'$instance',topic=~"$topic"}[5m])/5) by (consumergroup, topic)"#,
    r#"sum by(topic) (kafka_topic_partitions{instance=~"$instance",topic=~"$topic"})"#,
    r#"label_values(kafka_consumergroup_current_offset, job)"#,
    r#"label_values(kafka_consumergroup_current_offset{job=~"$job"}, instance)"#,
    r#"label_values(kafka_topic_partition_current_offset{instance='$instance',topic!='__consumer_offsets',topic!='--kafka'}, topic)"#,
];

/// Words of the query language, and the labels that Prometheus adds itself.
const NOT_OURS: &[&str] = &["sum", "rate", "delta", "by", "label_values", "instance", "job"];

type Labels = BTreeMap<String, String>;

/// A scrape: for each name its samples.
struct Scrape(BTreeMap<String, Vec<(Labels, f64)>>);

impl Scrape {
    fn of(broker: &Broker, path: &str) -> Scrape {
        let answer = broker.get(path);
        let (head, text) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(" 200 "), "{answer}");
        let mut samples: BTreeMap<String, Vec<(Labels, f64)>> = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels = labels.strip_suffix('}').unwrap().split_terminator("\",");
            let labels = labels.map(|label| {
                let (name, value) = label.split_once("=\"").unwrap();
                (name.to_owned(), value.trim_end_matches('"').to_owned())
            });
            let sample = (labels.collect(), value.parse().unwrap());
            samples.entry(name.to_owned()).or_default().push(sample);
        }
        Scrape(samples)
    }

    fn samples(&self, name: &str) -> &[(Labels, f64)] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// The value of the one sample that has these labels.
    fn value(&self, name: &str, wanted: &[(&str, &str)]) -> f64 {
        let has = |labels: &Labels| {
            let mut wanted = wanted.iter();
            wanted.all(|(name, value)| labels.get(*name).is_some_and(|found| found == value))
        };
        let found: Vec<_> = self
            .samples(name)
            .iter()
            .filter(|(labels, _)| has(labels))
            .collect();
        assert_eq!(found.len(), 1, "{name} {wanted:?}: {found:?}");
        found[0].1
    }
}

fn create(client: &mut Client, name: &str, partitions: i32) {
    assert_eq!(client.create(name, partitions).unwrap(), ErrorCode::None);
}

fn commit(client: &mut Client, group: &str, topic: &str, offsets: &[(i32, i64)]) {
    let partition = |(index, offset): &(i32, i64)| OffsetCommitRequestPartition {
        partition_index: *index,
        committed_offset: *offset,
        ..Default::default()
    };
    let request = OffsetCommitRequest {
        group_id: group.into(),
        generation_id_or_member_epoch: -1,
        topics: vec![OffsetCommitRequestTopic {
            name: topic.into(),
            partitions: offsets.iter().map(partition).collect(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let committed = client.call(9, &request).unwrap();
    let partitions = committed.topics.iter().flat_map(|topic| &topic.partitions);
    let codes: Vec<_> = partitions.map(|partition| partition.error_code).collect();
    assert_eq!(codes, vec![ErrorCode::None; offsets.len()]);
}

/// Topics with records, and a group that has read some.
fn with_a_group(broker: &Broker) {
    let mut client = Client::connect(broker.kafka()).unwrap();
    create(&mut client, "orders", 2);
    create(&mut client, "other", 1);
    broker.succeed(&["produce", "orders", "--partition", "0"], "a\nb\nc\n");
    commit(&mut client, "readers", "orders", &[(0, 1)]);
    commit(&mut client, "beyond", "other", &[(0, 5)]);
}

#[test]
fn names_labels_and_values_are_those_of_kafka_exporter() {
    let directory = Directory::new();
    let broker = Broker::start(directory.path());
    with_a_group(&broker);
    let scrape = Scrape::of(&broker, "/metrics");
    for (name, labels) in EXPORTER {
        let samples = scrape.samples(name);
        assert!(!samples.is_empty(), "{name} is missing");
        for (found, _) in samples {
            let found: BTreeSet<&str> = found.keys().map(String::as_str).collect();
            assert_eq!(found, labels.iter().copied().collect(), "{name}");
        }
    }
    let kafka: BTreeSet<&str> = scrape
        .0
        .keys()
        .map(String::as_str)
        .filter(|name| name.starts_with("kafka_"))
        .collect();
    assert_eq!(
        kafka,
        EXPORTER.iter().map(|(name, _)| *name).collect(),
        "no name beside them"
    );

    assert_eq!(
        scrape.value("kafka_broker_info", &[("address", &broker.kafka().to_string())]),
        1.0
    );
    let (first, second) = (("partition", "0"), ("partition", "1"));
    let topic = ("topic", "orders");
    assert_eq!(scrape.value("kafka_topic_partitions", &[topic]), 2.0);
    assert_eq!(
        scrape.value("kafka_topic_partition_current_offset", &[topic, first]),
        3.0
    );
    assert_eq!(
        scrape.value("kafka_topic_partition_oldest_offset", &[topic, first]),
        0.0
    );
    assert_eq!(
        scrape.value("kafka_topic_partition_leader", &[topic, second]),
        1.0
    );
    let group = ("consumergroup", "readers");
    assert_eq!(scrape.value("kafka_consumergroup_members", &[group]), 0.0);
    assert_eq!(
        scrape.value("kafka_consumergroup_current_offset", &[group, topic, first]),
        1.0
    );
    assert_eq!(
        scrape.value("kafka_consumergroup_lag", &[group, topic, first]),
        2.0
    );
    assert_eq!(
        scrape.value("kafka_consumergroup_lag", &[group, topic, second]),
        -1.0
    );
    assert_eq!(
        scrape.value("kafka_consumergroup_current_offset_sum", &[group, topic]),
        1.0
    );
    assert_eq!(scrape.value("kafka_consumergroup_lag_sum", &[group, topic]), 2.0);
    assert_eq!(
        scrape.value("kafka_consumergroup_lag", &[("consumergroup", "beyond")]),
        0.0
    );
}

/// The metric and the labels that a query names.
fn named(query: &str) -> (String, BTreeSet<String>) {
    let mut without_strings = String::new();
    let mut quote = None;
    for letter in query.chars() {
        match (quote, letter) {
            (None, '\'' | '"') => quote = Some(letter),
            (Some(open), _) if open == letter => quote = None,
            (Some(_), _) => {}
            (None, _) => without_strings.push(letter),
        }
    }
    let words = without_strings.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    let words = words.filter(|word| word.starts_with(|letter: char| letter.is_alphabetic()));
    let words: Vec<&str> = words
        .filter(|word| !NOT_OURS.contains(word) && *word != "m")
        .collect();
    let (metric, labels): (Vec<&str>, Vec<&str>) =
        words.into_iter().partition(|word| word.starts_with("kafka_"));
    assert_eq!(metric.len(), 1, "{query}");
    (
        metric[0].to_owned(),
        labels.into_iter().map(str::to_owned).collect(),
    )
}

#[test]
fn grafanas_dashboard_7589_finds_what_it_asks_for() {
    let directory = Directory::new();
    let broker = Broker::start(directory.path());
    with_a_group(&broker);
    let scrape = Scrape::of(&broker, "/metrics");
    for query in DASHBOARD_7589 {
        let (metric, labels) = named(query);
        let mut samples = scrape.samples(&metric).iter();
        let has_all = |found: &Labels| labels.iter().all(|label| found.contains_key(label));
        assert!(
            samples.any(|(found, _)| has_all(found)),
            "{query}: {metric} {labels:?}"
        );
    }
}

#[test]
fn a_scrape_can_ask_for_less() {
    let directory = Directory::new();
    let broker = Broker::start(directory.path());
    with_a_group(&broker);
    let scrape = Scrape::of(&broker, "/metrics?topic=ord*&group=read*&partitions=false");
    assert_eq!(scrape.samples("kafka_topic_partitions").len(), 1);
    assert_eq!(scrape.value("kafka_consumergroup_lag_sum", &[]), 2.0);
    assert_eq!(scrape.samples("kafka_consumergroup_members").len(), 1);
    let with_partition = |labels: &Labels| labels.contains_key("partition");
    assert!(
        !scrape
            .0
            .values()
            .flatten()
            .any(|(labels, _)| with_partition(labels))
    );
    let refused = broker.get("/metrics?topics=orders");
    assert!(
        refused.contains(" 400 ") && refused.contains("topic=PATTERN"),
        "{refused}"
    );
}

#[test]
fn requests_are_counted_with_their_errors_and_their_time() {
    let directory = Directory::new();
    let broker = Broker::start(directory.path());
    with_a_group(&broker);
    let missing = broker.command(&["topic", "delete", "missing"], "");
    assert!(!missing.status.success());
    let scrape = Scrape::of(&broker, "/metrics");
    let produce = ("api", "Produce");
    let requests = scrape.value("firth_kafka_requests_total", &[produce]);
    assert!(requests >= 1.0);
    assert!(scrape.value("firth_kafka_response_bytes_total", &[produce]) > 0.0);
    assert_eq!(
        scrape.value("firth_kafka_request_seconds_count", &[produce]),
        requests
    );
    assert_eq!(
        scrape.value("firth_kafka_request_seconds_bucket", &[produce, ("le", "+Inf")]),
        requests
    );
    assert!(scrape.value("firth_kafka_request_seconds_sum", &[produce]) > 0.0);
    let within: Vec<f64> = scrape
        .samples("firth_kafka_request_seconds_bucket")
        .iter()
        .map(|(_, count)| *count)
        .collect();
    assert!(within.chunks(16).all(|of_api| of_api.is_sorted()));
    let errors = scrape.samples("firth_kafka_request_errors_total");
    assert!(
        errors
            .iter()
            .any(|(labels, _)| labels["error"] == "UNKNOWN_TOPIC_OR_PARTITION"),
        "{errors:?}"
    );
}

fn peak_bytes(broker: &Broker) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", broker.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

#[test]
fn a_scrape_of_ten_thousand_partitions_takes_little_memory() {
    const PARTITIONS: i32 = 10_000;
    let directory = Directory::new();
    let broker = Broker::start(directory.path());
    let mut client = Client::connect(broker.kafka()).unwrap();
    create(&mut client, "wide", PARTITIONS);
    for page in (0..PARTITIONS).collect::<Vec<_>>().chunks(1000) {
        let offsets: Vec<_> = page.iter().map(|partition| (*partition, 0)).collect();
        commit(&mut client, "readers", "wide", &offsets);
    }
    // What is new about the first scrape does not count.
    Scrape::of(&broker, "/metrics?partitions=false");
    // The highest mark of the resident set begins anew.
    fs::write(format!("/proc/{}/clear_refs", broker.pid()), "5").unwrap();
    let before = peak_bytes(&broker);
    let text = broker.get("/metrics");
    let grown = peak_bytes(&broker).saturating_sub(before);
    let lines = text
        .lines()
        .filter(|line| line.contains("topic=\"wide\""))
        .count();
    assert_eq!(lines, 9 * PARTITIONS as usize + 3);
    assert!(
        grown < text.len() / 2,
        "{grown} bytes more for {} bytes of text",
        text.len()
    );
}

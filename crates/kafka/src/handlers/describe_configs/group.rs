//! Settings of one group, as Apache Kafka 4.4 has them. All are of groups of KIP-848, share groups and Streams' groups, none of which
//! is served, so they are what they are by default and cannot be set.

use firth_kafka_codec::{ByteStr, SOURCE_DEFAULT, TYPE_BOOLEAN, TYPE_INT, TYPE_LIST, TYPE_STRING};

use super::Config;

const NOT_SERVED: &str = "groups of this kind are not served";

/// Name, type, default, and what the broker calls what groups get that set nothing.
const SETTINGS: [(&str, i8, &str, &str); 21] = [
    (
        "consumer.assignment.interval.ms",
        TYPE_INT,
        "1000",
        "group.consumer.assignment.interval.ms",
    ),
    (
        "consumer.heartbeat.interval.ms",
        TYPE_INT,
        "5000",
        "group.consumer.heartbeat.interval.ms",
    ),
    (
        "consumer.session.timeout.ms",
        TYPE_INT,
        "45000",
        "group.consumer.session.timeout.ms",
    ),
    (
        "errors.deadletterqueue.copy.record.enable",
        TYPE_BOOLEAN,
        "false",
        "errors.deadletterqueue.copy.record.enable",
    ),
    (
        "errors.deadletterqueue.topic.name",
        TYPE_STRING,
        "",
        "errors.deadletterqueue.topic.name",
    ),
    (
        "share.assignment.interval.ms",
        TYPE_INT,
        "1000",
        "group.share.assignment.interval.ms",
    ),
    (
        "share.auto.offset.reset",
        TYPE_STRING,
        "latest",
        "share.auto.offset.reset",
    ),
    (
        "share.delivery.count.limit",
        TYPE_INT,
        "5",
        "group.share.delivery.count.limit",
    ),
    (
        "share.heartbeat.interval.ms",
        TYPE_INT,
        "5000",
        "group.share.heartbeat.interval.ms",
    ),
    (
        "share.isolation.level",
        TYPE_STRING,
        "read_uncommitted",
        "share.isolation.level",
    ),
    (
        "share.partition.max.record.locks",
        TYPE_INT,
        "2000",
        "group.share.partition.max.record.locks",
    ),
    (
        "share.record.lock.duration.ms",
        TYPE_INT,
        "30000",
        "group.share.record.lock.duration.ms",
    ),
    (
        "share.renew.acknowledge.enable",
        TYPE_BOOLEAN,
        "true",
        "share.renew.acknowledge.enable",
    ),
    (
        "share.session.timeout.ms",
        TYPE_INT,
        "45000",
        "group.share.session.timeout.ms",
    ),
    (
        "streams.assignment.interval.ms",
        TYPE_INT,
        "1000",
        "group.streams.assignment.interval.ms",
    ),
    (
        "streams.assignor.name",
        TYPE_STRING,
        "sticky",
        "streams.assignor.name",
    ),
    (
        "streams.heartbeat.interval.ms",
        TYPE_INT,
        "5000",
        "group.streams.heartbeat.interval.ms",
    ),
    (
        "streams.initial.rebalance.delay.ms",
        TYPE_INT,
        "3000",
        "group.streams.initial.rebalance.delay.ms",
    ),
    (
        "streams.num.standby.replicas",
        TYPE_INT,
        "0",
        "group.streams.num.standby.replicas",
    ),
    (
        "streams.rack.aware.assignment.tags",
        TYPE_LIST,
        "",
        "streams.rack.aware.assignment.tags",
    ),
    (
        "streams.session.timeout.ms",
        TYPE_INT,
        "45000",
        "group.streams.session.timeout.ms",
    ),
];

pub(super) fn configs() -> Vec<Config> {
    let config = |(name, config_type, default, of_broker): (&'static str, i8, &'static str, &'static str)| {
        let value = Some(ByteStr::from_static(default));
        Config {
            name,
            value: value.clone(),
            source: SOURCE_DEFAULT,
            read_only: true,
            config_type,
            synonyms: vec![(of_broker, value, SOURCE_DEFAULT)],
            documentation: "A setting of Apache Kafka's groups.",
            without_effect: Some(NOT_SERVED),
        }
    };
    SETTINGS.into_iter().map(config).collect()
}

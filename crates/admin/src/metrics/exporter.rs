//! Topics and groups under the names and with the labels of kafka_exporter (<https://github.com/danielqsj/kafka_exporter>),
//! so that dashboards and alerts that were made for it go on. Grafana's 7589 is its own.
//!
//! The samples of a metric have to follow each other, so all topics, and all groups, are gone through once for each metric. What
//! is looked at is one partition, or a page of one group's offsets, at a time: nothing is locked for longer, and a scrape
//! takes no more memory than the lists of topics and groups.

use std::io;
use std::sync::Arc;

use firth_broker::{Broker, Topic, TopicId};
use firth_kafka::ObservedGroup;

use super::selection::Selection;
use super::text::{Family, Kind, Text};
use crate::Kafka;

/// Offsets of a group that are looked at under one lock.
const PAGE: usize = 1000;

/// What one scrape tells of.
pub(super) struct Exporter<'a> {
    broker: &'a Broker,
    kafka: &'a Kafka,
    selection: &'a Selection,
    topics: Arc<[Arc<Topic>]>,
    groups: Vec<ObservedGroup>,
}

/// What is said of a partition of which a group has committed an offset.
type OfCommitted<'a> = &'a dyn Fn(&Topic, i32, i64) -> Option<i64>;

/// What kafka_exporter says of a partition without a committed offset where others have one, so that one can be alerted to it.
const NOT_COMMITTED: i64 = -1;

impl<'a> Exporter<'a> {
    pub(super) fn new(broker: &'a Broker, kafka: &'a Kafka, selection: &'a Selection) -> Exporter<'a> {
        Exporter {
            topics: broker.topics(),
            groups: kafka.server.groups(),
            broker,
            kafka,
            selection,
        }
    }

    pub(super) fn render(&self, text: &mut Text<'_>) -> io::Result<()> {
        text.gauge("kafka_brokers", "Number of Brokers in the Kafka Cluster.", 1);
        let node_id = self.kafka.server.node_id();
        let labels = [("id", &*node_id.to_string()), ("address", &*self.kafka.address)];
        text.family(
            "kafka_broker_info",
            Kind::Gauge,
            "Information about the Kafka Broker.",
        )
        .sample(&labels, 1);
        self.render_topics(text)?;
        if self.selection.has_partitions() {
            self.render_partitions(text)?;
        }
        self.render_groups(text)
    }

    fn topics(&self) -> impl Iterator<Item = &Topic> {
        let topics = self.topics.iter().map(|topic| &**topic);
        topics.filter(|topic| self.selection.has_topic(&topic.name))
    }

    fn groups(&self) -> impl Iterator<Item = &ObservedGroup> {
        let groups = self.groups.iter();
        groups.filter(|group| self.selection.has_group(group.id()))
    }

    fn render_topics(&self, text: &mut Text<'_>) -> io::Result<()> {
        let mut family = text.family(
            "kafka_topic_partitions",
            Kind::Gauge,
            "Number of partitions for this Topic",
        );
        for topic in self.topics() {
            family.sample(&[("topic", &topic.name)], topic.partitions.len());
            family.pass()?;
        }
        Ok(())
    }

    /// There is one broker, so a partition has one replica, which leads and is in sync.
    fn render_partitions(&self, text: &mut Text<'_>) -> io::Result<()> {
        let node_id = i64::from(self.kafka.server.node_id());
        let bounds = |topic: &Topic, partition| self.broker.bounds(topic, partition);
        self.partitions(
            text.family(
                "kafka_topic_partition_current_offset",
                Kind::Gauge,
                "Current Offset of a Broker at Topic/Partition",
            ),
            |topic, partition| bounds(topic, partition).map(|bounds| bounds.end),
        )?;
        self.partitions(
            text.family(
                "kafka_topic_partition_oldest_offset",
                Kind::Gauge,
                "Oldest Offset of a Broker at Topic/Partition",
            ),
            |topic, partition| bounds(topic, partition).map(|bounds| bounds.start),
        )?;
        for (name, help, value) in [
            (
                "kafka_topic_partition_leader",
                "Leader Broker ID of this Topic/Partition",
                node_id,
            ),
            (
                "kafka_topic_partition_leader_is_preferred",
                "1 if Topic/Partition is using the Preferred Broker",
                1,
            ),
            (
                "kafka_topic_partition_replicas",
                "Number of Replicas for this Topic/Partition",
                1,
            ),
            (
                "kafka_topic_partition_in_sync_replica",
                "Number of In-Sync Replicas for this Topic/Partition",
                1,
            ),
            (
                "kafka_topic_partition_under_replicated_partition",
                "1 if Topic/Partition is under Replicated",
                0,
            ),
        ] {
            self.partitions(text.family(name, Kind::Gauge, help), |_, _| Some(value))?;
        }
        Ok(())
    }

    /// A sample of each partition, but of those that are gone.
    fn partitions(
        &self,
        mut family: Family<'_, '_>,
        value: impl Fn(&Topic, i32) -> Option<i64>,
    ) -> io::Result<()> {
        for topic in self.topics() {
            for partition in topic.partition_indexes() {
                if let Some(value) = value(topic, partition) {
                    let labels = [("topic", &*topic.name), ("partition", &partition.to_string())];
                    family.sample(&labels, value);
                    family.pass()?;
                }
            }
        }
        Ok(())
    }

    fn render_groups(&self, text: &mut Text<'_>) -> io::Result<()> {
        let mut family = text.family(
            "kafka_consumergroup_members",
            Kind::Gauge,
            "Amount of members in a consumer group",
        );
        for group in self.groups() {
            if let Some(members) = group.member_count() {
                family.sample(&[("consumergroup", group.id())], members);
                family.pass()?;
            }
        }
        let offset: OfCommitted<'_> = &|_, _, committed| Some(committed);
        // A commit may be beyond the end, as any offset can be committed. Ends are read last, and only grow.
        let lag: OfCommitted<'_> = &|topic, partition, committed| {
            let bounds = self.broker.bounds(topic, partition)?;
            Some(bounds.end.saturating_sub(committed).max(0))
        };
        if self.selection.has_partitions() {
            let (name, help) = (
                "kafka_consumergroup_current_offset",
                "Current Offset of a ConsumerGroup at Topic/Partition",
            );
            self.offsets(text.family(name, Kind::Gauge, help), offset)?;
            let (name, help) = (
                "kafka_consumergroup_lag",
                "Current Approximate Lag of a ConsumerGroup at Topic/Partition",
            );
            self.offsets(text.family(name, Kind::Gauge, help), lag)?;
        }
        let (name, help) = (
            "kafka_consumergroup_current_offset_sum",
            "Current Offset of a ConsumerGroup at Topic for all partitions",
        );
        self.sums(text.family(name, Kind::Gauge, help), offset)?;
        let (name, help) = (
            "kafka_consumergroup_lag_sum",
            "Current Approximate Lag of a ConsumerGroup at Topic for all partitions",
        );
        self.sums(text.family(name, Kind::Gauge, help), lag)
    }

    /// Topics of which a group has committed offsets.
    fn topics_of(&self, group: &ObservedGroup) -> impl Iterator<Item = Arc<Topic>> {
        let topics = group.topics().into_iter();
        let topics = topics.filter_map(|id| self.broker.topic_by_id(id));
        topics.filter(|topic| self.selection.has_topic(&topic.name))
    }

    fn offsets(&self, mut family: Family<'_, '_>, value: OfCommitted<'_>) -> io::Result<()> {
        for group in self.groups() {
            for topic in self.topics_of(group) {
                let mut committed = committed(group, topic.id).peekable();
                for partition in topic.partition_indexes() {
                    let found = committed.next_if(|(known, _)| *known == partition);
                    let value = match found {
                        Some((_, offset)) => value(&topic, partition, offset),
                        None => Some(NOT_COMMITTED),
                    };
                    let Some(value) = value else { continue };
                    let labels = [
                        ("consumergroup", group.id()),
                        ("topic", &*topic.name),
                        ("partition", &partition.to_string()),
                    ];
                    family.sample(&labels, value);
                    family.pass()?;
                }
            }
        }
        Ok(())
    }

    fn sums(&self, mut family: Family<'_, '_>, value: OfCommitted<'_>) -> io::Result<()> {
        for group in self.groups() {
            for topic in self.topics_of(group) {
                let values = committed(group, topic.id)
                    .filter_map(|(partition, offset)| value(&topic, partition, offset));
                let sum = values.fold(0, i64::saturating_add);
                family.sample(&[("consumergroup", group.id()), ("topic", &*topic.name)], sum);
                family.pass()?;
            }
        }
        Ok(())
    }
}

/// What a group has committed of a topic, ascending by partition. It is looked at while it is gone through.
fn committed(group: &ObservedGroup, topic: TopicId) -> impl Iterator<Item = (i32, i64)> {
    let mut next = Some(0);
    let page = move || {
        let page = group.committed(topic, next?, PAGE);
        next = page.last().and_then(|(last, _)| last.checked_add(1));
        next.map(|_| page)
    };
    std::iter::from_fn(page).flatten()
}

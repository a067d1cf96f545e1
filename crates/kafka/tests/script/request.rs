use std::collections::HashMap;

use bytes::Bytes;
use firth_batch::{Builder, Compression};
use firth_kafka_codec::*;

use super::print::Names;
use super::{Sent, admin, groups};
use crate::support::records::{self, batch};
use crate::support::{NOW_MS, TestClient};

/// A line as words and `name=value` pairs.
pub(crate) struct Words<'a> {
    pub(crate) words: Vec<&'a str>,
    pub(crate) values: HashMap<&'a str, &'a str>,
}

impl<'a> Words<'a> {
    pub(crate) fn new(line: &'a str) -> Words<'a> {
        let (pairs, words): (Vec<_>, Vec<_>) = line.split_whitespace().partition(|word| word.contains('='));
        let values = pairs
            .into_iter()
            .map(|pair| pair.split_once('=').unwrap())
            .collect();
        Words { words, values }
    }

    pub(crate) fn text(&self, name: &str) -> Option<&'a str> {
        self.values.get(name).copied()
    }

    pub(crate) fn number<T: std::str::FromStr<Err: std::fmt::Debug>>(&self, name: &str, default: T) -> T {
        self.text(name).map_or(default, |text| text.parse().unwrap())
    }

    pub(crate) fn has(&self, word: &str) -> bool {
        self.words.contains(&word)
    }
}

/// `topic/partition`.
pub(super) fn partition(word: &str) -> (&str, i32) {
    let (topic, partition) = word.split_once('/').unwrap();
    (topic, partition.parse().unwrap())
}

pub(super) fn encode(words: &Words<'_>, names: &Names, client: &mut TestClient) -> (Sent, Bytes) {
    let version = |default| words.number("v", default);
    match words.words[0] {
        "versions" => {
            let request = ApiVersionsRequest {
                client_software_name: words.text("name").unwrap_or("test").into(),
                client_software_version: "1".into(),
            };
            one(client, version(3), &request)
        }
        "metadata" => one(client, version(12), &metadata(words, names, version(12))),
        "create" => one(client, version(7), &create(words)),
        "delete" => one(client, version(6), &delete(words, names, version(6))),
        "produce" => one(client, version(9), &produce(words, names, version(9))),
        "init" => {
            let request = InitProducerIdRequest {
                transactional_id: words.text("txn").map(ByteStr::from),
                producer_id: words.number("pid", -1),
                producer_epoch: words.number("epoch", -1),
                transaction_timeout_ms: 1000,
            };
            one(client, version(4), &request)
        }
        "fetch" => one(client, version(12), &fetch(words, names, version(12))),
        "offsets" => one(client, version(7), &offsets(words)),
        "trim" => {
            let (topic, index) = partition(words.words[1]);
            let partition = DeleteRecordsPartition {
                partition_index: index,
                offset: words.words[2].parse().unwrap(),
            };
            let topics = vec![DeleteRecordsTopic {
                name: topic.into(),
                partitions: vec![partition],
            }];
            one(
                client,
                version(2),
                &DeleteRecordsRequest {
                    topics,
                    timeout_ms: 1000,
                },
            )
        }
        "coordinator" | "join" | "sync" | "heartbeat" | "leave" | "commit" | "committed" | "uncommit"
        | "groups" | "group" | "remove" => groups::encode(words, names, client),
        _ => admin::encode(words, client),
    }
}

pub(crate) fn one<R: RequestMessage>(client: &mut TestClient, version: i16, request: &R) -> (Sent, Bytes) {
    (
        Sent {
            api: R::API_KEY,
            version,
        },
        client.encode(version, request),
    )
}

fn metadata(words: &Words<'_>, names: &Names, version: i16) -> MetadataRequest {
    let topics = words.words[1..]
        .iter()
        .filter(|word| !matches!(**word, "all" | "operations"));
    let topics = topics.map(|word| match word.strip_prefix("id:") {
        Some(name) => MetadataRequestTopic {
            topic_id: names.id(name),
            name: None,
        },
        None => MetadataRequestTopic {
            topic_id: Uuid::ZERO,
            name: Some((*word).into()),
        },
    });
    let topics: Vec<_> = topics.collect();
    MetadataRequest {
        topics: if words.has("all") && version > 0 {
            None
        } else {
            Some(topics)
        },
        allow_auto_topic_creation: words.number("auto", false),
        include_topic_authorized_operations: words.has("operations"),
        ..Default::default()
    }
}

fn create(words: &Words<'_>) -> CreateTopicsRequest {
    let configs = words.values.iter().filter(|(name, _)| name.contains('.'));
    let configs = configs.map(|(name, value)| CreatableTopicConfig {
        name: (*name).into(),
        value: (*value != "null").then(|| (*value).into()),
    });
    let configs: Vec<_> = configs.collect();
    let assignments = words.text("assign").unwrap_or_default().split_terminator(',');
    let assignments = assignments.map(|word| {
        let (index, broker) = word.split_once(':').unwrap();
        CreatableReplicaAssignment {
            partition_index: index.parse().unwrap(),
            broker_ids: vec![broker.parse().unwrap()],
        }
    });
    let assignments: Vec<_> = assignments.collect();
    let assigned = if assignments.is_empty() { 1 } else { -1 };
    let topics = words.words[1..]
        .iter()
        .filter(|word| **word != "validate")
        .map(|name| CreatableTopic {
            name: (*name).into(),
            num_partitions: words.number("partitions", assigned),
            replication_factor: words.number("rf", i16::try_from(assigned).unwrap()),
            assignments: assignments.clone(),
            configs: configs.clone(),
        });
    CreateTopicsRequest {
        topics: topics.collect(),
        validate_only: words.has("validate"),
        timeout_ms: 1000,
    }
}

fn delete(words: &Words<'_>, names: &Names, version: i16) -> DeleteTopicsRequest {
    let asked = &words.words[1..];
    if version <= 5 {
        let topic_names = asked.iter().map(|name| ByteStr::from(*name)).collect();
        return DeleteTopicsRequest {
            topic_names,
            ..Default::default()
        };
    }
    let topics = asked.iter().map(|word| match word.strip_prefix("id:") {
        Some(name) => DeleteTopicState {
            name: None,
            topic_id: names.id(name),
        },
        None => DeleteTopicState {
            name: Some((*word).into()),
            topic_id: Uuid::ZERO,
        },
    });
    DeleteTopicsRequest {
        topics: topics.collect(),
        ..Default::default()
    }
}

fn produce(words: &Words<'_>, names: &Names, version: i16) -> ProduceRequest {
    let (topic, index) = partition(words.words[1]);
    let partition = PartitionProduceData {
        index,
        records: records(words),
    };
    let topic = TopicProduceData {
        name: topic.into(),
        topic_id: if version >= 13 {
            names.id(topic)
        } else {
            Uuid::ZERO
        },
        partition_data: [partition].into_iter().collect(),
    };
    ProduceRequest {
        transactional_id: words.text("txn").map(ByteStr::from),
        acks: words.number("acks", -1),
        timeout_ms: 1000,
        topic_data: [topic].into_iter().collect(),
    }
}

fn records(words: &Words<'_>) -> Option<Bytes> {
    let values = &words.words[2..];
    let good = match (words.text("pid"), codec(words)) {
        (Some(pid), _) => {
            let (epoch, sequence) = (words.number("epoch", 0), words.number("seq", 0));
            records::sequenced(values, pid.parse().unwrap(), epoch, sequence)
        }
        (None, Compression::None) => batch(if values.is_empty() { &["x"] } else { values }),
        (None, codec) => records::compressed(values, codec),
    };
    let bytes = match words.text("as").unwrap_or("good") {
        "good" => good,
        "keyed" => records::keyed(values, codec(words)),
        "bomb" => records::bomb(codec(words)),
        "null" => return None,
        "empty" => Bytes::new(),
        "corrupt" => records::corrupt(&good),
        "two" => Bytes::from([good.as_ref(), good.as_ref()].concat()),
        "cut" => good.slice(..good.len() - 1),
        "header" => good.slice(..40),
        "format1" => records::message_format_1(),
        "control" => records::with_header(&good, |header| header.attributes.0 |= 0x20),
        "transactional" => records::build(
            Builder::new(Compression::None).producer(1, 0, 0).transactional(),
            values,
        ),
        "codec7" => records::with_header(&good, |header| header.attributes.0 |= 7),
        "count" => records::with_header(&good, |header| header.record_count += 1),
        "late" => records::with_header(&good, |header| header.max_timestamp = NOW_MS + 7_200_000),
        "nosequence" => records::with_header(&good, |header| header.producer_id = 5),
        other => panic!("unknown kind of records {other}"),
    };
    Some(bytes)
}

fn codec(words: &Words<'_>) -> Compression {
    words
        .text("codec")
        .map_or(Compression::None, |name| Compression::from_name(name).unwrap())
}

/// `topic/partition@offset` each.
fn fetch(words: &Words<'_>, names: &Names, version: i16) -> FetchRequest {
    let name = |topic: &str| {
        (
            ByteStr::from(topic),
            if version >= 13 {
                names.id(topic)
            } else {
                Uuid::ZERO
            },
        )
    };
    let topics = words.words[1..].iter().map(|word| {
        let (place, offset) = word.split_once('@').unwrap();
        let (topic, index) = partition(place);
        let (topic, topic_id) = name(topic);
        let partition = FetchPartition {
            partition: index,
            fetch_offset: offset.parse().unwrap(),
            current_leader_epoch: words.number("leader", -1),
            last_fetched_epoch: words.number("fetched", -1),
            partition_max_bytes: words.number("pmax", 1 << 20),
            ..Default::default()
        };
        FetchTopic {
            topic,
            topic_id,
            partitions: vec![partition],
        }
    });
    let forgotten = words
        .text("forget")
        .unwrap_or_default()
        .split_terminator(',')
        .map(|word| {
            let (topic, index) = partition(word);
            let (topic, topic_id) = name(topic);
            ForgottenTopic {
                topic,
                topic_id,
                partitions: vec![index],
            }
        });
    FetchRequest {
        max_wait_ms: words.number("wait", 0),
        min_bytes: words.number("min", 1),
        max_bytes: words.number("max", i32::MAX),
        isolation_level: words.number("isolation", 0),
        session_id: words.text("session").map_or(0, |text| names.session(text)),
        session_epoch: words.number("epoch", -1),
        topics: topics.collect(),
        forgotten_topics_data: forgotten.collect(),
        ..Default::default()
    }
}

fn offsets(words: &Words<'_>) -> ListOffsetsRequest {
    let topics = words.words[1..]
        .iter()
        .filter(|word| **word != "twice")
        .map(|word| {
            let (topic, index) = partition(word);
            let timestamp = match words.text("at").unwrap_or("latest") {
                "latest" => LATEST_TIMESTAMP,
                "earliest" => EARLIEST_TIMESTAMP,
                "max" => MAX_TIMESTAMP,
                "local" => EARLIEST_LOCAL_TIMESTAMP,
                "tiered" => LATEST_TIERED_TIMESTAMP,
                "pending" => EARLIEST_PENDING_UPLOAD_TIMESTAMP,
                after => NOW_MS + after.parse::<i64>().unwrap(),
            };
            let partition = ListOffsetsPartition {
                partition_index: index,
                current_leader_epoch: words.number("leader", -1),
                timestamp,
                max_num_offsets: words.number("max", 1),
            };
            let again = words.has("twice").then(|| partition.clone());
            ListOffsetsTopic {
                name: topic.into(),
                partitions: [partition].into_iter().chain(again).collect(),
            }
        });
    ListOffsetsRequest {
        isolation_level: words.number("isolation", 0),
        topics: topics.collect(),
        ..Default::default()
    }
}

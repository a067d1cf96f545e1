use std::collections::BTreeMap;

use bytes::Bytes;
use firth_kafka_codec::*;

use crate::script::Sent;
use crate::script::print::{error, message, read};
use crate::script::request::{Words, one};
use crate::support::{NOW_MS, TestClient};

pub(super) fn encode(words: &Words<'_>, client: &mut TestClient) -> (Sent, Bytes) {
    let version = |default| words.number("v", default);
    match words.words[0] {
        "cluster" => {
            let request = DescribeClusterRequest {
                include_cluster_authorized_operations: words.has("operations"),
                endpoint_type: words.number("endpoint", ENDPOINT_BROKERS),
                include_fenced_brokers: true,
            };
            one(client, version(2), &request)
        }
        "describe" => one(client, 0, &describe_topic_partitions(words)),
        "sizes" => {
            let topic = |(topic, partitions): (&str, Vec<i32>)| DescribableLogDirTopic {
                topic: topic.into(),
                partitions,
            };
            let topics = (!words.has("all")).then(|| places(words).into_iter().map(topic).collect());
            one(client, version(4), &DescribeLogDirsRequest { topics })
        }
        "producers" => {
            let topic = |(name, partition_indexes): (&str, Vec<i32>)| DescribeProducersTopicRequest {
                name: name.into(),
                partition_indexes,
            };
            let topics = places(words).into_iter().map(topic).collect();
            one(client, 0, &DescribeProducersRequest { topics })
        }
        "epoch" => one(client, version(4), &offset_for_leader_epoch(words)),
        "elect" => {
            let topic = |(topic, partitions): (&str, Vec<i32>)| ElectLeadersTopicPartitions {
                topic: topic.into(),
                partitions,
            };
            let request = ElectLeadersRequest {
                election_type: words.number("type", 0),
                topic_partitions: (!words.has("all")).then(|| places(words).into_iter().map(topic).collect()),
                ..Default::default()
            };
            one(client, version(2), &request)
        }
        "reassign" => one(client, version(1), &alter_partition_reassignments(words)),
        "reassignments" => one(client, 0, &ListPartitionReassignmentsRequest::default()),
        other => panic!("unknown request {other}"),
    }
}

/// Words of the form `topic/partition`, by topic.
fn places<'a>(words: &'a Words<'_>) -> BTreeMap<&'a str, Vec<i32>> {
    let mut places: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, index) in words.words[1..].iter().filter_map(|word| word.split_once('/')) {
        places.entry(topic).or_default().push(index.parse().unwrap());
    }
    places
}

fn describe_topic_partitions(words: &Words<'_>) -> DescribeTopicPartitionsRequest {
    let topics = words.words[1..]
        .iter()
        .map(|name| DescribeTopicPartitionsTopicRequest { name: (*name).into() });
    let cursor = words.text("from").map(|place| {
        let (topic, index) = place.split_once('/').unwrap();
        Cursor {
            topic_name: topic.into(),
            partition_index: index.parse().unwrap(),
        }
    });
    DescribeTopicPartitionsRequest {
        topics: topics.collect(),
        response_partition_limit: words.number("limit", 2000),
        cursor,
    }
}

fn offset_for_leader_epoch(words: &Words<'_>) -> OffsetForLeaderEpochRequest {
    let topics = places(words).into_iter().map(|(topic, indexes)| {
        let partitions = indexes.into_iter().map(|partition| OffsetForLeaderPartition {
            partition,
            current_leader_epoch: words.number("leader", -1),
            leader_epoch: words.number("of", 0),
        });
        OffsetForLeaderTopic {
            topic: topic.into(),
            partitions: partitions.collect(),
        }
    });
    OffsetForLeaderEpochRequest {
        replica_id: -1,
        topics: topics.collect(),
    }
}

/// All partitions are to go `to=1,2`, or a reassignment is to be cancelled.
fn alter_partition_reassignments(words: &Words<'_>) -> AlterPartitionReassignmentsRequest {
    let replicas = words.text("to");
    let replicas = replicas.map(|to| to.split_terminator(',').map(|broker| broker.parse().unwrap()));
    let replicas: Option<Vec<i32>> = replicas.map(Iterator::collect);
    let topics = places(words).into_iter().map(|(name, indexes)| {
        let partitions = indexes.into_iter().map(|partition_index| ReassignablePartition {
            partition_index,
            replicas: replicas.clone(),
        });
        ReassignableTopic {
            name: name.into(),
            partitions: partitions.collect(),
        }
    });
    AlterPartitionReassignmentsRequest {
        topics: topics.collect(),
        ..Default::default()
    }
}

pub(super) fn response(api: ApiKey, version: i16, frame: &Bytes) -> Vec<String> {
    match api {
        ApiKey::DescribeCluster => cluster(&read::<DescribeClusterRequest>(version, frame)),
        ApiKey::DescribeTopicPartitions => described(&read::<DescribeTopicPartitionsRequest>(version, frame)),
        ApiKey::DescribeLogDirs => sizes(&read::<DescribeLogDirsRequest>(version, frame)),
        ApiKey::DescribeProducers => producers(&read::<DescribeProducersRequest>(version, frame)),
        ApiKey::OffsetForLeaderEpoch => epochs(&read::<OffsetForLeaderEpochRequest>(version, frame)),
        ApiKey::ElectLeaders => elected(&read::<ElectLeadersRequest>(version, frame)),
        ApiKey::AlterPartitionReassignments => {
            reassigned(&read::<AlterPartitionReassignmentsRequest>(version, frame))
        }
        ApiKey::ListPartitionReassignments => {
            let response = read::<ListPartitionReassignmentsRequest>(version, frame);
            let (code, count) = (error(response.error_code), response.topics.len());
            vec![format!(
                "reassignments {count}{code}{}",
                message(response.error_message.as_ref())
            )]
        }
        other => panic!("{other:?} is no request of administrators"),
    }
}

fn cluster(response: &DescribeClusterResponse) -> Vec<String> {
    let brokers = response.brokers.iter().map(|broker| {
        let fenced = if broker.is_fenced { " fenced" } else { "" };
        format!(" {}@{}{fenced}", broker.broker_id, broker.host)
    });
    let (code, reason) = (
        error(response.error_code),
        message(response.error_message.as_ref()),
    );
    let operations = match response.cluster_authorized_operations {
        AUTHORIZED_OPERATIONS_UNKNOWN => String::new(),
        operations => format!(" operations={operations}"),
    };
    // The id is drawn when the cluster begins.
    let id_bytes = response.cluster_id.len();
    vec![format!(
        "cluster id of {id_bytes} controller {}{}{operations}{code}{reason}",
        response.controller_id,
        brokers.collect::<String>()
    )]
}

fn described(response: &DescribeTopicPartitionsResponse) -> Vec<String> {
    let topics = response.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let DescribeTopicPartitionsResponsePartition {
                partition_index,
                leader_id,
                leader_epoch,
                replica_nodes,
                isr_nodes,
                ..
            } = partition;
            format!(" {partition_index}@{leader_id}:{leader_epoch} {replica_nodes:?}{isr_nodes:?}")
        });
        let id = if topic.topic_id.is_zero() { "" } else { " id" };
        let operations = match topic.topic_authorized_operations {
            AUTHORIZED_OPERATIONS_UNKNOWN => String::new(),
            operations => format!(" operations={operations}"),
        };
        let name = topic.name.clone().unwrap_or_default();
        format!(
            "{name}{id}{operations}{}{}",
            partitions.collect::<String>(),
            error(topic.error_code)
        )
    });
    let next = response.next_cursor.iter();
    let next = next.map(|next| format!("next {}/{}", next.topic_name, next.partition_index));
    topics.chain(next).collect()
}

fn sizes(response: &DescribeLogDirsResponse) -> Vec<String> {
    let mut lines = Vec::new();
    for result in &response.results {
        let DescribeLogDirsResult {
            log_dir,
            total_bytes,
            usable_bytes,
            ..
        } = result;
        let code = error(result.error_code);
        // How much is free depends on what is being written just now.
        let usable = match usable_bytes {
            1.. if usable_bytes < total_bytes => "some",
            -1 => "unknown",
            _ => "all or nothing",
        };
        lines.push(format!(
            "directory {log_dir:?} total={total_bytes} usable={usable}{code}"
        ));
        for topic in &result.topics {
            let partitions = topic.partitions.iter();
            lines.extend(partitions.map(|partition| {
                let (index, size) = (partition.partition_index, partition.partition_size);
                format!("{}/{index} bytes={size} lag={}", topic.name, partition.offset_lag)
            }));
        }
    }
    lines
}

fn producers(response: &DescribeProducersResponse) -> Vec<String> {
    let lines = response.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| {
            let producers = partition.active_producers.iter().map(|producer| {
                let ProducerState {
                    producer_id,
                    producer_epoch,
                    last_sequence,
                    last_timestamp,
                    coordinator_epoch,
                    current_txn_start_offset,
                } = producer;
                let time = last_timestamp - NOW_MS;
                format!(
                    " [{producer_id}:{producer_epoch} sequence={last_sequence} time={time} \
                     {coordinator_epoch} {current_txn_start_offset}]"
                )
            });
            let (code, reason) = (
                error(partition.error_code),
                message(partition.error_message.as_ref()),
            );
            let producers: String = producers.collect();
            format!(
                "{}/{}{producers}{code}{reason}",
                topic.name, partition.partition_index
            )
        })
    });
    lines.collect()
}

fn epochs(response: &OffsetForLeaderEpochResponse) -> Vec<String> {
    let lines = response.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|result| {
            let OffsetForLeaderPartitionResult {
                error_code,
                partition,
                leader_epoch,
                end_offset,
            } = result;
            let code = error(*error_code);
            format!(
                "{}/{partition} epoch={leader_epoch} end={end_offset}{code}",
                topic.topic
            )
        })
    });
    lines.collect()
}

fn elected(response: &ElectLeadersResponse) -> Vec<String> {
    let lines = response.replica_election_results.iter().flat_map(|topic| {
        topic.partition_result.iter().map(|result| {
            let (code, reason) = (error(result.error_code), message(result.error_message.as_ref()));
            format!("{}/{}{code}{reason}", topic.topic, result.partition_id)
        })
    });
    let whole = format!("elected{}", error(response.error_code));
    std::iter::once(whole).chain(lines).collect()
}

fn reassigned(response: &AlterPartitionReassignmentsResponse) -> Vec<String> {
    let lines = response.responses.iter().flat_map(|topic| {
        topic.partitions.iter().map(|result| {
            let (code, reason) = (error(result.error_code), message(result.error_message.as_ref()));
            format!(
                "{}/{} reassigned{code}{reason}",
                topic.name, result.partition_index
            )
        })
    });
    lines.collect()
}

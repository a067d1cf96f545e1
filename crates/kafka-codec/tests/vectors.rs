//! Frames of real clients: what librdkafka 2.16 and kafka-python 3.0 sent, and what Apache Kafka 4.1 (`vectors/proxy.py`) or its
//! schemas through kafka-python (`vectors/capture.py`) answered; and those of versions that no client at hand sends (`vectors/old.py`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Debug;

use bytes::{Bytes, BytesMut};
use firth_kafka_codec::*;

struct Vector {
    client: String,
    api_key: ApiKey,
    api_version: i16,
    frame: Bytes,
}

/// Those of APIs and versions that are served. Others are there for when they will be.
fn vectors(text: &str) -> Vec<Vector> {
    let parse = |line: &str| {
        let fields: Vec<&str> = line.split(' ').collect();
        let api_version = fields[2].parse().unwrap();
        let api_key = ApiKey::from_i16(fields[1].parse().unwrap());
        let api_key = api_key.filter(|api_key| api_key.serves(api_version))?;
        let hex = fields[3];
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        Some(Vector {
            client: fields[0].to_owned(),
            api_key,
            api_version,
            frame: (0..hex.len()).step_by(2).map(byte).collect(),
        })
    };
    text.lines().filter_map(parse).collect()
}

fn requests() -> Vec<(Vector, RequestHeader, Request)> {
    let read = |vector: Vector| {
        let (header, body) = decode_header(&vector.frame).unwrap();
        let request = decode_request(&header, &body).unwrap();
        (vector, header, request)
    };
    vectors(include_str!("vectors/requests.txt"))
        .into_iter()
        .map(read)
        .collect()
}

fn find<T>(client: &str, version: i16, pick: impl Fn(Request) -> Option<T>) -> T {
    let matches = |vector: &Vector| vector.client == client && vector.api_version == version;
    let mut found = requests().into_iter().filter(|(vector, ..)| matches(vector));
    found.find_map(|(_, _, request)| pick(request)).unwrap()
}

fn unframed(chain: Chain) -> Bytes {
    let frame: Bytes = chain.into_parts().flatten().collect();
    assert_eq!(
        frame_size(&frame, frame.len()),
        Ok(Some(frame.len() - SIZE_BYTES))
    );
    frame.slice(SIZE_BYTES..)
}

#[test]
fn requests_of_real_clients_are_read_and_written_again_byte_for_byte() {
    let requests = requests();
    assert!(requests.len() > 45);
    for (vector, header, request) in &requests {
        assert_eq!(
            (header.api_key, header.api_version),
            (vector.api_key, vector.api_version)
        );
        let client_id = if vector.client == "librdkafka" { "rd" } else { "py" };
        assert_eq!(header.client_id.as_deref(), Some(client_id));
        assert_eq!(request.api_key(), vector.api_key);
        let again = request.encode(&mut BytesMut::new(), header).unwrap();
        assert_eq!(unframed(again), vector.frame, "{request:?}");
    }
}

#[test]
fn answers_of_kafka_s_schemas_are_read_and_written_again_byte_for_byte() {
    fn check<R: RequestMessage>(vector: &Vector)
    where
        R::Response: Debug,
    {
        let (id, response) = decode_response::<R>(vector.api_version, &vector.frame).unwrap();
        let again =
            unframed(encode_response(&mut BytesMut::new(), vector.api_version, id, &response).unwrap());
        assert_eq!(again, vector.frame, "{response:?}");
    }
    for vector in &vectors(include_str!("vectors/responses.txt")) {
        match vector.api_key {
            ApiKey::Produce => check::<ProduceRequest>(vector),
            ApiKey::Fetch => check::<FetchRequest>(vector),
            ApiKey::ListOffsets => check::<ListOffsetsRequest>(vector),
            ApiKey::FindCoordinator => check::<FindCoordinatorRequest>(vector),
            ApiKey::Metadata => check::<MetadataRequest>(vector),
            ApiKey::ApiVersions if vector.frame[4..6] == [0, 35] => {
                let (_, response) =
                    decode_response::<ApiVersionsRequest>(vector.api_version, &vector.frame).unwrap();
                assert_eq!(response.error_code, ErrorCode::UnsupportedVersion);
                assert_eq!(response.api_keys.len(), 1);
            }
            ApiKey::ApiVersions => check::<ApiVersionsRequest>(vector),
            ApiKey::CreateTopics => check::<CreateTopicsRequest>(vector),
            ApiKey::DeleteTopics => check::<DeleteTopicsRequest>(vector),
            ApiKey::DeleteRecords => check::<DeleteRecordsRequest>(vector),
            ApiKey::DescribeConfigs => check::<DescribeConfigsRequest>(vector),
            ApiKey::AlterConfigs => check::<AlterConfigsRequest>(vector),
            ApiKey::IncrementalAlterConfigs => check::<IncrementalAlterConfigsRequest>(vector),
            ApiKey::ListConfigResources => check::<ListConfigResourcesRequest>(vector),
            ApiKey::CreatePartitions => check::<CreatePartitionsRequest>(vector),
            ApiKey::DescribeCluster => check::<DescribeClusterRequest>(vector),
            ApiKey::DescribeTopicPartitions => check::<DescribeTopicPartitionsRequest>(vector),
            ApiKey::DescribeLogDirs => check::<DescribeLogDirsRequest>(vector),
            ApiKey::DescribeProducers => check::<DescribeProducersRequest>(vector),
            ApiKey::OffsetForLeaderEpoch => check::<OffsetForLeaderEpochRequest>(vector),
            ApiKey::ElectLeaders => check::<ElectLeadersRequest>(vector),
            ApiKey::DescribeClientQuotas => check::<DescribeClientQuotasRequest>(vector),
            ApiKey::AlterClientQuotas => check::<AlterClientQuotasRequest>(vector),
            ApiKey::AlterPartitionReassignments => check::<AlterPartitionReassignmentsRequest>(vector),
            ApiKey::ListPartitionReassignments => check::<ListPartitionReassignmentsRequest>(vector),
            ApiKey::DescribeAcls => check::<DescribeAclsRequest>(vector),
            ApiKey::CreateAcls => check::<CreateAclsRequest>(vector),
            ApiKey::DeleteAcls => check::<DeleteAclsRequest>(vector),
            ApiKey::DescribeUserScramCredentials => check::<DescribeUserScramCredentialsRequest>(vector),
            ApiKey::DescribeTransactions => check::<DescribeTransactionsRequest>(vector),
            ApiKey::ListTransactions => check::<ListTransactionsRequest>(vector),
            ApiKey::DescribeQuorum => check::<DescribeQuorumRequest>(vector),
            ApiKey::InitProducerId => check::<InitProducerIdRequest>(vector),
            ApiKey::DeleteGroups => check::<DeleteGroupsRequest>(vector),
            ApiKey::DescribeGroups => check::<DescribeGroupsRequest>(vector),
            ApiKey::Heartbeat => check::<HeartbeatRequest>(vector),
            ApiKey::JoinGroup => check::<JoinGroupRequest>(vector),
            ApiKey::LeaveGroup => check::<LeaveGroupRequest>(vector),
            ApiKey::ListGroups => check::<ListGroupsRequest>(vector),
            ApiKey::OffsetCommit => check::<OffsetCommitRequest>(vector),
            ApiKey::OffsetDelete => check::<OffsetDeleteRequest>(vector),
            ApiKey::OffsetFetch => check::<OffsetFetchRequest>(vector),
            ApiKey::SyncGroup => check::<SyncGroupRequest>(vector),
        }
    }
}

#[test]
fn produce_of_librdkafka() {
    for (version, acks) in [(10, -1), (3, -1)] {
        let request = find("librdkafka", version, |request| match request {
            Request::Produce(request) => Some(request),
            _ => None,
        });
        assert_eq!(
            (request.transactional_id, request.acks, request.timeout_ms),
            (None, acks, 30_000)
        );
        let [topic] = &request.topic_data[..] else {
            panic!("{:?}", request.topic_data)
        };
        assert_eq!(topic.name, "flights");
        let [partition] = &topic.partition_data[..] else {
            panic!("{:?}", topic.partition_data)
        };
        assert_eq!(partition.index, 0);
        let records = partition.records.as_ref().unwrap();
        // One whole batch: its length field, which starts after the base offset, covers all but the first 12 bytes.
        assert_eq!(
            records[8..12],
            i32::try_from(records.len() - 12).unwrap().to_be_bytes()
        );
        assert_eq!(records[16], 2, "the magic of the record format");
        assert!(
            records.ends_with(b"\x0ekey\x0evalue 2\0") || records.windows(7).any(|bytes| bytes == b"value 2")
        );
    }
}

#[test]
fn fetch_of_librdkafka() {
    let request = find("librdkafka", 16, |request| match request {
        Request::Fetch(request) => Some(request),
        _ => None,
    });
    assert_eq!(
        (request.max_wait_ms, request.min_bytes, request.max_bytes),
        (500, 1, 52_428_800)
    );
    assert_eq!(
        (request.session_id, request.session_epoch),
        (0, -1),
        "it uses no sessions"
    );
    assert_eq!(request.replica_state, ReplicaState::default());
    let [topic] = &request.topics[..] else {
        panic!("{:?}", request.topics)
    };
    assert_eq!(topic.topic_id.to_string(), "Dx4tPEtaaXiHlqW0w9Lh8A");
    assert_eq!(topic.topic_id.to_string().parse(), Ok(topic.topic_id));
    let [partition] = &topic.partitions[..] else {
        panic!("{:?}", topic.partitions)
    };
    assert_eq!((partition.partition, partition.fetch_offset), (0, 0));
    assert_eq!(partition.partition_max_bytes, 1_048_576);
}

#[test]
fn metadata_of_both_clients() {
    let metadata = |request| match request {
        Request::Metadata(request) => Some(request),
        _ => None,
    };
    let request = find("librdkafka", 13, metadata);
    let topics = request.topics.as_ref().unwrap();
    assert_eq!(topics[0].name.as_deref(), Some("flights"));
    assert!(topics[0].topic_id.is_zero() && !request.wants_all_topics(13));
    let request = find("kafka-python", 13, metadata);
    assert_eq!(request.topics, Some(Vec::new()));
    assert!(!request.wants_all_topics(13) && request.wants_all_topics(0));
}

#[test]
fn api_versions_of_both_clients() {
    let api_versions = |request| match request {
        Request::ApiVersions(request) => Some(request),
        _ => None,
    };
    let request = find("librdkafka", 3, api_versions);
    assert_eq!(request.client_software_name, "confluent-kafka-python");
    assert!(request.is_valid(3));
    let request = find("kafka-python", 4, api_versions);
    assert_eq!(request.client_software_name, "kafka-python");
    assert!(request.is_valid(4));
}

#[test]
fn topics_of_librdkafka() {
    let request = find("librdkafka", 4, |request| match request {
        Request::CreateTopics(request) => Some(request),
        _ => None,
    });
    assert_eq!(request.timeout_ms, 60_000);
    let [topic] = &request.topics[..] else {
        panic!("{:?}", request.topics)
    };
    assert_eq!(
        (
            topic.name.as_str(),
            topic.num_partitions,
            topic.replication_factor
        ),
        ("made", 3, 1)
    );
    let [config] = &topic.configs[..] else {
        panic!("{:?}", topic.configs)
    };
    assert_eq!(
        (config.name.as_str(), config.value.as_deref()),
        ("retention.ms", Some("1000"))
    );
    let request = find("librdkafka", 2, |request| match request {
        Request::DeleteRecords(request) => Some(request),
        _ => None,
    });
    assert_eq!(
        request.topics[0].partitions[0],
        DeleteRecordsPartition {
            partition_index: 0,
            offset: 2
        }
    );
}

#[test]
fn fetch_answer_carries_the_batch_that_was_produced() {
    let answers = vectors(include_str!("vectors/responses.txt"));
    let answer = answers
        .iter()
        .find(|a| (a.client.as_str(), a.api_key, a.api_version) == ("librdkafka", ApiKey::Fetch, 16));
    let (_, response) = decode_response::<FetchRequest>(16, &answer.unwrap().frame).unwrap();
    let partition = &response.responses[0].partitions[0];
    assert_eq!((partition.high_watermark, partition.log_start_offset), (3, 0));
    let produced = find("librdkafka", 10, |request| match request {
        Request::Produce(request) => request.topic_data[0].partition_data[0].records.clone(),
        _ => None,
    });
    assert_eq!(partition.records, Some(Records::from(produced)));
}

#[test]
fn quotas_of_both_versions() {
    for version in [0, 1] {
        let request = find("kafka-python", version, |request| match request {
            Request::AlterClientQuotas(request) => Some(request),
            _ => None,
        });
        let [entry] = &request.entries[..] else {
            panic!("{:?}", request.entries)
        };
        assert_eq!(
            (entry.entity[0].entity_type.as_str(), &entry.entity[0].entity_name),
            ("ip", &None)
        );
        assert_eq!((entry.ops[0].value.get(), entry.ops[0].remove), (1024.0, false));
        assert!(entry.ops[1].remove && request.validate_only);
        let answers = vectors(include_str!("vectors/responses.txt"));
        let answer = answers
            .iter()
            .find(|a| (a.api_key, a.api_version) == (ApiKey::DescribeClientQuotas, version));
        let (_, response) =
            decode_response::<DescribeClientQuotasRequest>(version, &answer.unwrap().frame).unwrap();
        let values = &response.entries.unwrap()[0].values;
        let limits = values.iter().map(|value| (value.key.as_str(), value.value.get()));
        let limits: Vec<_> = limits.collect();
        assert_eq!(
            limits,
            [("producer_byte_rate", 1024.0), ("request_percentage", 12.5)]
        );
    }
}

#[test]
fn versions_that_apache_kafka_dropped_say_what_they_said() {
    let request = find("kafka-python", 0, |request| match request {
        Request::ListOffsets(request) => Some(request),
        _ => None,
    });
    let partitions: Vec<_> = request.topics[0].partitions.iter().collect();
    assert_eq!((partitions[0].timestamp, partitions[0].max_num_offsets), (-1, 5));
    assert_eq!(partitions[1].partition_index, 1);
    let request = find("kafka-python", 0, |request| match request {
        Request::DescribeConfigs(request) => Some(request),
        _ => None,
    });
    assert_eq!(request.resources[0].configuration_keys, None);
    assert_eq!(
        request.resources[1].configuration_keys,
        Some(vec!["num.partitions".into()])
    );
    let answers = vectors(include_str!("vectors/responses.txt"));
    let of_old = |api_key| {
        let mut answers = answers.iter();
        let found = answers.find(|answer| (answer.api_key, answer.api_version) == (api_key, 0));
        found.unwrap().frame.clone()
    };
    let (_, response) = decode_response::<ListOffsetsRequest>(0, &of_old(ApiKey::ListOffsets)).unwrap();
    assert_eq!(response.topics[0].partitions[0].old_style_offsets, [9, 5, 0]);
    let (_, response) =
        decode_response::<DescribeConfigsRequest>(0, &of_old(ApiKey::DescribeConfigs)).unwrap();
    let configs = &response.results[0].configs;
    assert!(configs[0].is_default && configs[1].read_only && configs[1].is_sensitive);
}

//! Very many partitions: what they take in memory, and that nothing costs more than what it is asked for. Limits are
//! counts and bytes; how long it takes is measured by `bench compare --only topics-100000`.

use std::collections::BTreeMap;

use bytes::Bytes;
use firth_batch::{Builder, Compression};
use firth_kafka_codec::{
    ByteStr, CreatableTopic, CreateTopicsRequest, DeleteTopicsRequest, ErrorCode, FetchPartition,
    FetchRequest, FetchResponse, FetchTopic, MetadataRequest, PartitionProduceData, ProduceRequest,
    TopicProduceData,
};

use crate::broker::{Broker, Directory};
use crate::crash::client::{Client, FETCH_VERSION, fetched};

const WIDE: &str = "wide";
const WIDE_PARTITIONS: i32 = 10_000;
const TOPICS: i32 = 5000;
const PARTITIONS: usize = (WIDE_PARTITIONS + TOPICS) as usize;
/// Of one CreateTopics, Produce and DeleteTopics.
const PER_REQUEST: usize = 1000;
/// Of memory for each idle partition, everything counted. A release build has half of it.
const BYTES_PER_PARTITION_MAX: usize = 2048;

/// Topics with their partitions, as a request names them.
type Named = Vec<(ByteStr, Vec<i32>)>;

fn all() -> Named {
    let narrow = (0..TOPICS).map(|nth| (ByteStr::from(format!("narrow.{nth}")), vec![0]));
    let wide = (ByteStr::from(WIDE), (0..WIDE_PARTITIONS).collect());
    narrow.chain([wide]).collect()
}

/// The same in requests of [`PER_REQUEST`] partitions.
fn in_requests(named: &Named) -> Vec<Named> {
    let mut requests: Vec<Named> = Vec::new();
    let pairs = named
        .iter()
        .flat_map(|(name, partitions)| partitions.iter().map(move |partition| (name, *partition)));
    for (at, (name, partition)) in pairs.enumerate() {
        if at % PER_REQUEST == 0 {
            requests.push(Vec::new());
        }
        let request = requests.last_mut().unwrap();
        match request.last_mut().filter(|(last, _)| last == name) {
            Some((_, partitions)) => partitions.push(partition),
            None => request.push((name.clone(), vec![partition])),
        }
    }
    requests
}

fn create(client: &mut Client, topics: impl Iterator<Item = (ByteStr, i32)>) -> Vec<ErrorCode> {
    let topic = |(name, num_partitions)| CreatableTopic {
        name,
        num_partitions,
        replication_factor: 1,
        ..Default::default()
    };
    let request = CreateTopicsRequest {
        topics: topics.map(topic).collect(),
        ..Default::default()
    };
    let created = client.call(7, &request).unwrap();
    created.topics.iter().map(|topic| topic.error_code).collect()
}

fn create_all(client: &mut Client) {
    for request in in_requests(&all()[..TOPICS as usize].to_vec()) {
        let created = create(client, request.into_iter().map(|(name, _)| (name, 1)));
        assert_eq!(created, [ErrorCode::None; PER_REQUEST]);
    }
    let created = create(client, [(WIDE.into(), WIDE_PARTITIONS)].into_iter());
    assert_eq!(created, [ErrorCode::None]);
}

/// How many partitions each topic has.
fn listed(client: &mut Client) -> BTreeMap<String, usize> {
    let request = MetadataRequest {
        topics: None,
        ..Default::default()
    };
    let metadata = client.call(12, &request).unwrap();
    let topics = metadata.topics.iter().map(|topic| {
        assert_eq!(topic.error_code, ErrorCode::None);
        let led = topic
            .partitions
            .iter()
            .filter(|partition| partition.leader_id >= 0);
        (topic.name.as_ref().unwrap().to_string(), led.count())
    });
    topics.collect()
}

fn produce(client: &mut Client, named: &Named) -> usize {
    let mut builder = Builder::new(Compression::None);
    builder.push(1_700_000_000_000, None, Some(b"one record"), &[]);
    let batch: Bytes = builder.build().bytes().clone();
    let partition = |index: &i32| PartitionProduceData {
        index: *index,
        records: Some(batch.clone()),
    };
    let topic = |(name, partitions): &(ByteStr, Vec<i32>)| TopicProduceData {
        name: name.clone(),
        partition_data: partitions.iter().map(partition).collect(),
        ..Default::default()
    };
    let request = ProduceRequest {
        acks: -1,
        timeout_ms: 30_000,
        topic_data: named.iter().map(topic).collect(),
        ..Default::default()
    };
    let produced = client.call(12, &request).unwrap();
    let mut batches = produced
        .responses
        .iter()
        .flat_map(|topic| &topic.partition_responses);
    assert!(batches.all(|batch| batch.error_code == ErrorCode::None));
    produced
        .responses
        .iter()
        .map(|topic| topic.partition_responses.len())
        .sum()
}

/// A fetch session, or its beginning.
struct Session {
    id: i32,
    epoch: i32,
}

impl Session {
    fn new() -> Session {
        Session { id: 0, epoch: 0 }
    }

    /// The request with which the session goes on, reading these partitions from `offset` on from now.
    fn request(&self, named: &Named, offset: i64, max_wait_ms: i32) -> FetchRequest {
        let partition = |index: &i32| FetchPartition {
            partition: *index,
            fetch_offset: offset,
            partition_max_bytes: 1 << 20,
            ..Default::default()
        };
        let topic = |(name, partitions): &(ByteStr, Vec<i32>)| FetchTopic {
            topic: name.clone(),
            partitions: partitions.iter().map(partition).collect(),
            ..Default::default()
        };
        FetchRequest {
            max_wait_ms,
            min_bytes: 1,
            max_bytes: 32 << 20,
            session_id: self.id,
            session_epoch: self.epoch,
            topics: named.iter().map(topic).collect(),
            ..Default::default()
        }
    }

    fn fetch(&mut self, client: &mut Client, named: &Named, offset: i64, max_wait_ms: i32) -> (usize, usize) {
        let request = self.request(named, offset, max_wait_ms);
        self.answered(client.call(FETCH_VERSION, &request).unwrap())
    }

    /// Partitions in the answer, and those of them with records.
    fn answered(&mut self, response: FetchResponse) -> (usize, usize) {
        assert_eq!(response.error_code, ErrorCode::None);
        assert!(response.session_id != 0, "there is a place for a session");
        (self.id, self.epoch) = (response.session_id, self.epoch + 1);
        let partitions = response.responses.into_iter().flat_map(|topic| topic.partitions);
        let sizes: Vec<usize> = partitions
            .map(|data| {
                assert_eq!(data.error_code, ErrorCode::None);
                fetched(data.records).len()
            })
            .collect();
        (sizes.len(), sizes.iter().filter(|size| **size > 0).count())
    }
}

pub(crate) fn resident_bytes(broker: &Broker) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", broker.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

fn metric(broker: &Broker, name: &str) -> u64 {
    let metrics = broker.get("/metrics");
    let mut lines = metrics.lines();
    let line = lines.find(|line| line.split(' ').next() == Some(name)).unwrap();
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

/// How many samples of a scrape name a topic.
fn samples_of_topics(broker: &Broker, path: &str) -> usize {
    let metrics = broker.get(path);
    metrics.lines().filter(|line| line.contains("{topic=\"")).count()
}

#[test]
fn fifteen_thousand_partitions_are_listed_written_fetched_restarted_and_deleted() {
    let directory = Directory::new();
    let broker = Broker::start(directory.path());
    let mut client = Client::connect(broker.kafka()).unwrap();
    let idle = resident_bytes(&broker);

    create_all(&mut client);
    let list = listed(&mut client);
    assert_eq!((list.len(), list[WIDE]), (TOPICS as usize + 1, 10_000));
    let grown = resident_bytes(&broker).saturating_sub(idle);
    assert!(
        grown < PARTITIONS * BYTES_PER_PARTITION_MAX,
        "{} bytes for each",
        grown / PARTITIONS
    );
    // Those of topics, and seven for each partition.
    let topics = TOPICS as usize + 1;
    assert_eq!(samples_of_topics(&broker, "/metrics"), topics + 7 * PARTITIONS);
    assert_eq!(samples_of_topics(&broker, "/metrics?partitions=false"), topics);
    assert_eq!(
        samples_of_topics(&broker, "/metrics?topic=wide"),
        1 + 7 * WIDE_PARTITIONS as usize
    );

    // Of what is too much nothing is begun.
    let much = [("a", i32::MAX), ("b", 1)].map(|(name, count)| (ByteStr::from(name), count));
    let refused = create(&mut client, much.into_iter());
    assert_eq!(refused, [ErrorCode::PolicyViolation; 2]);
    let wide = (0..1000).map(|nth| (ByteStr::from(format!("a{nth}")), WIDE_PARTITIONS));
    let refused = create(&mut client, wide);
    assert_eq!(refused, [ErrorCode::PolicyViolation; 1000]);
    assert_eq!(metric(&broker, "firth_topics"), TOPICS as u64 + 1);

    for request in in_requests(&all()) {
        assert_eq!(produce(&mut client, &request), PER_REQUEST);
    }
    fetch_all(&broker, &mut client);
    broker.kill();

    let broker = Broker::start(directory.path());
    let mut client = Client::connect(broker.kafka()).unwrap();
    assert_eq!(listed(&mut client), list);
    let read = Session::new().fetch(&mut client, &all(), 0, 0);
    assert_eq!(read, (PARTITIONS, PARTITIONS));

    let names: Vec<ByteStr> = all().into_iter().map(|(name, _)| name).collect();
    for topic_names in names.chunks(PER_REQUEST) {
        let request = DeleteTopicsRequest {
            topic_names: topic_names.to_vec(),
            timeout_ms: 30_000,
            ..Default::default()
        };
        let deleted = client.call(5, &request).unwrap().responses;
        assert!(deleted.iter().all(|topic| topic.error_code == ErrorCode::None));
    }
    assert_eq!(listed(&mut client), BTreeMap::new());
    broker.stop();
    let broker = Broker::start(directory.path());
    let mut client = Client::connect(broker.kafka()).unwrap();
    assert_eq!(listed(&mut client), BTreeMap::new());
    // The engine's own and the definitions.
    assert_eq!(metric(&broker, "firth_log_logs"), 2);
}

/// A session over everything: looking at a partition again is paid for by those alone that changed.
fn fetch_all(broker: &Broker, client: &mut Client) {
    const LOOKS: &str = "firth_kafka_fetch_looks_total";
    let nothing = Vec::new();
    let mut session = Session::new();
    let named = all();
    assert_eq!(session.fetch(client, &named, 0, 1000), (PARTITIONS, PARTITIONS));
    assert_eq!(session.fetch(client, &named, 1, 0), (0, 0));

    let before = metric(broker, LOOKS);
    assert_eq!(session.fetch(client, &nothing, 0, 50), (0, 0));
    assert_eq!(
        metric(broker, LOOKS),
        before,
        "nothing changed, so nothing is looked at"
    );

    let one = vec![(ByteStr::from(WIDE), vec![7777])];
    let request = session.request(&nothing, 0, 30_000);
    let sent = client.send(FETCH_VERSION, &request).unwrap();
    let mut writer = Client::connect(broker.kafka()).unwrap();
    produce(&mut writer, &one);
    let frame = client.receive_frame().unwrap();
    let (answered, response) =
        firth_kafka_codec::decode_response::<FetchRequest>(FETCH_VERSION, &frame).unwrap();
    assert_eq!(answered, sent);
    assert_eq!(session.answered(response), (1, 1));
    assert_eq!(metric(broker, LOOKS), before + 1, "one changed");
}

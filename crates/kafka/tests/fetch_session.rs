//! What fetch sessions are for: a poll costs what has changed, not what is asked for.
#![allow(clippy::unwrap_used, reason = "this is a test")]

mod support;

use firth_kafka_codec::*;
use support::records::batch;
use support::{TestBroker, TestClient};

const PARTITIONS: i32 = 10_000;

fn asked(partition: i32, fetch_offset: i64) -> FetchPartition {
    FetchPartition {
        partition,
        fetch_offset,
        partition_max_bytes: 1 << 20,
        ..Default::default()
    }
}

fn fetch(session: (i32, i32), partitions: Vec<FetchPartition>, max_wait_ms: i32) -> FetchRequest {
    let topic = FetchTopic {
        topic: "t".into(),
        partitions,
        ..Default::default()
    };
    let (session_id, session_epoch) = session;
    FetchRequest {
        max_wait_ms,
        min_bytes: 1,
        session_id,
        session_epoch,
        topics: vec![topic],
        ..Default::default()
    }
}

fn produce(index: i32) -> ProduceRequest {
    let partition = PartitionProduceData {
        index,
        records: Some(batch(&["x"])),
    };
    let topic = TopicProduceData {
        name: "t".into(),
        partition_data: [partition].into_iter().collect(),
        ..Default::default()
    };
    ProduceRequest {
        acks: -1,
        timeout_ms: 1000,
        topic_data: [topic].into_iter().collect(),
        ..Default::default()
    }
}

async fn create(client: &mut TestClient) {
    let topic = CreatableTopic {
        name: "t".into(),
        num_partitions: PARTITIONS,
        replication_factor: 1,
        ..Default::default()
    };
    let response = client
        .call(
            7,
            &CreateTopicsRequest {
                topics: vec![topic],
                ..Default::default()
            },
        )
        .await;
    assert_eq!(response.topics[0].error_code, ErrorCode::None);
}

#[tokio::test]
async fn a_poll_looks_only_at_partitions_that_changed() {
    let broker = TestBroker::memory().await;
    let mut consumer = broker.connect().await;
    let mut producer = broker.connect().await;
    create(&mut producer).await;
    let all = (0..PARTITIONS).map(|partition| asked(partition, 0)).collect();
    let response = consumer.call(12, &fetch((0, 0), all, 0)).await;
    let session = response.session_id;
    assert_eq!(response.responses[0].partitions.len(), 10_000);

    let metrics = broker.metrics();
    let before = metrics.fetch_looks();
    let mut epoch = 1;
    let mut news = Vec::new();
    for round in 0..20 {
        let changed = [round * 7, 5_000 + round, 9_999 - round];
        consumer
            .send(12, &fetch((session, epoch), std::mem::take(&mut news), 60_000))
            .await;
        for partition in changed {
            producer.call(9, &produce(partition)).await;
        }
        // The first answer has what was there when it woke; the rest comes with the next ones.
        while news.len() < changed.len() {
            epoch += 1;
            let response = consumer.receive::<FetchRequest>(12).await.1;
            let seen: Vec<_> = response
                .responses
                .iter()
                .flat_map(|topic| &topic.partitions)
                .collect();
            let offsets: Vec<_> = seen
                .iter()
                .map(|data| asked(data.partition_index, data.high_watermark))
                .collect();
            assert!(seen.iter().all(|data| !data.records.as_ref().unwrap().is_empty()));
            news.extend(offsets.clone());
            if news.len() < changed.len() {
                consumer.send(12, &fetch((session, epoch), offsets, 60_000)).await;
            }
        }
    }
    let looks = metrics.fetch_looks() - before;
    assert!(looks < 400, "{looks} looks for 60 records in 10,000 partitions");
    broker.stop().await;
}

#[tokio::test]
async fn a_poll_without_a_session_watches_and_looks_only_at_what_changed() {
    let broker = TestBroker::memory().await;
    let mut consumer = broker.connect().await;
    let mut producer = broker.connect().await;
    create(&mut producer).await;
    let all: Vec<_> = (0..PARTITIONS).map(|partition| asked(partition, 0)).collect();
    let mut poll = fetch((0, -1), all, 60_000);
    poll.min_bytes = 1000;
    consumer.send(12, &poll).await;
    for _ in 0..30 {
        producer.call(9, &produce(77)).await;
    }
    let response = consumer.receive::<FetchRequest>(12).await.1;
    let found = &response.responses[0].partitions[77];
    assert!(found.records.as_ref().unwrap().len() >= 1000);
    let looks = broker.metrics().fetch_looks();
    assert!(looks <= 10_000 + 40, "{looks} looks");
    broker.stop().await;
}

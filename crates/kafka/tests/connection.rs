//! What a connection does with bytes: framing, order, limits, and what it closes for.
#![allow(clippy::unwrap_used, reason = "this is a test")]

mod support;

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use firth_kafka::Config;
use firth_kafka_codec::*;
use support::records::{batch, corrupt};
use support::{BOUND, TestBroker, TestClient, until};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

fn produce(topic: &str, acks: i16, records: Bytes) -> ProduceRequest {
    let partition = PartitionProduceData {
        index: 0,
        records: Some(records),
    };
    let topic = TopicProduceData {
        name: topic.into(),
        partition_data: [partition].into_iter().collect(),
        ..Default::default()
    };
    ProduceRequest {
        acks,
        timeout_ms: 1000,
        topic_data: [topic].into_iter().collect(),
        ..Default::default()
    }
}

fn fetch(topic: &str, offset: i64, max_wait_ms: i32) -> FetchRequest {
    let partition = FetchPartition {
        fetch_offset: offset,
        partition_max_bytes: 1 << 20,
        ..Default::default()
    };
    let topic = FetchTopic {
        topic: topic.into(),
        partitions: vec![partition],
        ..Default::default()
    };
    FetchRequest {
        max_wait_ms,
        min_bytes: 1,
        topics: vec![topic],
        ..Default::default()
    }
}

async fn create(client: &mut TestClient, topic: &str) {
    let topics = vec![MetadataRequestTopic {
        name: Some(topic.into()),
        ..Default::default()
    }];
    let response = client
        .call(
            4,
            &MetadataRequest {
                topics: Some(topics),
                ..Default::default()
            },
        )
        .await;
    assert_eq!(response.topics[0].error_code, ErrorCode::None);
}

fn offset(response: &ProduceResponse) -> (ErrorCode, i64) {
    let partition = &response.responses[0].partition_responses[0];
    (partition.error_code, partition.base_offset)
}

#[tokio::test]
async fn requests_that_arrive_byte_by_byte_are_answered_in_order() {
    let broker = TestBroker::memory().await;
    let mut client = broker.connect().await;
    create(&mut client, "t").await;
    let mut bytes = client.encode(9, &produce("t", -1, batch(&["one"]))).to_vec();
    bytes.extend(client.encode(3, &ApiVersionsRequest::default()));
    bytes.extend(client.encode(8, &produce("t", 1, batch(&["two", "three"]))));
    bytes.extend(client.encode(12, &fetch("t", 0, 0)));
    for byte in bytes {
        client.write(&[byte]).await;
        client.stream.flush().await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(
        offset(&client.receive::<ProduceRequest>(9).await.1),
        (ErrorCode::None, 0)
    );
    client.receive::<ApiVersionsRequest>(3).await;
    assert_eq!(
        offset(&client.receive::<ProduceRequest>(8).await.1),
        (ErrorCode::None, 1)
    );
    let (id, response) = client.receive::<FetchRequest>(12).await;
    assert_eq!((id, response.responses[0].partitions[0].high_watermark), (5, 3));
    broker.stop().await;
}

#[tokio::test]
async fn pipelined_produces_gather_while_a_flush_runs_and_are_answered_in_order() {
    let broker = TestBroker::recorded().await;
    let mut client = broker.connect().await;
    let mut other = broker.connect().await;
    create(&mut client, "t").await;
    let hold = broker.hold();
    let mut bytes = BytesMut::new();
    for _ in 0..200 {
        bytes.put(client.encode(9, &produce("t", -1, batch(&["x"]))));
    }
    client.write(&bytes).await;
    let metrics = broker.metrics();
    let produced = || {
        metrics
            .apis()
            .find(|(key, _)| *key == ApiKey::Produce)
            .unwrap()
            .1
            .requests()
    };
    until("all are dispatched", || produced() == 200).await;
    other.call(3, &ApiVersionsRequest::default()).await;
    assert!(!client.has_answer(), "nothing is answered before it is durable");
    drop(hold);
    for at in 0..200 {
        let (id, response) = client.receive::<ProduceRequest>(9).await;
        assert_eq!((id, offset(&response)), (at + 2, (ErrorCode::None, at.into())));
    }
    broker.stop().await;
}

#[tokio::test]
async fn other_requests_wait_for_those_before_them_and_hold_back_those_behind() {
    let broker = TestBroker::recorded().await;
    let mut client = broker.connect().await;
    create(&mut client, "t").await;
    let hold = broker.hold();
    client.send(9, &produce("t", -1, batch(&["one"]))).await;
    client.send(12, &fetch("t", 0, 60_000)).await;
    client.send(9, &produce("t", -1, batch(&["two"]))).await;
    let metrics = broker.metrics();
    let requests = |wanted| {
        metrics
            .apis()
            .find(|(key, _)| *key == wanted)
            .unwrap()
            .1
            .requests()
    };
    until("the first is dispatched", || requests(ApiKey::Produce) == 1).await;
    let mut other = broker.connect().await;
    other.call(3, &ApiVersionsRequest::default()).await;
    assert_eq!((requests(ApiKey::Produce), requests(ApiKey::Fetch)), (1, 0));
    drop(hold);
    client.receive::<ProduceRequest>(9).await;
    let (_, fetched) = client.receive::<FetchRequest>(12).await;
    assert_eq!(
        fetched.responses[0].partitions[0].high_watermark, 1,
        "it was dispatched behind the first"
    );
    assert_eq!(
        offset(&client.receive::<ProduceRequest>(9).await.1),
        (ErrorCode::None, 1)
    );
    broker.stop().await;
}

#[tokio::test]
async fn unacknowledged_records_are_stored_and_a_refusal_closes_the_connection() {
    let broker = TestBroker::memory().await;
    let mut client = broker.connect().await;
    create(&mut client, "t").await;
    client.send(9, &produce("t", 0, batch(&["one"]))).await;
    assert_eq!(
        offset(&client.call(9, &produce("t", 1, batch(&["two"]))).await),
        (ErrorCode::None, 1)
    );
    client
        .send(9, &produce("t", 0, corrupt(&batch(&["three"]))))
        .await;
    client.closed().await;
    broker.stop().await;
}

#[tokio::test]
async fn a_failed_flush_closes_the_connection_and_answers_nothing() {
    use firth_log::file::recorder::{Errno, Fault, Kind};
    let broker = TestBroker::recorded().await;
    let mut client = broker.connect().await;
    create(&mut client, "t").await;
    let fault = Fault::forever(Kind::Write, 1, Errno::IO).at("wal");
    broker.recorder.as_ref().unwrap().fail(fault);
    client.send(9, &produce("t", -1, batch(&["one"]))).await;
    client.closed().await;
    let mut client = broker.connect().await;
    let response = client.call(9, &produce("t", -1, batch(&["two"]))).await;
    assert_eq!(offset(&response), (ErrorCode::KafkaStorageError, -1));
}

#[tokio::test]
async fn frames_that_are_none_close_the_connection() {
    let broker = TestBroker::memory().await;
    let header = |key: i16, version: i16| {
        let mut frame = BytesMut::new();
        frame.put_i16(key);
        frame.put_i16(version);
        frame.put_i32(7);
        frame.put_i16(-1);
        frame.to_vec()
    };
    let framed = |frame: Vec<u8>| {
        let mut bytes = i32::try_from(frame.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend(frame);
        bytes
    };
    let huge_array = [header(3, 1), vec![0x7f, 0xff, 0xff, 0xff]].concat();
    let huge_string = [header(3, 1), vec![0, 0, 0, 1, 0x7f, 0xff]].concat();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("negative size", (-1_i32).to_be_bytes().to_vec()),
        ("smallest size", i32::MIN.to_be_bytes().to_vec()),
        ("size over the limit", i32::MAX.to_be_bytes().to_vec()),
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        ("empty frame", framed(Vec::new())),
        ("half a header", framed(vec![0, 3, 0])),
        ("unknown API", framed(header(999, 0))),
        ("negative API", framed(header(-1, 0))),
        ("API that is not served", framed(header(11, 5))),
        ("FindCoordinator for transactions", framed(header(10, 1))),
        ("unknown version", framed(header(3, 99))),
        ("negative version", framed(header(3, -1))),
        ("Produce of the first format", framed(header(0, 2))),
        ("body missing", framed(header(1, 4))),
        ("array of 2^31 - 1", framed(huge_array)),
        ("string that passes the frame", framed(huge_string)),
    ];
    for (what, bytes) in cases {
        let mut client = broker.connect().await;
        client.write(&bytes).await;
        let end = timeout(BOUND, client.frame()).await;
        assert_eq!(end.ok(), Some(None), "{what}");
    }
    let mut client = broker.connect().await;
    client
        .call(
            3,
            &ApiVersionsRequest {
                client_software_name: "x".into(),
                client_software_version: "1".into(),
            },
        )
        .await;
    until("the failures are counted", || {
        broker.metrics().connections_failed() == 17
    })
    .await;
    broker.stop().await;
}

#[tokio::test]
async fn an_unknown_version_of_api_versions_is_answered_in_version_0() {
    let broker = TestBroker::memory().await;
    let mut client = broker.connect().await;
    let mut frame = client.encode(3, &ApiVersionsRequest::default()).to_vec();
    frame[6..8].copy_from_slice(&77_i16.to_be_bytes());
    client.write(&frame).await;
    let (id, response) = client.receive::<ApiVersionsRequest>(0).await;
    assert_eq!((id, response.error_code), (1, ErrorCode::UnsupportedVersion));
    let range: Vec<_> = response
        .api_keys
        .iter()
        .map(|key| (key.api_key, key.max_version))
        .collect();
    assert_eq!(range, [(18, 4)]);
    let response = client
        .call(
            4,
            &ApiVersionsRequest {
                client_software_name: "a b".into(),
                client_software_version: "1".into(),
            },
        )
        .await;
    assert_eq!(response.error_code, ErrorCode::InvalidRequest);
    broker.stop().await;
}

#[tokio::test]
async fn a_large_batch_is_read_and_fetched_whole() {
    let broker = TestBroker::memory().await;
    let mut client = broker.connect().await;
    let create = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: "t".into(),
            num_partitions: 1,
            replication_factor: 1,
            configs: vec![CreatableTopicConfig {
                name: "max.message.bytes".into(),
                value: Some("30000000".into()),
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    assert_eq!(
        client.call(7, &create).await.topics[0].error_code,
        ErrorCode::None
    );
    let sizes = [
        10, 9_000, 20_000, 70_000, 300_000, 1_100_000, 9_000_000, 5, 16_380, 16_384, 1,
    ];
    let batches: Vec<_> = sizes
        .iter()
        .map(|size| batch(&["x".repeat(*size).as_str()]))
        .collect();
    let requests: Vec<_> = batches
        .iter()
        .map(|b| client.encode(9, &produce("t", -1, b.clone())))
        .collect();
    client.write(&requests.concat()).await;
    for at in 0..batches.len() {
        let (_, response) = client.receive::<ProduceRequest>(9).await;
        assert_eq!(offset(&response), (ErrorCode::None, i64::try_from(at).unwrap()));
    }
    for (at, batch) in batches.iter().enumerate() {
        let response = client.call(12, &fetch("t", i64::try_from(at).unwrap(), 0)).await;
        let records = response.responses[0].partitions[0].records.clone().unwrap();
        let bytes = records.parts().concat();
        assert!(bytes.len() >= batch.len());
        assert!(
            bytes[12 + 4..batch.len()] == batch[12 + 4..],
            "batch {at} comes back as it was sent"
        );
    }
    broker.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_not_served_and_keeps_nobody_waiting() {
    let broker = TestBroker::memory().await;
    let mut client = broker.connect().await;
    create(&mut client, "t").await;
    client
        .call(9, &produce("t", -1, batch(&["x".repeat(900_000).as_str()])))
        .await;
    let one = client.encode(12, &fetch("t", 0, 0));
    let many = one.repeat(400);
    let mut slow = broker.connect().await;
    // The requests are small, so all of them fit into the sockets' buffers; the 360 MB of answers do not.
    slow.write(&many).await;
    let metrics = broker.metrics();
    let sent = || metrics.sent_bytes();
    let fetched = || {
        metrics
            .apis()
            .find(|(key, _)| *key == ApiKey::Fetch)
            .unwrap()
            .1
            .requests()
    };
    until("the first answers are sent", || sent() > 900_000).await;
    for _ in 0..50 {
        client.call(12, &fetch("t", 0, 0)).await;
    }
    assert!(
        fetched() - 50 < 60,
        "{} answers were prepared for a client that reads none",
        fetched() - 50
    );
    for _ in 0..400 {
        slow.frame().await.unwrap();
    }
    broker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stalls_inside_of_a_large_frame_is_cut_off() {
    let config = Config {
        stall_ms_max: 30_000,
        ..Config::default()
    };
    let broker = TestBroker::with(config, firth_broker::Config::default()).await;
    let mut idle = broker.connect().await;
    idle.call(0, &ApiVersionsRequest::default()).await;
    let mut client = broker.connect().await;
    client.write(&90_000_000_i32.to_be_bytes()).await;
    until("the frame is admitted", || {
        broker.broker.memory().bytes_reserved() > 0
    })
    .await;
    assert!(
        broker.broker.memory().bytes_reserved() <= 1 << 20,
        "what did not arrive is not reserved"
    );
    let read = async {
        use tokio::io::AsyncReadExt;
        client.stream.read(&mut [0; 1]).await
    };
    assert!(matches!(
        timeout(Duration::from_secs(120), read).await,
        Ok(Ok(0) | Err(_))
    ));
    until("its memory is free", || {
        broker.broker.memory().bytes_reserved() == 0
    })
    .await;
    idle.call(0, &ApiVersionsRequest::default()).await;
}

#[tokio::test]
async fn memory_is_reserved_while_requests_are_parked_and_free_afterwards() {
    let broker = TestBroker::recorded().await;
    let mut client = broker.connect().await;
    create(&mut client, "t").await;
    until("nothing is held", || broker.broker.memory().bytes_reserved() == 0).await;
    let hold = broker.hold();
    for acks in [-1, 0, 1] {
        client
            .send(9, &produce("t", acks, batch(&["x".repeat(500_000).as_str()])))
            .await;
    }
    until("three are held", || {
        broker.broker.memory().bytes_reserved() >= 1_500_000
    })
    .await;
    drop(hold);
    client.receive::<ProduceRequest>(9).await;
    client.receive::<ProduceRequest>(9).await;
    until("all is free", || broker.broker.memory().bytes_reserved() == 0).await;
    broker.stop().await;
}

#[tokio::test]
async fn connections_over_the_limit_wait_for_one_to_close() {
    let config = Config {
        connections_max: 2,
        ..Config::default()
    };
    let broker = TestBroker::with(config, firth_broker::Config::default()).await;
    let mut first = broker.connect().await;
    let mut second = broker.connect().await;
    first.call(0, &ApiVersionsRequest::default()).await;
    second.call(0, &ApiVersionsRequest::default()).await;
    let mut third = broker.connect().await;
    third.send(0, &ApiVersionsRequest::default()).await;
    second.call(0, &ApiVersionsRequest::default()).await;
    assert!(!third.has_answer());
    drop(first);
    third.receive::<ApiVersionsRequest>(0).await;
    broker.stop().await;
}

#[tokio::test]
async fn a_stopping_broker_answers_what_it_has_begun() {
    let broker = TestBroker::recorded().await;
    let mut client = broker.connect().await;
    let mut poller = broker.connect().await;
    create(&mut client, "t").await;
    poller.send(12, &fetch("t", 0, i32::MAX)).await;
    let hold = broker.hold();
    client.send(9, &produce("t", -1, batch(&["one"]))).await;
    let metrics = broker.metrics();
    let requests = || metrics.apis().map(|(_, api)| api.requests()).sum::<u64>();
    until("both are dispatched", || requests() == 3).await;
    let stop = tokio::spawn(broker.stop());
    let (_, response) = poller.receive::<FetchRequest>(12).await;
    let waited = &response.responses[0].partitions[0];
    assert_eq!((waited.error_code, waited.high_watermark), (ErrorCode::None, 0));
    poller.closed().await;
    drop(hold);
    assert_eq!(
        offset(&client.receive::<ProduceRequest>(9).await.1),
        (ErrorCode::None, 0)
    );
    client.closed().await;
    stop.await.unwrap();
}

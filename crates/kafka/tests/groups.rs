//! What of groups happens without anybody asking for it.
#![allow(clippy::unwrap_used, reason = "this is a test")]

mod support;

use firth_kafka::{Cause, Config};
use firth_kafka_codec::*;

use support::{BOUND, TestBroker, TestClient, until};

fn join(member_id: &ByteStr) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol {
        name: "range".into(),
        metadata: bytes::Bytes::from_static(b"metadata"),
    };
    JoinGroupRequest {
        group_id: "g".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        member_id: member_id.clone(),
        protocol_type: "consumer".into(),
        protocols: vec![protocol],
        ..Default::default()
    }
}

/// A member of a generation of its own.
async fn joined(broker: &TestBroker) -> (TestClient, ByteStr) {
    let mut client = broker.connect().await;
    let asked = client.call(9, &join(&ByteStr::default())).await;
    assert_eq!(asked.error_code, ErrorCode::MemberIdRequired);
    client.send(9, &join(&asked.member_id)).await;
    let mut other = broker.connect().await;
    other.call(0, &ApiVersionsRequest::default()).await;
    broker.pass(500);
    let (_, joined) = client.receive::<JoinGroupRequest>(9).await;
    assert_eq!((joined.error_code, joined.generation_id), (ErrorCode::None, 1));
    (client, asked.member_id)
}

#[tokio::test]
async fn a_group_goes_on_when_its_time_has_come() {
    let broker = TestBroker::memory().await;
    let (mut client, member_id) = joined(&broker).await;
    assert_eq!(broker.metrics().groups(), 1);
    let bytes = broker.metrics().group_bytes();
    assert!(bytes > 100, "{bytes}");
    // Nobody hears of the member any more, and nobody asks either.
    broker.pass(10_001);
    until("the member is missed", || broker.metrics().group_bytes() < bytes).await;
    let heartbeat = HeartbeatRequest {
        group_id: "g".into(),
        generation_id: 1,
        member_id,
        ..Default::default()
    };
    let heard = client.call(4, &heartbeat).await;
    assert_eq!(heard.error_code, ErrorCode::UnknownMemberId);
    let causes: Vec<_> = broker
        .metrics()
        .rebalances()
        .filter(|(_, count)| *count > 0)
        .collect();
    assert_eq!(causes, [(Cause::MemberJoined, 1), (Cause::SessionExpired, 1)]);
    broker.stop().await;
}

#[tokio::test]
async fn who_is_parked_when_the_broker_stops_is_sent_to_look_for_another() {
    let broker = TestBroker::memory().await;
    let mut client = broker.connect().await;
    let asked = client.call(9, &join(&ByteStr::default())).await;
    client.send(9, &join(&asked.member_id)).await;
    let metrics = broker.metrics();
    let joins = || {
        metrics
            .apis()
            .find(|(key, _)| *key == ApiKey::JoinGroup)
            .unwrap()
            .1
            .requests()
    };
    until("the request is there", || joins() == 2).await;
    let stopping = tokio::spawn(broker.stop());
    let (_, answer) = client.receive::<JoinGroupRequest>(9).await;
    assert_eq!(answer.error_code, ErrorCode::NotCoordinator);
    tokio::time::timeout(BOUND, stopping).await.unwrap().unwrap();
}

#[tokio::test]
async fn offsets_that_nobody_needs_expire() {
    let mut config = Config::default();
    config.groups.offsets_retention_ms = 60_000;
    let broker_config = firth_broker::Config {
        retention_check_interval: std::time::Duration::from_millis(5),
        ..Default::default()
    };
    let broker = TestBroker::with(config, broker_config).await;
    let new = firth_broker::NewTopic {
        name: "t".to_owned(),
        ..Default::default()
    };
    broker.broker.create_topic(new).await.unwrap();
    let mut client = broker.connect().await;
    let partition = OffsetCommitRequestPartition {
        committed_offset: 5,
        ..Default::default()
    };
    let commit = OffsetCommitRequest {
        group_id: "g".into(),
        topics: vec![OffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![partition],
            ..Default::default()
        }],
        ..Default::default()
    };
    let committed = client.call(9, &commit).await;
    assert_eq!(committed.topics[0].partitions[0].error_code, ErrorCode::None);
    assert_eq!(
        (broker.metrics().groups(), broker.metrics().offsets_committed()),
        (1, 1)
    );
    // What the clock says is believed in steps of ten minutes at most.
    broker.pass(9 * 60_000);
    until("retention has looked", || {
        *broker.broker.known_time().borrow() > support::NOW_MS
    })
    .await;
    broker.pass(9 * 60_000);
    until("the offset is gone, and its group", || {
        broker.metrics().groups() == 0
    })
    .await;
    assert_eq!(broker.metrics().offsets_expired(), 1);
    broker.stop().await;
}

#[tokio::test]
async fn an_answer_names_no_topic_of_which_nothing_is_committed_but_for_those_that_do_not_exist() {
    let broker = TestBroker::memory().await;
    broker.broker.topics_or_create(&["t"]).await.remove(0).unwrap();
    let topic = |name: &str| OffsetCommitRequestTopic {
        name: name.into(),
        ..Default::default()
    };
    let request = OffsetCommitRequest {
        group_id: "g".into(),
        generation_id_or_member_epoch: -1,
        topics: vec![topic("t"), topic("none")],
        ..Default::default()
    };
    let committed = broker.connect().await.call(9, &request).await;
    let names: Vec<&str> = committed.topics.iter().map(|topic| topic.name.as_str()).collect();
    assert_eq!(names, ["none"]);
    broker.stop().await;
}

//! Connections over the quota of their address, and what a quota costs other connections.
#![allow(clippy::unwrap_used, reason = "this is a test")]

mod support;

use std::time::Duration;

use firth_broker::{QuotaEntity, QuotaKey, QuotaLimit};
use firth_kafka_codec::{ApiVersionsRequest, ErrorCode};
use support::{TestBroker, TestClient, until};

const KEY: QuotaKey = QuotaKey::ConnectionCreationRate;

async fn limit(broker: &TestBroker, limit: Option<f64>) {
    let limit = limit.map(|limit| QuotaLimit::new(KEY, limit).unwrap());
    let altered = broker
        .broker
        .alter_quotas(vec![(QuotaEntity::Ip(None), vec![(KEY, limit)])], false);
    assert_eq!(altered.await, [Ok(())]);
}

/// How many connections waited or were refused, and for how long in all.
fn waits(broker: &TestBroker) -> (u64, Duration) {
    let mut waits = broker.broker.quotas().waits();
    let (_, times, wait) = waits.find(|(key, ..)| *key == KEY).unwrap();
    (times, wait)
}

async fn versions(client: &mut TestClient) -> ErrorCode {
    client.call(0, &ApiVersionsRequest::default()).await.error_code
}

#[tokio::test]
async fn connections_over_the_quota_of_their_address_are_closed_unread() {
    let broker = TestBroker::memory().await;
    limit(&broker, Some(1.0)).await;
    let mut served = Vec::new();
    for _ in 0..10 {
        let mut client = broker.connect().await;
        assert_eq!(versions(&mut client).await, ErrorCode::None);
        served.push(client);
    }
    let mut refused = broker.connect().await;
    refused.send(0, &ApiVersionsRequest::default()).await;
    refused.closed().await;
    assert_eq!(broker.metrics().connections_accepted(), 10);
    let (times, wait) = waits(&broker);
    assert_eq!((times, wait.as_millis()), (1, 1000), "a second at most");
    for client in &mut served {
        assert_eq!(
            versions(client).await,
            ErrorCode::None,
            "those that are open stay open"
        );
    }
    // A refused one does not count, so there is room as soon as the others are forgotten.
    broker.pass(11_000);
    assert_eq!(versions(&mut broker.connect().await).await, ErrorCode::None);
    drop(served);
    until("all are closed", || broker.metrics().connections_open() <= 1).await;
    broker.stop().await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_who_is_throttled() {
    let broker = TestBroker::memory().await;
    limit(&broker, Some(1.0)).await;
    let mut clients = Vec::new();
    for _ in 0..12 {
        clients.push(broker.connect().await);
    }
    until("two are over the quota", || waits(&broker).0 == 2).await;
    broker.stop().await;
    for client in &mut clients {
        client.closed().await;
    }
}

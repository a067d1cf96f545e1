use std::sync::atomic::{AtomicI64, Ordering};

use firth_log::Engine;

use super::*;
use crate::topology::tests::{engine, environment};
use crate::{Config, Environment, ExchangeKind, NewBinding, NewExchange, NewQueue};

const NOW_MS: i64 = 1_800_000_000_000;
const HOUR_MS: u32 = 3_600_000;

/// A broker whose clock is set by the test.
async fn open(engine: &Engine, now_ms: &Arc<AtomicI64>) -> Broker {
    let now_ms = now_ms.clone();
    let environment = Environment {
        clock: crate::Clock::new(move || now_ms.load(Ordering::Relaxed), || Duration::ZERO),
        ..environment()
    };
    Broker::open(engine.clone(), Config::default(), environment)
        .await
        .unwrap()
}

/// A queue that is bound to a delayed exchange.
fn declare(broker: &Broker) -> Arc<Queue> {
    let virtual_host = broker.topology().virtual_host("/").unwrap();
    let exchange = NewExchange {
        name: "later".to_owned(),
        kind: ExchangeKind::Delayed(Box::new(ExchangeKind::Direct)),
        durable: true,
        ..NewExchange::default()
    };
    virtual_host.declare_exchange(exchange).unwrap();
    let queue = NewQueue {
        name: "q".to_owned(),
        durable: true,
        ..NewQueue::default()
    };
    let queue = virtual_host.declare_queue(queue, None).unwrap().item;
    let binding = NewBinding {
        source: "later".into(),
        destination: crate::Destination::Queue("q".into()),
        key: "key".to_owned(),
        arguments: Vec::new(),
        header_match: crate::HeaderMatch::default(),
    };
    virtual_host.bind(binding).unwrap();
    queue
}

async fn delay(broker: &Broker, delays: &[(u32, &str)]) {
    let mut publication = broker.publication();
    for (delay_ms, body) in delays {
        let message = Message {
            exchange: b"later",
            routing_key: b"key",
            body: body.as_bytes(),
            ..Message::default()
        };
        publication.delay("/", *delay_ms, &message).unwrap();
    }
    publication.store().unwrap().await.unwrap();
}

/// Waits for what background tasks do: time that is paused goes on when all of them wait.
async fn until(what: impl Fn() -> bool) {
    while !what() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn bodies(queue: &Arc<Queue>) -> Vec<String> {
    let mut bodies = Vec::new();
    while let Some(taken) = queue.get() {
        let mut reader = Reader::new(queue.clone());
        let read = reader.read(taken, |delivered| {
            bodies.push(String::from_utf8_lossy(delivered.message.body).into_owned());
            true
        });
        assert_eq!(read.await.unwrap(), None);
    }
    bodies
}

#[tokio::test(start_paused = true)]
async fn messages_come_in_the_order_of_their_times_also_after_a_restart() {
    let engine = engine();
    let now_ms = Arc::new(AtomicI64::new(NOW_MS));
    let broker = open(&engine, &now_ms).await;
    let queue = declare(&broker);
    delay(
        &broker,
        &[
            (5000, "second"),
            (1000, "first"),
            (5 * HOUR_MS, "far"),
            (3 * HOUR_MS, "near"),
        ],
    )
    .await;
    assert_eq!(queue.counts().ready, 0);
    now_ms.fetch_add(6000, Ordering::Relaxed);
    until(|| queue.counts().ready == 2).await;
    assert_eq!(bodies(&queue).await, ["first", "second"]);
    broker.shutdown().await;

    let broker = open(&engine, &now_ms).await;
    let queue = broker.topology().virtual_host("/").unwrap().queue("q").unwrap();
    now_ms.fetch_add(4 * i64::from(HOUR_MS), Ordering::Relaxed);
    until(|| queue.counts().ready == 3).await;
    assert_eq!(bodies(&queue).await, ["first", "second", "near"]);
    now_ms.fetch_add(2 * i64::from(HOUR_MS), Ordering::Relaxed);
    until(|| queue.counts().ready == 1).await;
    assert_eq!(bodies(&queue).await, ["far"]);
    // What is over leaves nothing.
    until(|| broker.queues().buckets.beginning_before(i64::MAX).is_empty()).await;
}

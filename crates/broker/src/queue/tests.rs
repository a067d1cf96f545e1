//! Queues of a broker, on an engine that outlives it.

use std::sync::Arc;

use smallvec::smallvec;

use super::*;
use crate::topology::tests::{engine, open};
use crate::{Broker, Message};

fn declare(broker: &Broker, id: u64, durable: bool, options: QueueOptions) -> Arc<Queue> {
    let definition = QueueDefinition {
        id: QueueId(id),
        virtual_host: "/".into(),
        name: format!("q{id}").into(),
        durable,
        auto_delete: false,
        exclusive: None,
        options: Arc::new(options),
        arguments: Arc::new([]),
        topic: None,
    };
    Queue::create(broker.queues(), definition)
}

fn message(body: &str) -> Message<'_> {
    Message {
        exchange: b"x",
        routing_key: b"key",
        body: body.as_bytes(),
        ..Message::default()
    }
}

async fn publish(broker: &Broker, targets: &[&Arc<Queue>], bodies: &[&str]) {
    let mut publication = broker.publication();
    let targets: Vec<_> = targets.iter().map(|queue| (*queue).clone()).collect();
    for body in bodies {
        publication
            .publish(&"/".into(), &targets, &message(body))
            .unwrap();
    }
    publication.store().unwrap().await.unwrap();
}

struct Client {
    mailbox: Arc<Mailbox>,
    credit: Arc<Credit>,
    queue: Arc<Queue>,
    /// What was delivered and is still held.
    held: Vec<Taken>,
}

impl Client {
    fn new(queue: &Arc<Queue>, credit: u32) -> Client {
        Client::with_priority(queue, credit, 0)
    }

    fn with_priority(queue: &Arc<Queue>, credit: u32, priority: i32) -> Client {
        let client = Client {
            mailbox: Mailbox::new(),
            credit: Credit::new(credit),
            queue: queue.clone(),
            held: Vec::new(),
        };
        let consumer = Consumer {
            key: 1,
            mailbox: client.mailbox.clone(),
            priority,
            credits: smallvec![client.credit.clone()],
            exclusive: false,
        };
        queue.consume(consumer).unwrap();
        client
    }

    /// What came, as the bodies, with `!` behind what may have been delivered before.
    async fn receive(&mut self) -> Vec<String> {
        self.queue.advance();
        let mut reader = Reader::new(self.queue.clone());
        let mut bodies = Vec::new();
        for event in self.mailbox.take() {
            let Event::Taken { taken, .. } = event else {
                continue;
            };
            self.held.push(taken.clone());
            bodies.extend(read(&mut reader, taken).await);
        }
        bodies
    }

    fn acknowledge(&mut self) {
        let held = std::mem::take(&mut self.held);
        let count: u64 = held.iter().map(Taken::len).sum();
        self.credit.give(count as i64);
        self.queue
            .acknowledge(held.into_iter().map(|taken| (taken.priority, taken.offsets)));
    }
}

async fn read(reader: &mut Reader, taken: Taken) -> Vec<String> {
    let mut bodies = Vec::new();
    let rest = reader.read(taken, |delivered| {
        let body = String::from_utf8_lossy(delivered.message.body);
        bodies.push(format!("{body}{}", if delivered.redelivered { "!" } else { "" }));
        true
    });
    assert_eq!(rest.await.unwrap(), None);
    bodies
}

#[tokio::test]
async fn messages_are_delivered_as_there_is_credit() {
    let broker = open(&engine()).await;
    let queue = declare(&broker, 1, true, QueueOptions::default());
    publish(&broker, &[&queue], &["a", "b", "c"]).await;
    let mut client = Client::new(&queue, 2);
    assert_eq!(client.receive().await, ["a", "b"]);
    let counts = queue.counts();
    assert_eq!((counts.ready, counts.unacknowledged, counts.consumers), (1, 2, 1));
    client.acknowledge();
    assert_eq!(client.receive().await, ["c"]);
    client.acknowledge();
    assert_eq!(queue.counts().unacknowledged, 0);
    publish(&broker, &[&queue], &["d"]).await;
    assert_eq!(client.receive().await, ["d"]);
}

#[tokio::test]
async fn what_is_given_back_comes_first_and_is_marked() {
    let broker = open(&engine()).await;
    let queue = declare(&broker, 1, false, QueueOptions::default());
    publish(&broker, &[&queue], &["a", "b", "c"]).await;
    let first = queue.get().unwrap();
    let second = queue.get().unwrap();
    queue.give_back([second], true);
    queue.give_back([first], false);
    let mut client = Client::new(&queue, 9);
    assert_eq!(client.receive().await, ["a", "b!", "c"]);
}

#[tokio::test]
async fn consumers_of_one_priority_take_turns() {
    let broker = open(&engine()).await;
    let queue = declare(&broker, 1, false, QueueOptions::default());
    let (mut one, mut other) = (Client::new(&queue, 100), Client::new(&queue, 100));
    publish(&broker, &[&queue], &["a", "b", "c", "d", "e"]).await;
    assert_eq!(one.receive().await, ["a", "c", "e"]);
    assert_eq!(other.receive().await, ["b", "d"]);
}

#[tokio::test]
async fn a_message_for_several_queues_is_stored_once_and_keeps_its_place() {
    let engine = engine();
    let broker = open(&engine).await;
    let durable = declare(&broker, 1, true, QueueOptions::default());
    let other = declare(&broker, 2, true, QueueOptions::default());
    let memory = declare(&broker, 3, false, QueueOptions::default());
    let mut publication = broker.publication();
    let all = [durable.clone(), other.clone(), memory.clone()];
    for at in 0..9 {
        let targets: &[_] = if at % 3 == 1 { &all[..1] } else { &all };
        let body = at.to_string();
        publication
            .publish(&"/".into(), targets, &message(&body))
            .unwrap();
    }
    publication.store().unwrap().await.unwrap();
    assert_eq!(
        Client::new(&durable, 99).receive().await,
        ["0", "1", "2", "3", "4", "5", "6", "7", "8"]
    );
    assert_eq!(
        Client::new(&other, 99).receive().await,
        ["0", "2", "3", "5", "6", "8"]
    );
    assert_eq!(
        Client::new(&memory, 99).receive().await,
        ["0", "2", "3", "5", "6", "8"]
    );
    // What several durable queues have lies in one log of its own.
    let lanes: Vec<_> = [&durable, &other]
        .iter()
        .map(|queue| queue.lane_of(0).unwrap())
        .collect();
    let bytes = |log| engine.published_bytes(log).unwrap();
    assert!(bytes(lanes[1]) < 3 * 120, "{} bytes", bytes(lanes[1]));
}

#[tokio::test]
async fn a_restart_keeps_what_was_not_acknowledged() {
    let engine = engine();
    let broker = open(&engine).await;
    let queue = declare_in_host(&broker, "q", QueueOptions::default());
    let mut client = Client::new(&queue, 3);
    publish(&broker, &[&queue], &["a", "b", "c"]).await;
    assert_eq!(client.receive().await, ["a", "b", "c"]);
    client.queue.acknowledge([(0, 1..2)]);
    broker.store_queues().unwrap().await.unwrap();
    publish(&broker, &[&queue], &["d"]).await;
    broker.shutdown().await;

    let broker = open(&engine).await;
    let queue = broker.topology().virtual_host("/").unwrap().queue("q").unwrap();
    assert_eq!(queue.counts().ready, 3);
    let mut client = Client::new(&queue, 9);
    assert_eq!(client.receive().await, ["a!", "c!", "d"]);
}

#[tokio::test]
async fn limits_drop_the_head_or_refuse_the_new() {
    let broker = open(&engine()).await;
    let limited = |overflow| QueueOptions {
        max_length: Some(2),
        overflow,
        ..QueueOptions::default()
    };
    let drops = declare(&broker, 1, true, limited(Overflow::DropHead));
    let refuses = declare(&broker, 2, true, limited(Overflow::RejectPublish));
    publish(&broker, &[&drops], &["a", "b", "c"]).await;
    drops.advance();
    assert_eq!(Client::new(&drops, 9).receive().await, ["b", "c"]);
    let mut publication = broker.publication();
    let outcome: Vec<_> = ["a", "b", "c"]
        .iter()
        .map(|body| {
            let published = publication.publish(&"/".into(), std::slice::from_ref(&refuses), &message(body));
            published.unwrap().refused
        })
        .collect();
    publication.store().unwrap().await.unwrap();
    assert_eq!(outcome, [0, 0, 1]);
    assert_eq!(Client::new(&refuses, 9).receive().await, ["a", "b"]);
}

#[tokio::test]
async fn priorities_come_before_arrival() {
    let broker = open(&engine()).await;
    let options = QueueOptions {
        max_priority: Some(5),
        ..QueueOptions::default()
    };
    let queue = declare(&broker, 1, true, options);
    let mut publication = broker.publication();
    for (body, priority) in [("low", 0), ("high", 9), ("middle", 3), ("also high", 5)] {
        let message = Message {
            priority,
            ..message(body)
        };
        publication
            .publish(&"/".into(), std::slice::from_ref(&queue), &message)
            .unwrap();
    }
    publication.store().unwrap().await.unwrap();
    assert_eq!(
        Client::new(&queue, 9).receive().await,
        ["high", "also high", "middle", "low"]
    );
}

#[tokio::test]
async fn deletion_tells_consumers_and_leaves_nothing() {
    let engine = engine();
    let broker = open(&engine).await;
    let logs = engine.logs().len();
    let queue = declare(&broker, 1, true, QueueOptions::default());
    publish(&broker, &[&queue], &["a", "b"]).await;
    let client = Client::new(&queue, 1);
    assert_eq!(queue.delete(true, false), Err(NotDeleted::InUse));
    assert_eq!(queue.delete(true, true), Err(NotDeleted::NotEmpty));
    assert_eq!(queue.delete(false, false), Ok(1));
    let events = client.mailbox.take();
    assert!(matches!(
        events[..],
        [Event::Taken { .. }, Event::Cancelled { consumer: 1 }]
    ));
    publish(&broker, &[&queue], &["b"]).await;
    // The log of what queues store is there.
    assert_eq!(engine.logs().len(), logs + 1);
    broker.shutdown().await;
    let broker = open(&engine).await;
    assert_eq!(
        declare(&broker, 1, true, QueueOptions::default()).counts(),
        Counts::default()
    );
}

/// Waits for what background tasks do.
async fn until(what: impl Fn() -> bool) {
    while !what() {
        tokio::task::yield_now().await;
    }
}

fn dead_letters_to(target: &Arc<Queue>) -> QueueOptions {
    QueueOptions {
        // The default exchange knows every queue by its name.
        dead_letter_exchange: Some("".into()),
        dead_letter_routing_key: Some(target.name().into()),
        ..QueueOptions::default()
    }
}

fn declare_in_host(broker: &Broker, name: &str, options: QueueOptions) -> Arc<Queue> {
    let new = NewQueue {
        name: name.to_owned(),
        durable: true,
        options,
        ..NewQueue::default()
    };
    let virtual_host = broker.topology().virtual_host("/").unwrap();
    virtual_host.declare_queue(new, None).unwrap().item
}

#[tokio::test]
async fn rejected_messages_move_with_what_they_died_of() {
    let engine = engine();
    let broker = open(&engine).await;
    let graveyard = declare_in_host(&broker, "graveyard", QueueOptions::default());
    let queue = declare_in_host(&broker, "q", dead_letters_to(&graveyard));
    publish(&broker, &[&queue], &["a", "b"]).await;
    let taken = queue.get().unwrap();
    queue.reject([taken], Reason::Rejected);
    until(|| graveyard.counts().ready == 1).await;
    assert_eq!(
        queue.counts(),
        Counts {
            ready: 1,
            ..Counts::default()
        }
    );
    broker.shutdown().await;

    let broker = open(&engine).await;
    let virtual_host = broker.topology().virtual_host("/").unwrap();
    let (graveyard, queue) = (
        virtual_host.queue("graveyard").unwrap(),
        virtual_host.queue("q").unwrap(),
    );
    assert_eq!(Client::new(&queue, 9).receive().await, ["b"]);
    let taken = graveyard.get().unwrap();
    let mut seen = Vec::new();
    let mut reader = Reader::new(graveyard.clone());
    let read = reader.read(taken, |delivered| {
        let deaths = crate::dead_letter::deaths(delivered.message.deaths);
        seen.push((delivered.message.body.to_vec(), deaths));
        true
    });
    assert_eq!(read.await.unwrap(), None);
    let (body, deaths) = &seen[0];
    assert_eq!(body, b"a");
    assert_eq!(
        (&deaths[0].queue[..], deaths[0].reason, deaths[0].count),
        (&b"q"[..], Reason::Rejected, 1)
    );
}

#[tokio::test]
async fn what_waited_too_long_is_gone() {
    let broker = open(&engine()).await;
    let ttl = |ms| QueueOptions {
        message_ttl_ms: Some(ms),
        ..QueueOptions::default()
    };
    let at_once = declare_in_host(&broker, "at once", ttl(0));
    publish(&broker, &[&at_once], &["a", "b"]).await;
    at_once.advance();
    until(|| at_once.counts() == Counts::default()).await;
    let later = declare_in_host(&broker, "later", ttl(60_000));
    publish(&broker, &[&later], &["c"]).await;
    assert_eq!(Client::new(&later, 9).receive().await, ["c"]);
}

#[tokio::test]
async fn what_was_returned_too_often_is_dead() {
    let broker = open(&engine()).await;
    let options = QueueOptions {
        delivery_limit: Some(1),
        ..QueueOptions::default()
    };
    let queue = declare_in_host(&broker, "q", options);
    publish(&broker, &[&queue], &["a"]).await;
    for returns in 0..2 {
        let taken = queue.get().unwrap();
        assert_eq!(taken.returns, returns);
        queue.give_back([taken], true);
    }
    assert_eq!(queue.counts(), Counts::default());
}

/// Bounds of the logs that are not lanes: fan-out logs.
fn fan_outs(broker: &Broker) -> Vec<(i64, i64)> {
    let logs = broker.queues().fan_outs.logs();
    let bounds = logs.iter().filter_map(|log| broker.queues().engine.bounds(*log));
    bounds.map(|bounds| (bounds.start, bounds.end)).collect()
}

#[tokio::test]
async fn a_fan_out_log_keeps_what_some_queue_wants() {
    let engine = engine();
    let broker = open(&engine).await;
    let fast = declare_in_host(&broker, "fast", QueueOptions::default());
    let slow = declare_in_host(&broker, "slow", QueueOptions::default());
    publish(&broker, &[&fast, &slow], &["a", "b", "c"]).await;
    let mut client = Client::new(&fast, 9);
    assert_eq!(client.receive().await, ["a", "b", "c"]);
    client.acknowledge();
    crate::reclaim::reclaim(broker.queues()).await;
    assert_eq!(fan_outs(&broker), [(0, 3)]);

    let taken = slow.get().unwrap();
    slow.acknowledge([(taken.priority, taken.offsets)]);
    crate::reclaim::reclaim(broker.queues()).await;
    assert_eq!(fan_outs(&broker), [(1, 3)]);
    broker.shutdown().await;

    // An earlier life's log goes as a whole.
    let broker = open(&engine).await;
    crate::reclaim::reclaim(broker.queues()).await;
    assert_eq!(fan_outs(&broker), [(1, 3)]);
    let slow = broker
        .topology()
        .virtual_host("/")
        .unwrap()
        .queue("slow")
        .unwrap();
    let mut client = Client::new(&slow, 9);
    assert_eq!(client.receive().await, ["b", "c"]);
    client.acknowledge();
    crate::reclaim::reclaim(broker.queues()).await;
    assert_eq!(fan_outs(&broker), []);
}

#[tokio::test]
async fn limits_of_bytes_hold_across_a_restart() {
    let engine = engine();
    let broker = open(&engine).await;
    let limited = |overflow| QueueOptions {
        max_length_bytes: Some(10),
        overflow,
        ..QueueOptions::default()
    };
    let drops = declare_in_host(&broker, "drops", limited(Overflow::DropHead));
    publish(&broker, &[&drops], &["1234", "5678", "9"]).await;
    drops.advance();
    assert_eq!(drops.counts().ready, 3);
    publish(&broker, &[&drops], &["10"]).await;
    drops.advance();
    assert_eq!(drops.counts().ready, 3);
    let refuses = declare_in_host(&broker, "refuses", limited(Overflow::RejectPublish));
    let mut publication = broker.publication();
    let mut refused = Vec::new();
    for body in ["12345678", "123", "12"] {
        let targets = std::slice::from_ref(&refuses);
        refused.push(
            publication
                .publish(&"/".into(), targets, &message(body))
                .unwrap()
                .refused,
        );
    }
    publication.store().unwrap().await.unwrap();
    assert_eq!(refused, [0, 1, 0]);
    broker.shutdown().await;

    let broker = open(&engine).await;
    let virtual_host = broker.topology().virtual_host("/").unwrap();
    let drops = virtual_host.queue("drops").unwrap();
    until(|| !drops.accepts(1, 4)).await;
    publish(&broker, &[&drops], &["1112"]).await;
    drops.advance();
    assert_eq!(Client::new(&drops, 9).receive().await, ["9", "10", "1112"]);
}

#[test]
fn an_idle_queue_is_small() {
    assert!(size_of::<Queue>() <= 264, "{}", size_of::<Queue>());
    assert!(size_of::<Lane>() <= 320, "{}", size_of::<Lane>());
}

#[tokio::test]
async fn the_first_consumer_is_the_active_one_until_it_leaves() {
    let broker = open(&engine()).await;
    let options = QueueOptions {
        single_active_consumer: true,
        ..QueueOptions::default()
    };
    let queue = declare(&broker, 1, false, options);
    let mut first = Client::new(&queue, 9);
    let mut important = Client::with_priority(&queue, 9, 10);
    publish(&broker, &[&queue], &["a"]).await;
    assert_eq!(first.receive().await, ["a"]);
    assert!(!queue.cancel(&first.mailbox, 1));
    publish(&broker, &[&queue], &["b"]).await;
    assert_eq!(important.receive().await, ["b"]);
}

#[tokio::test]
async fn what_comes_back_may_be_too_much() {
    let broker = open(&engine()).await;
    let options = QueueOptions {
        max_length: Some(1),
        ..QueueOptions::default()
    };
    let queue = declare(&broker, 1, true, options);
    publish(&broker, &[&queue], &["a"]).await;
    let taken = queue.get().unwrap();
    publish(&broker, &[&queue], &["b"]).await;
    queue.advance();
    queue.give_back([taken], true);
    assert_eq!(Client::new(&queue, 9).receive().await, ["b"]);
}

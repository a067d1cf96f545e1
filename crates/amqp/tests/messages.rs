//! Publishing, consuming, getting and settling, through the wire.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use firth_amqp_codec::*;
use firth_broker::{Destination, HeaderMatch, NewBinding, NewTopic};
use support::{TestBroker, short, table};

#[tokio::test]
async fn a_message_goes_through_a_queue() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    let declared = client.declare(1, "q").await;
    assert_eq!((declared.message_count, declared.consumer_count), (0, 0));
    let headers = table(&[("h", FieldValue::I32(7))]);
    let properties = BasicProperties {
        content_type: Some(b"text/plain"),
        headers: Some(headers.as_table()),
        delivery_mode: Some(2),
        ..Default::default()
    };
    let publish = basic::Publish {
        routing_key: short("q"),
        ..Default::default()
    };
    client.publish_with(1, &publish, &properties, b"body").await;
    // What a channel published it can get at once.
    let (get_ok, content) = client.get(1, "q", false).await.unwrap();
    assert_eq!(
        (get_ok.delivery_tag, get_ok.redelivered, get_ok.message_count),
        (1, false, 0)
    );
    assert_eq!(BasicProperties::read(&content.properties), Ok(properties));
    assert_eq!(content.body.into_bytes(), b"body".as_slice());
    client.ack(1, 1, false).await;
    assert_eq!(client.declare(1, "q").await.message_count, 0);
    assert!(client.get(1, "q", false).await.is_none());
    client.close().await;
    broker.stop().await;
}

#[tokio::test]
async fn a_consumer_gets_messages_of_all_sizes_in_their_order() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.declare(1, "q").await;
    client.consume(1, "q", "c", false).await;
    let sizes = [0_usize, 1, 4096, 4097, 131_063, 131_064, 131_065, 1_000_000];
    for size in sizes {
        client.publish(1, "", "q", &vec![7; size]).await;
    }
    for (index, size) in sizes.into_iter().enumerate() {
        let (deliver, body) = client.delivered(1).await;
        assert_eq!(deliver.delivery_tag, index as u64 + 1);
        assert_eq!(
            (deliver.consumer_tag, deliver.routing_key),
            (short("c"), short("q"))
        );
        assert!(body.len() == size && body.iter().all(|byte| *byte == 7), "{size}");
    }
    client.ack(1, 8, true).await;
    let declared = client.declare(1, "q").await;
    assert_eq!((declared.message_count, declared.consumer_count), (0, 1));
    client.close().await;
    broker.stop().await;
}

#[tokio::test]
async fn what_is_not_acknowledged_comes_again() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.declare(1, "q").await;
    for body in [b"1", b"2", b"3"] {
        client.publish(1, "", "q", body).await;
    }
    client.consume(1, "q", "c", false).await;
    for _ in 0..3 {
        client.delivered(1).await;
    }
    client.ack(1, 2, false).await;
    let nack = basic::Nack {
        delivery_tag: 1,
        multiple: false,
        requeue: true,
    };
    client.send(1, &nack).await;
    let (deliver, body) = client.delivered(1).await;
    assert_eq!(
        (deliver.delivery_tag, deliver.redelivered, &body[..]),
        (4, true, &b"1"[..])
    );
    // A channel that is closed gives back what it had.
    let _: channel::CloseOk = client.call(1, &channel::Close::default()).await;
    client.open(1).await;
    for expected in [b"1", b"3"] {
        let (get_ok, content) = client.get(1, "q", true).await.unwrap();
        assert!(get_ok.redelivered);
        assert_eq!(content.body.into_bytes(), expected.as_slice());
    }
    assert!(client.get(1, "q", true).await.is_none());
    client.close().await;
    broker.stop().await;
}

#[tokio::test]
async fn a_tag_is_settled_once() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.declare(1, "q").await;
    client.publish(1, "", "q", b"1").await;
    client.get(1, "q", false).await.unwrap();
    client.ack(1, 1, false).await;
    client.ack(1, 1, false).await;
    assert_eq!(
        client.closed(1).await,
        "406 PRECONDITION_FAILED - unknown delivery tag 1"
    );
    // The connection lives on.
    client.open(1).await;
    assert_eq!(client.declare(1, "q").await.message_count, 0);
    client.close().await;
    broker.stop().await;
}

#[tokio::test]
async fn prefetch_holds_messages_back() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.declare(1, "q").await;
    let qos = basic::Qos {
        prefetch_count: 2,
        ..Default::default()
    };
    let _: basic::QosOk = client.call(1, &qos).await;
    for body in [b"1", b"2", b"3", b"4"] {
        client.publish(1, "", "q", body).await;
    }
    client.consume(1, "q", "c", false).await;
    for tag in 1..=2 {
        assert_eq!(client.delivered(1).await.0.delivery_tag, tag);
    }
    assert_eq!(client.declare(1, "q").await.message_count, 2);
    client.ack(1, 1, false).await;
    assert_eq!(client.delivered(1).await.1, b"3".as_slice());
    client.ack(1, 3, true).await;
    assert_eq!(client.delivered(1).await.1, b"4".as_slice());
    client.close().await;
    broker.stop().await;
}

#[tokio::test]
async fn a_limit_for_the_channel_is_shared_by_its_consumers() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    for queue in ["a", "b"] {
        client.declare(1, queue).await;
        client.publish(1, "", queue, queue.as_bytes()).await;
        client.publish(1, "", queue, queue.as_bytes()).await;
    }
    let qos = basic::Qos {
        prefetch_count: 1,
        global: true,
        ..Default::default()
    };
    let _: basic::QosOk = client.call(1, &qos).await;
    client.consume(1, "a", "a", false).await;
    client.consume(1, "b", "b", false).await;
    let mut got = Vec::new();
    for tag in 1..=4 {
        got.push(client.delivered(1).await.1);
        // Nothing more comes before it is acknowledged.
        client.declare(1, "a").await;
        client.ack(1, tag, false).await;
    }
    got.sort();
    assert_eq!(got, ["a", "a", "b", "b"]);
    client.close().await;
    broker.stop().await;
}

#[tokio::test]
async fn what_need_not_be_acknowledged_is_gone_when_it_is_sent() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.declare(1, "q").await;
    client.consume(1, "q", "c", true).await;
    for index in 0..3000_u32 {
        client.publish(1, "", "q", &index.to_be_bytes()).await;
    }
    for index in 0..3000_u32 {
        assert_eq!(client.delivered(1).await.1, index.to_be_bytes().as_slice());
    }
    assert_eq!(client.declare(1, "q").await.message_count, 0);
    client.close().await;
    broker.stop().await;
}

#[tokio::test]
async fn a_cancelled_consumer_gets_nothing_more() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.declare(1, "q").await;
    client.consume(1, "q", "c", false).await;
    let cancel = basic::Cancel {
        consumer_tag: short("c"),
        no_wait: false,
    };
    let cancel_ok: basic::CancelOk = client.call(1, &cancel).await;
    assert_eq!(cancel_ok.consumer_tag, "c");
    client.publish(1, "", "q", b"1").await;
    let declared = client.declare(1, "q").await;
    assert_eq!((declared.message_count, declared.consumer_count), (1, 0));
    // What is not there is cancelled, too.
    let _: basic::CancelOk = client.call(1, &cancel).await;
    client.close().await;
    broker.stop().await;
}

#[tokio::test]
async fn consumers_learn_that_their_queue_is_gone() {
    let broker = TestBroker::start().await;
    let (mut consumer, mut other) = (broker.client().await, broker.client().await);
    consumer.declare(1, "q").await;
    consumer.consume(1, "q", "c", false).await;
    let delete = queue::Delete {
        queue: short("q"),
        ..Default::default()
    };
    let _: queue::DeleteOk = other.call(1, &delete).await;
    let cancel: basic::Cancel = consumer.expect(1).await;
    assert_eq!(cancel.consumer_tag, "c");
    consumer.close().await;
    other.close().await;
    broker.stop().await;
}

#[tokio::test]
async fn publishers_are_told_what_is_stored() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.declare(1, "q").await;
    let _: confirm::SelectOk = client.call(1, &confirm::Select { no_wait: false }).await;
    for _ in 0..500 {
        client.publish(1, "", "q", b"1").await;
    }
    let mut confirmed = 0;
    while confirmed < 500 {
        let ack: basic::Ack = client.expect(1).await;
        assert!(ack.delivery_tag > confirmed && (ack.multiple || ack.delivery_tag == confirmed + 1));
        confirmed = ack.delivery_tag;
    }
    assert_eq!(client.declare(1, "q").await.message_count, 500);
    client.close().await;
    broker.stop().await;
}

#[tokio::test]
async fn what_nobody_takes_is_returned_before_it_is_confirmed() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    let _: confirm::SelectOk = client.call(1, &confirm::Select { no_wait: false }).await;
    let publish = basic::Publish {
        routing_key: short("nowhere"),
        mandatory: true,
        ..Default::default()
    };
    client
        .publish_with(1, &publish, &BasicProperties::default(), b"body")
        .await;
    let (_, first) = client.next().await.unwrap();
    let Method::Basic(basic::Method::Return(returned)) = first.method else {
        panic!("{first:?} came first");
    };
    assert_eq!(
        (returned.reply_code, returned.reply_text),
        (312, short("NO_ROUTE"))
    );
    assert_eq!(first.content.unwrap().body.into_bytes(), b"body".as_slice());
    let ack: basic::Ack = client.expect(1).await;
    assert_eq!(ack.delivery_tag, 1);
    client.close().await;
    broker.stop().await;
}

#[tokio::test]
async fn a_full_queue_refuses() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    let declare = queue::Declare {
        queue: short("q"),
        durable: true,
        arguments: table(&[
            ("x-max-length", FieldValue::I32(2)),
            ("x-overflow", FieldValue::LongStr(b"reject-publish")),
        ]),
        ..Default::default()
    };
    let _: queue::DeclareOk = client.call(1, &declare).await;
    let _: confirm::SelectOk = client.call(1, &confirm::Select { no_wait: false }).await;
    for tag in 1..=2 {
        client.publish(1, "", "q", b"1").await;
        let ack: basic::Ack = client.expect(1).await;
        assert_eq!(ack.delivery_tag, tag);
    }
    client.publish(1, "", "q", b"1").await;
    let nack: basic::Nack = client.expect(1).await;
    assert_eq!((nack.delivery_tag, nack.multiple), (3, false));
    client.close().await;
    broker.stop().await;
}

#[tokio::test]
async fn a_transaction_takes_effect_when_it_is_committed() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.declare(1, "q").await;
    client.open(2).await;
    let _: tx::SelectOk = client.call(1, &tx::Select {}).await;
    client.publish(1, "", "q", b"1").await;
    client.publish(1, "", "q", b"2").await;
    assert!(client.get(2, "q", true).await.is_none());
    let _: tx::CommitOk = client.call(1, &tx::Commit {}).await;
    client.get(1, "q", false).await.unwrap();
    client.ack(1, 1, false).await;
    client.publish(1, "", "q", b"3").await;
    let _: tx::RollbackOk = client.call(1, &tx::Rollback {}).await;
    // The acknowledgement is undone, so it can be given again.
    client.ack(1, 1, false).await;
    let _: tx::CommitOk = client.call(1, &tx::Commit {}).await;
    let (_, content) = client.get(2, "q", true).await.unwrap();
    assert_eq!(content.body.into_bytes(), b"2".as_slice());
    assert!(client.get(2, "q", true).await.is_none());
    client.close().await;
    broker.stop().await;
}

#[tokio::test]
async fn a_delayed_exchange_keeps_messages_for_a_while() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.declare(1, "q").await;
    let declare = exchange::Declare {
        exchange: short("later"),
        kind: short("x-delayed-message"),
        durable: true,
        arguments: table(&[("x-delayed-type", FieldValue::LongStr(b"direct"))]),
        ..Default::default()
    };
    let _: exchange::DeclareOk = client.call(1, &declare).await;
    let bind = queue::Bind {
        queue: short("q"),
        exchange: short("later"),
        routing_key: short("k"),
        ..Default::default()
    };
    let _: queue::BindOk = client.call(1, &bind).await;
    let _: confirm::SelectOk = client.call(1, &confirm::Select { no_wait: false }).await;
    client.consume(1, "q", "c", true).await;
    let headers = table(&[("x-delay", FieldValue::I32(60_000))]);
    let properties = BasicProperties {
        headers: Some(headers.as_table()),
        ..Default::default()
    };
    let publish = basic::Publish {
        exchange: short("later"),
        routing_key: short("k"),
        mandatory: true,
        ..Default::default()
    };
    client.publish_with(1, &publish, &properties, b"later").await;
    let _: basic::Ack = client.expect(1).await;
    client.publish(1, "later", "k", b"now").await;
    assert_eq!(client.delivered(1).await.1, b"now".as_slice());
    broker.pass(61_000);
    assert_eq!(client.delivered(1).await.1, b"later".as_slice());
    client.close().await;
    broker.stop().await;
}

#[tokio::test]
async fn replies_go_straight_to_who_asked() {
    let broker = TestBroker::start().await;
    let (mut asker, mut server) = (broker.client().await, broker.client().await);
    server.declare(1, "rpc").await;
    server.consume(1, "rpc", "c", true).await;
    asker.consume(1, "amq.rabbitmq.reply-to", "r", true).await;
    let publish = basic::Publish {
        routing_key: short("rpc"),
        ..Default::default()
    };
    let properties = BasicProperties {
        reply_to: Some(b"amq.rabbitmq.reply-to"),
        correlation_id: Some(b"7"),
        ..Default::default()
    };
    asker.publish_with(1, &publish, &properties, b"question").await;
    let (_, content) = server.expect_content::<basic::Deliver>(1).await;
    let asked = BasicProperties::read(&content.properties).unwrap();
    let reply_to = String::from_utf8(asked.reply_to.unwrap().to_vec()).unwrap();
    assert!(reply_to.starts_with("amq.rabbitmq.reply-to."));
    server.publish(1, "", &reply_to, b"answer").await;
    let (deliver, body) = asker.delivered(1).await;
    assert_eq!((deliver.consumer_tag, &body[..]), (short("r"), &b"answer"[..]));
    asker.close().await;
    server.close().await;
    broker.stop().await;
}

#[tokio::test]
async fn further_routing_keys_are_used_and_the_secret_ones_hidden() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    for queue in ["own", "cc", "bcc"] {
        client.declare(1, queue).await;
    }
    let headers = FieldTable::build(|table| {
        table
            .put_array("CC", |keys| _ = keys.push_str("cc"))
            .put_array("BCC", |keys| _ = keys.push_str("bcc"));
    })
    .unwrap();
    let properties = BasicProperties {
        headers: Some(headers.as_table()),
        ..Default::default()
    };
    let publish = basic::Publish {
        routing_key: short("own"),
        ..Default::default()
    };
    client.publish_with(1, &publish, &properties, b"1").await;
    for queue in ["own", "cc", "bcc"] {
        let (get_ok, content) = client.get(1, queue, true).await.unwrap();
        assert_eq!(get_ok.routing_key, "own");
        let properties = BasicProperties::read(&content.properties).unwrap();
        assert_eq!(format!("{:?}", properties.headers.unwrap()), r#"{"CC": ["cc"]}"#);
    }
    client.close().await;
    broker.stop().await;
}

#[tokio::test]
async fn rejected_messages_say_what_they_died_of() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.declare(1, "dead").await;
    let declare = queue::Declare {
        queue: short("q"),
        durable: true,
        arguments: table(&[
            ("x-dead-letter-exchange", FieldValue::LongStr(b"")),
            ("x-dead-letter-routing-key", FieldValue::LongStr(b"dead")),
        ]),
        ..Default::default()
    };
    let _: queue::DeclareOk = client.call(1, &declare).await;
    client.publish(1, "", "q", b"1").await;
    client.get(1, "q", false).await.unwrap();
    let reject = basic::Reject {
        delivery_tag: 1,
        requeue: false,
    };
    client.consume(1, "dead", "c", true).await;
    client.send(1, &reject).await;
    let (deliver, content) = client.expect_content::<basic::Deliver>(1).await;
    assert_eq!(deliver.routing_key, "dead");
    let properties = BasicProperties::read(&content.properties).unwrap();
    let headers = format!("{:?}", properties.headers.unwrap());
    assert!(headers.contains(r#""reason": "rejected""#), "{headers}");
    assert!(headers.contains(r#""x-first-death-queue": "q""#), "{headers}");
    client.close().await;
    broker.stop().await;
}

#[tokio::test]
async fn a_topic_that_is_bound_gets_messages_by_their_keys() {
    let broker = TestBroker::start().await;
    let topic = NewTopic {
        name: "telemetry".to_owned(),
        partitions: Some(3),
        configs: vec![("cleanup.policy".to_owned(), Some("compact".to_owned()))],
    };
    let topic = broker.broker.create_topic(topic).await.unwrap().topic;
    let binding = NewBinding {
        source: "amq.topic".into(),
        destination: Destination::Topic("telemetry".into()),
        key: "#".to_owned(),
        arguments: Vec::new(),
        header_match: HeaderMatch::default(),
    };
    broker
        .broker
        .topology()
        .virtual_host("/")
        .unwrap()
        .bind(binding)
        .unwrap();
    let mut client = broker.client().await;
    let _: confirm::SelectOk = client.call(1, &confirm::Select { no_wait: false }).await;
    let headers = table(&[("x-partition-key", FieldValue::LongStr(b"device-7"))]);
    let keyed = BasicProperties {
        headers: Some(headers.as_table()),
        ..Default::default()
    };
    for (key, properties, is_taken) in [
        ("sensors.a", &keyed, true),
        ("sensors.b", &BasicProperties::default(), true),
        // A compacted topic takes nothing without a key.
        ("", &BasicProperties::default(), false),
    ] {
        let publish = basic::Publish {
            exchange: short("amq.topic"),
            routing_key: short(key),
            mandatory: true,
            ..Default::default()
        };
        client.publish_with(1, &publish, properties, key.as_bytes()).await;
        match is_taken {
            true => _ = client.expect::<basic::Ack>(1).await,
            false => _ = client.expect::<basic::Nack>(1).await,
        }
    }
    for (key, body) in [("device-7", "sensors.a"), ("sensors.b", "sensors.b")] {
        let partition = firth_broker::partition_of(key.as_bytes(), 3);
        let read = broker
            .broker
            .read(&topic, partition, 0, usize::MAX)
            .await
            .unwrap();
        let holds = |text: &str| {
            let mut slices = read.slices.iter();
            slices.any(|slice| slice.windows(text.len()).any(|window| window == text.as_bytes()))
        };
        assert!(holds(key) && holds(body), "{key}");
    }
    client.close().await;
    broker.stop().await;
}

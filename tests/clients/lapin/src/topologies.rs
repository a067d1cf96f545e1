//! Exchanges of all types, bound to each other; what is refused, with the connection living on; a consumer that is cancelled.

use std::collections::BTreeMap;

use futures_lite::StreamExt;
use lapin::options::{
    BasicConsumeOptions, BasicGetOptions, ExchangeBindOptions, ExchangeDeclareOptions, ExchangeUnbindOptions,
    QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Error, ErrorKind, ExchangeKind};

use crate::broker::{Broker, publish, table};

const TRANSIENT: ExchangeDeclareOptions = ExchangeDeclareOptions {
    passive: false,
    durable: false,
    auto_delete: true,
    internal: false,
    nowait: false,
};

type Queues = BTreeMap<&'static str, String>;

pub async fn are_declared(broker: &Broker) {
    let channel = broker.confirming().await;
    let name = |kind: &str| format!("{}-{kind}", broker.name);
    let queues = declare(broker, &channel, &name).await;

    let tide =
        BasicProperties::default().with_headers(table([("kind", AMQPValue::LongString("tide".into()))]));
    publish(&channel, &name("topic"), "a.b", b"1", tide).await;
    assert_eq!(got(&channel, &queues).await, ["direct", "headers", "topic"]);
    let (direct, topic) = (name("direct"), name("topic"));
    let options = ExchangeUnbindOptions::default();
    let unbind = channel.exchange_unbind(
        direct.as_str().into(),
        topic.as_str().into(),
        "#".into(),
        options,
        FieldTable::default(),
    );
    unbind.await.unwrap();
    publish(&channel, &topic, "b", b"2", BasicProperties::default()).await;
    assert_eq!(got(&channel, &queues).await, ["fanout"]);

    are_refused(broker, &name("missing"), &topic, &queues["topic"]).await;
    is_cancelled(&channel, &queues["direct"]).await;
}

async fn declare(broker: &Broker, channel: &Channel, name: &impl Fn(&str) -> String) -> Queues {
    let kinds = [
        ("fanout", ExchangeKind::Fanout),
        ("topic", ExchangeKind::Topic),
        ("direct", ExchangeKind::Direct),
        ("headers", ExchangeKind::Headers),
    ];
    let mut queues = Queues::new();
    for (kind, exchange) in kinds {
        let arguments = match kind {
            "topic" => table([("alternate-exchange", AMQPValue::LongString(name("fanout").into()))]),
            _ => FieldTable::default(),
        };
        channel
            .exchange_declare(name(kind).into(), exchange, TRANSIENT, arguments)
            .await
            .unwrap();
        let queue = broker.exclusive(channel, FieldTable::default()).await;
        let key = match kind {
            "topic" => "a.*.#",
            "direct" => "a.b",
            _ => "",
        };
        let arguments = table([
            ("x-match", AMQPValue::LongString("any".into())),
            ("kind", AMQPValue::LongString("tide".into())),
            ("no", AMQPValue::LongInt(1)),
        ]);
        let options = QueueBindOptions::default();
        channel
            .queue_bind(
                queue.as_str().into(),
                name(kind).into(),
                key.into(),
                options,
                arguments,
            )
            .await
            .unwrap();
        queues.insert(kind, queue);
    }
    for (to, from, key) in [("direct", "topic", "#"), ("headers", "direct", "a.b")] {
        let options = ExchangeBindOptions::default();
        let bind = channel.exchange_bind(
            name(to).into(),
            name(from).into(),
            key.into(),
            options,
            FieldTable::default(),
        );
        bind.await.unwrap();
    }
    queues
}

/// The queues that had a message.
async fn got(channel: &Channel, queues: &Queues) -> Vec<&'static str> {
    let mut found = Vec::new();
    for (kind, queue) in queues {
        let options = BasicGetOptions { no_ack: true };
        while channel
            .basic_get(queue.as_str().into(), options)
            .await
            .unwrap()
            .is_some()
        {
            found.push(*kind);
        }
    }
    found
}

async fn are_refused(broker: &Broker, missing: &str, topic: &str, locked: &str) {
    let passive = QueueDeclareOptions {
        passive: true,
        ..Default::default()
    };
    let none = FieldTable::default;

    let channel = broker.connection.create_channel().await.unwrap();
    let refused = channel.queue_declare(missing.into(), passive, none()).await;
    is_refusal(broker, refused.err(), 404, "NOT_FOUND - no queue").await;

    let channel = broker.connection.create_channel().await.unwrap();
    let there = ExchangeDeclareOptions {
        passive: true,
        ..TRANSIENT
    };
    let refused = channel
        .exchange_declare(missing.into(), ExchangeKind::Direct, there, none())
        .await;
    is_refusal(broker, refused.err(), 404, "NOT_FOUND - no exchange").await;

    let channel = broker.connection.create_channel().await.unwrap();
    let refused = channel
        .exchange_declare(topic.into(), ExchangeKind::Direct, TRANSIENT, none())
        .await;
    is_refusal(
        broker,
        refused.err(),
        406,
        "PRECONDITION_FAILED - inequivalent arg 'type'",
    )
    .await;

    let channel = broker.connection.create_channel().await.unwrap();
    let refused = channel
        .queue_declare("amq.mine".into(), QueueDeclareOptions::default(), none())
        .await;
    is_refusal(
        broker,
        refused.err(),
        403,
        "ACCESS_REFUSED - queue name 'amq.mine'",
    )
    .await;

    let second = Broker::connect(&broker.address, &broker.name).await;
    let channel = second.connection.create_channel().await.unwrap();
    let refused = channel.queue_declare(locked.into(), passive, none()).await;
    is_refusal(
        &second,
        refused.err(),
        405,
        "RESOURCE_LOCKED - cannot obtain exclusive access",
    )
    .await;
}

async fn is_refusal(broker: &Broker, refused: Option<Error>, code: u16, text: &str) {
    let error = refused.expect("it is refused");
    let ErrorKind::ProtocolError(error) = error.kind() else {
        panic!("instead of {code} {text}: {error:?}");
    };
    assert_eq!(error.get_id(), code, "{error:?}");
    assert!(error.get_message().as_str().starts_with(text), "{error:?}");
    let channel = broker.connection.create_channel().await.unwrap();
    channel.close(200, "".into()).await.unwrap();
}

async fn is_cancelled(channel: &Channel, queue: &str) {
    let options = BasicConsumeOptions::default();
    let consume = channel.basic_consume(queue.into(), "mine".into(), options, FieldTable::default());
    let mut consumer = consume.await.unwrap();
    channel
        .queue_delete(queue.into(), QueueDeleteOptions::default())
        .await
        .unwrap();
    let waited = tokio::time::timeout(std::time::Duration::from_secs(40), consumer.next()).await;
    let last = waited.expect("a consumer of a queue that is gone ends");
    assert!(
        last.is_none(),
        "something comes from a queue that is gone: {last:?}"
    );
}

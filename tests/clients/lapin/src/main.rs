//! lapin: the client in Rust. Each scenario ends well or panics with what was not as it should be.

mod broker;
mod settling;
mod topologies;

use std::time::Duration;

use broker::{Broker, body, number, publish, table, take};
use futures_lite::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, DecimalValue, FieldArray, FieldTable};
use lapin::{BasicProperties, Connection, ConnectionProperties};

const SIZES: [usize; 7] = [0, 1, 131_063, 131_064, 131_065, 1 << 20, 5_000_001];

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let broker = Broker::connect(&arguments[2], &arguments[3]).await;
    match arguments[1].as_str() {
        "messages_come_back_whole" => messages_come_back_whole(&broker).await,
        "confirms_are_counted" => settling::confirms_are_counted(&broker).await,
        "deliveries_are_settled_in_every_way" => settling::deliveries_are_settled_in_every_way(&broker).await,
        "topologies_are_declared" => topologies::are_declared(&broker).await,
        "requests_are_answered" => requests_are_answered(&broker).await,
        "priorities_and_times_are_kept" => priorities_and_times_are_kept(&broker).await,
        "streams_are_read_again" => streams_are_read_again(&broker).await,
        "many_channels_work_at_once" => many_channels_work_at_once(broker).await,
        "strangers_are_refused" => strangers_are_refused(&broker).await,
        "idle_connections_stay" => idle_connections_stay(&broker).await,
        other => panic!("{other} is no scenario"),
    }
}

/// Values of all types that a table may have.
fn headers() -> FieldTable {
    let inner = table([("deep", AMQPValue::LongString("er".into()))]);
    let list = vec![
        AMQPValue::LongInt(1),
        AMQPValue::FieldArray(FieldArray::from(vec![AMQPValue::Void])),
    ];
    table([
        ("text", AMQPValue::LongString("firth \u{e9}".into())),
        ("bool", AMQPValue::Boolean(true)),
        ("i8", AMQPValue::ShortShortInt(-5)),
        ("u8", AMQPValue::ShortShortUInt(200)),
        ("i16", AMQPValue::ShortInt(-300)),
        ("u16", AMQPValue::ShortUInt(60_000)),
        ("i32", AMQPValue::LongInt(-70_000)),
        ("u32", AMQPValue::LongUInt(4_000_000_000)),
        ("i64", AMQPValue::LongLongInt(1 << 40)),
        ("f32", AMQPValue::Float(2.5)),
        ("f64", AMQPValue::Double(1.25)),
        (
            "decimal",
            AMQPValue::DecimalValue(DecimalValue { scale: 2, value: 314 }),
        ),
        ("when", AMQPValue::Timestamp(1_357_000_000)),
        ("bytes", AMQPValue::ByteArray(vec![0, 255].into())),
        ("nothing", AMQPValue::Void),
        ("list", AMQPValue::FieldArray(FieldArray::from(list))),
        (
            "table",
            AMQPValue::FieldTable(table([("inner", AMQPValue::FieldTable(inner))])),
        ),
    ])
}

async fn messages_come_back_whole(broker: &Broker) {
    let channel = broker.confirming().await;
    let queue = broker.exclusive(&channel, FieldTable::default()).await;
    let sent = BasicProperties::default()
        .with_content_type("text/plain".into())
        .with_content_encoding("identity".into())
        .with_headers(headers())
        .with_delivery_mode(2)
        .with_priority(3)
        .with_correlation_id("c".into())
        .with_reply_to("r".into())
        .with_expiration("60000".into())
        .with_message_id("m".into())
        .with_timestamp(1_357_000_000)
        .with_type("t".into())
        .with_user_id("guest".into())
        .with_app_id("a".into());
    for size in SIZES {
        assert!(
            publish(&channel, "", &queue, &body(size), sent.clone()).await,
            "{size} bytes were rejected"
        );
    }
    let found = take(&channel, &queue, SIZES.len(), true, FieldTable::default()).await;
    for (delivery, size) in found.iter().zip(SIZES) {
        assert!(delivery.data == body(size), "the body of {size} bytes differs");
        assert_eq!(delivery.properties, sent);
        assert_eq!(
            (delivery.exchange.as_str(), delivery.routing_key.as_str()),
            ("", queue.as_str())
        );
        assert!(!delivery.redelivered);
    }
}

async fn requests_are_answered(broker: &Broker) {
    let server = broker.connection.create_channel().await.unwrap();
    let exclusive = QueueDeclareOptions {
        exclusive: true,
        ..Default::default()
    };
    server
        .queue_declare(broker.name.as_str().into(), exclusive, FieldTable::default())
        .await
        .unwrap();
    let no_ack = BasicConsumeOptions {
        no_ack: true,
        ..Default::default()
    };
    let consume = server.basic_consume(
        broker.name.as_str().into(),
        "".into(),
        no_ack,
        FieldTable::default(),
    );
    let mut requests = consume.await.unwrap();
    let answering = tokio::spawn(async move {
        while let Some(Ok(request)) = requests.next().await {
            let reply_to = request
                .properties
                .reply_to()
                .clone()
                .expect("a request says where its reply goes");
            let id = request
                .properties
                .correlation_id()
                .clone()
                .expect("a request has an id");
            let properties = BasicProperties::default().with_correlation_id(id);
            let publish = server.basic_publish(
                "".into(),
                reply_to,
                BasicPublishOptions::default(),
                &request.data,
                properties,
            );
            publish.await.unwrap();
        }
    });

    let second = Broker::connect(&broker.address, &broker.name).await;
    let client = second.connection.create_channel().await.unwrap();
    let pseudo = "amq.rabbitmq.reply-to";
    let consume = client.basic_consume(pseudo.into(), "".into(), no_ack, FieldTable::default());
    let mut replies = consume.await.unwrap();
    for n in 0..300_u32 {
        let id = n.to_string();
        let properties = BasicProperties::default()
            .with_reply_to(pseudo.into())
            .with_correlation_id(id.as_str().into());
        publish(&client, "", &broker.name, id.as_bytes(), properties).await;
    }
    for n in 0..300 {
        let reply = broker::next(&mut replies).await;
        let id = reply
            .properties
            .correlation_id()
            .clone()
            .expect("a reply has an id");
        assert_eq!((number(&reply), id.as_str()), (n, n.to_string().as_str()));
    }
    answering.abort();
}

async fn priorities_and_times_are_kept(broker: &Broker) {
    let channel = broker.confirming().await;
    let queue = broker
        .exclusive(&channel, table([("x-max-priority", AMQPValue::LongInt(5))]))
        .await;
    for priority in [1, 5, 3, 5, 0_u8] {
        let properties = BasicProperties::default().with_priority(priority);
        publish(&channel, "", &queue, priority.to_string().as_bytes(), properties).await;
    }
    let found = take(&channel, &queue, 5, true, FieldTable::default()).await;
    assert_eq!(found.iter().map(number).collect::<Vec<_>>(), [5, 5, 3, 1, 0]);
    let expiring = broker
        .exclusive(&channel, table([("x-message-ttl", AMQPValue::LongInt(200))]))
        .await;
    publish(&channel, "", &expiring, b"1", BasicProperties::default()).await;
    publish(
        &channel,
        "",
        &queue,
        b"2",
        BasicProperties::default().with_expiration("100".into()),
    )
    .await;
    broker.wait_for_ready(&expiring, 0).await;
    broker.wait_for_ready(&queue, 0).await;
}

async fn streams_are_read_again(broker: &Broker) {
    let channel = broker.confirming().await;
    let stream = table([("x-queue-type", AMQPValue::LongString("stream".into()))]);
    let declare = channel.queue_declare(
        broker.name.as_str().into(),
        QueueDeclareOptions::durable(),
        stream,
    );
    declare.await.unwrap();
    for n in 0..50 {
        publish(
            &channel,
            "",
            &broker.name,
            n.to_string().as_bytes(),
            BasicProperties::default(),
        )
        .await;
    }
    channel.basic_qos(100, Default::default()).await.unwrap();
    for (begin, offset) in [
        (0, AMQPValue::LongString("first".into())),
        (20, AMQPValue::LongLongInt(20)),
    ] {
        let arguments = table([("x-stream-offset", offset)]);
        let found = take(&channel, &broker.name, 50 - begin, false, arguments).await;
        for (delivery, n) in found.iter().zip(begin..) {
            let headers = delivery
                .properties
                .headers()
                .as_ref()
                .expect("what is read has headers");
            let offset = headers.inner().get("x-stream-offset");
            assert_eq!(
                (number(delivery), offset),
                (n, Some(&AMQPValue::LongLongInt(n as i64)))
            );
        }
    }
    channel
        .queue_delete(broker.name.as_str().into(), QueueDeleteOptions::default())
        .await
        .unwrap();
}

async fn many_channels_work_at_once(broker: Broker) {
    let broker = std::sync::Arc::new(broker);
    let work = |n: usize| {
        let broker = broker.clone();
        async move {
            let channel = broker.confirming().await;
            let queue = broker.exclusive(&channel, FieldTable::default()).await;
            for k in 0..50 {
                publish(
                    &channel,
                    "",
                    &queue,
                    (1000 * n + k).to_string().as_bytes(),
                    BasicProperties::default(),
                )
                .await;
            }
            let found = take(&channel, &queue, 50, false, FieldTable::default()).await;
            let expected: Vec<usize> = (1000 * n..1000 * n + 50).collect();
            assert_eq!(found.iter().map(number).collect::<Vec<_>>(), expected);
            found[49].ack(BasicAckOptions { multiple: true }).await.unwrap();
            let left = channel
                .queue_delete(queue.as_str().into(), QueueDeleteOptions::default())
                .await
                .unwrap();
            assert_eq!(left, 0);
        }
    };
    let all: Vec<_> = (0..100).map(|n| tokio::spawn(work(n))).collect();
    for each in all {
        each.await.unwrap();
    }
}

async fn strangers_are_refused(broker: &Broker) {
    let address = format!("amqp://guest:wrong@{}/%2f", broker.address);
    let Err(refusal) = Connection::connect(&address, ConnectionProperties::default()).await else {
        panic!("a stranger was let in");
    };
    let text = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN";
    assert!(refusal.to_string().contains(text), "{refusal}");
}

async fn idle_connections_stay(broker: &Broker) {
    let address = format!("amqp://guest:guest@{}/%2f?heartbeat=1", broker.address);
    let idle = Connection::connect(&address, ConnectionProperties::default())
        .await
        .unwrap();
    assert_eq!(idle.configuration().heartbeat(), 1);
    let channel = idle.create_channel().await.unwrap();
    let queue = broker.exclusive(&channel, FieldTable::default()).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let passive = QueueDeclareOptions {
        passive: true,
        ..Default::default()
    };
    let found = channel
        .queue_declare(queue.as_str().into(), passive, FieldTable::default())
        .await
        .unwrap();
    assert_eq!(found.consumer_count(), 0);
}

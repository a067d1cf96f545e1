//! What is confirmed, rejected and returned on the way in; acknowledged, given back and dead-lettered on the way out.

use lapin::BasicProperties;
use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicNackOptions, BasicPublishOptions, BasicRecoverOptions,
    BasicRejectOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};

use crate::broker::{Broker, number, publish, table, take};

pub async fn confirms_are_counted(broker: &Broker) {
    let channel = broker.confirming().await;
    let name = || broker.name.as_str().into();
    channel
        .queue_declare(name(), QueueDeclareOptions::durable(), FieldTable::default())
        .await
        .unwrap();
    let mut waiting = Vec::new();
    for n in 0..5000 {
        let body = n.to_string();
        let options = BasicPublishOptions::default();
        let published = channel.basic_publish(
            "".into(),
            name(),
            options,
            body.as_bytes(),
            BasicProperties::default(),
        );
        waiting.push(published.await.unwrap());
    }
    for (n, each) in waiting.into_iter().enumerate() {
        assert!(each.await.unwrap().is_ack(), "message {n} was not confirmed");
    }
    assert_eq!(
        channel
            .queue_delete(name(), QueueDeleteOptions::default())
            .await
            .unwrap(),
        5000
    );

    let reject = AMQPValue::LongString("reject-publish".into());
    let arguments = table([("x-max-length", AMQPValue::LongInt(10)), ("x-overflow", reject)]);
    let full = broker.exclusive(&channel, arguments).await;
    for n in 0..20 {
        let taken = publish(&channel, "", &full, b"x", BasicProperties::default()).await;
        assert_eq!(taken, n < 10, "whether message {n} was confirmed");
    }

    let missing = format!("{}-missing", broker.name);
    let options = BasicPublishOptions {
        mandatory: true,
        ..Default::default()
    };
    let published = channel.basic_publish(
        "".into(),
        missing.as_str().into(),
        options,
        b"x",
        BasicProperties::default(),
    );
    let confirmed = published.await.unwrap().await.unwrap();
    assert!(confirmed.is_ack(), "what is returned is confirmed");
    let returned = confirmed.take_message().expect("it was returned before");
    let told = (
        returned.reply_code,
        returned.reply_text.as_str(),
        returned.delivery.routing_key.as_str(),
    );
    assert_eq!(told, (312, "NO_ROUTE", missing.as_str()));
}

pub async fn deliveries_are_settled_in_every_way(broker: &Broker) {
    let dead = settle_some(broker).await;
    let channel = broker.connection.create_channel().await.unwrap();
    let name = broker.name.as_str();
    let rest = take(&channel, name, 7, false, FieldTable::default()).await;
    let found: Vec<_> = rest.iter().map(|each| (number(each), each.redelivered)).collect();
    let expected: Vec<_> = (3..10).map(|n| (n, n < 6)).collect();
    assert_eq!(found, expected);
    channel
        .basic_recover(BasicRecoverOptions { requeue: true })
        .await
        .unwrap();
    broker.wait_for_ready(name, 7).await;
    let last = take(&channel, name, 7, false, FieldTable::default()).await;
    last[6]
        .nack(BasicNackOptions {
            multiple: true,
            requeue: false,
        })
        .await
        .unwrap();
    broker.wait_for_ready(&dead, 8).await;

    let letter = channel
        .basic_get(dead.as_str().into(), BasicGetOptions { no_ack: true })
        .await
        .unwrap()
        .unwrap();
    let headers = letter
        .properties
        .headers()
        .as_ref()
        .expect("a dead letter has headers");
    let Some(AMQPValue::FieldArray(deaths)) = headers.inner().get("x-death") else {
        panic!("there is no x-death in {headers:?}");
    };
    let AMQPValue::FieldTable(death) = &deaths.as_slice()[0] else {
        panic!("a death is no table in {headers:?}");
    };
    let text = |value: &str| Some(AMQPValue::LongString(value.into()));
    let field = |name: &str| death.inner().get(name).cloned();
    assert_eq!(number(&letter.delivery), 2);
    assert_eq!((field("reason"), field("queue")), (text("rejected"), text(name)));
    assert_eq!(field("count"), Some(AMQPValue::LongLongInt(1)));
    channel
        .queue_delete(name.into(), QueueDeleteOptions::default())
        .await
        .unwrap();
}

/// Seven of ten are left, of which three were delivered before. The name of the queue for dead letters.
async fn settle_some(broker: &Broker) -> String {
    let channel = broker.connection.create_channel().await.unwrap();
    let name = broker.name.as_str();
    let dead = broker.exclusive(&channel, FieldTable::default()).await;
    let arguments = table([
        ("x-dead-letter-exchange", AMQPValue::LongString("".into())),
        (
            "x-dead-letter-routing-key",
            AMQPValue::LongString(dead.as_str().into()),
        ),
    ]);
    channel
        .queue_declare(name.into(), QueueDeclareOptions::default(), arguments)
        .await
        .unwrap();
    for n in 0..10 {
        publish(
            &channel,
            "",
            name,
            n.to_string().as_bytes(),
            BasicProperties::default(),
        )
        .await;
    }
    channel.basic_qos(6, Default::default()).await.unwrap();
    let first = take(&channel, name, 6, false, FieldTable::default()).await;
    assert_eq!(first.iter().map(number).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    first[1].ack(BasicAckOptions { multiple: true }).await.unwrap();
    first[3]
        .nack(BasicNackOptions {
            multiple: false,
            requeue: true,
        })
        .await
        .unwrap();
    first[2]
        .reject(BasicRejectOptions { requeue: false })
        .await
        .unwrap();
    first[5]
        .nack(BasicNackOptions {
            multiple: true,
            requeue: true,
        })
        .await
        .unwrap();
    broker.wait_for_ready(name, 7).await;
    let second = channel
        .basic_get(name.into(), BasicGetOptions { no_ack: false })
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (number(&second.delivery), second.redelivered, second.message_count),
        (3, true, 6)
    );
    channel.close(200, "".into()).await.unwrap();
    broker.wait_for_ready(name, 7).await;
    dead
}

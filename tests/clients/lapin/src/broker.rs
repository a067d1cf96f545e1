//! The broker as the scenarios use it: a connection, channels that confirm, and consumers that are waited for.

use std::time::Duration;

use futures_lite::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicCancelOptions, BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer};

const PATIENCE: Duration = Duration::from_secs(40);

pub struct Broker {
    pub address: String,
    /// What the scenario declares for others to see begins with it.
    pub name: String,
    pub connection: Connection,
}

impl Broker {
    pub async fn connect(address: &str, name: &str) -> Broker {
        let url = format!("amqp://guest:guest@{address}/%2f");
        let connection = Connection::connect(&url, ConnectionProperties::default())
            .await
            .unwrap();
        Broker {
            address: address.to_owned(),
            name: name.to_owned(),
            connection,
        }
    }

    pub async fn confirming(&self) -> Channel {
        let channel = self.connection.create_channel().await.unwrap();
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await
            .unwrap();
        channel
    }

    /// A queue that the broker names, and that goes with the connection.
    pub async fn exclusive(&self, channel: &Channel, arguments: FieldTable) -> String {
        let options = QueueDeclareOptions {
            exclusive: true,
            ..Default::default()
        };
        let queue = channel
            .queue_declare("".into(), options, arguments)
            .await
            .unwrap();
        queue.name().as_str().to_owned()
    }

    pub async fn ready(&self, queue: &str) -> u32 {
        let channel = self.connection.create_channel().await.unwrap();
        let passive = QueueDeclareOptions {
            passive: true,
            ..Default::default()
        };
        let found = channel
            .queue_declare(queue.into(), passive, FieldTable::default())
            .await
            .unwrap();
        channel.close(200, "".into()).await.unwrap();
        found.message_count()
    }

    pub async fn wait_for_ready(&self, queue: &str, count: u32) {
        let is_so = async {
            while self.ready(queue).await != count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, is_so).await;
        assert!(waited.is_ok(), "never were {count} messages ready in {queue}");
    }
}

/// Whether it was taken, as far as the channel confirms.
pub async fn publish(
    channel: &Channel,
    exchange: &str,
    key: &str,
    body: &[u8],
    properties: BasicProperties,
) -> bool {
    let options = BasicPublishOptions::default();
    let published = channel.basic_publish(exchange.into(), key.into(), options, body, properties);
    !published.await.unwrap().await.unwrap().is_nack()
}

/// The next messages of a consumer, which then goes.
pub async fn take(
    channel: &Channel,
    queue: &str,
    count: usize,
    no_ack: bool,
    arguments: FieldTable,
) -> Vec<Delivery> {
    let options = BasicConsumeOptions {
        no_ack,
        ..Default::default()
    };
    let mut consumer = channel
        .basic_consume(queue.into(), "".into(), options, arguments)
        .await
        .unwrap();
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.push(next(&mut consumer).await);
    }
    channel
        .basic_cancel(consumer.tag(), BasicCancelOptions::default())
        .await
        .unwrap();
    taken
}

pub async fn next(consumer: &mut Consumer) -> Delivery {
    let waited = tokio::time::timeout(PATIENCE, consumer.next()).await;
    let delivery = waited.expect("a message comes in time");
    delivery.expect("the consumer lives").expect("a message comes")
}

pub fn number(delivery: &Delivery) -> usize {
    String::from_utf8_lossy(&delivery.data).parse().unwrap()
}

pub fn body(size: usize) -> Vec<u8> {
    (0..size).map(|n| (n * 31 + size) as u8).collect()
}

pub fn table<const N: usize>(fields: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in fields {
        table.insert(name.into(), value);
    }
    table
}

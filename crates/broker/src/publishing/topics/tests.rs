use std::borrow::Cow;
use std::sync::Arc;

use firth_batch::{Batch, Batches};
use firth_log::Engine;

use crate::topology::tests::{broker, engine, open, queue_named};
use crate::{
    Broker, HashProperty, HeaderValue, Headers, Message, NewTopic, PARTITION_KEY_HEADER, PropertiesFormat,
    Publication, Topic,
};

async fn topic(broker: &Broker, partitions: i64, configs: &[(&str, &str)]) -> Arc<Topic> {
    let configs = configs.iter();
    let new = NewTopic {
        name: format!("t{}", broker.topic_count()),
        partitions: Some(partitions),
        configs: configs
            .map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())))
            .collect(),
    };
    broker.create_topic(new).await.unwrap().topic
}

/// Properties are a byte that says so, and the partition key.
struct KeyAlone;

struct Key<'a>(&'a [u8]);

impl PropertiesFormat for KeyAlone {
    fn headers<'a>(&self, properties: &'a [u8]) -> Box<dyn Headers + 'a> {
        Box::new(Key(&properties[1..]))
    }

    fn routing_keys<'a>(&self, _: &'a [u8]) -> Vec<&'a str> {
        Vec::new()
    }
}

impl Headers for Key<'_> {
    fn get(&self, name: &str) -> Option<HeaderValue<'_>> {
        (name == PARTITION_KEY_HEADER).then(|| HeaderValue::Bytes(self.0.into()))
    }

    fn property(&self, _: HashProperty) -> Option<Cow<'_, [u8]>> {
        None
    }
}

async fn with_keys(engine: &Engine) -> Broker {
    let broker = open(engine).await;
    broker.register_properties(1, Arc::new(KeyAlone));
    broker
}

fn message(body: &[u8]) -> Message<'_> {
    Message {
        exchange: b"x",
        routing_key: b"route",
        body,
        ..Message::default()
    }
}

/// Key, routing key and body of each record.
async fn read(broker: &Broker, topic: &Topic, partition: i32) -> Vec<(Option<String>, String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let read = broker.read(topic, partition, 0, usize::MAX).await.unwrap();
    let mut found = Vec::new();
    for slice in &read.slices {
        for batch in Batches::new(slice) {
            let batch = Batch::trusted(slice.slice_ref(batch.unwrap().1)).unwrap();
            for record in &batch.records(usize::MAX).unwrap() {
                let record = record.unwrap();
                let message = Message::of(&record);
                assert_eq!(message.exchange, b"x");
                found.push((
                    record.key.map(text),
                    text(message.routing_key),
                    text(message.body),
                ));
            }
        }
    }
    found
}

fn publish(publication: &mut Publication, broker: &Broker, topic: &Topic, key: &str, body: &[u8]) -> bool {
    let properties = [&[1], key.as_bytes()].concat();
    let message = Message {
        properties: &properties,
        ..message(body)
    };
    let published = publication.publish_to_topics(broker, &[topic.id], &message);
    assert_eq!(published.topics + published.refused, 1);
    published.topics == 1
}

#[tokio::test]
async fn messages_with_a_key_stay_in_their_order_in_one_partition() {
    let broker = with_keys(&engine()).await;
    let topic = topic(&broker, 3, &[]).await;
    let mut publication = broker.publication();
    for n in 0..300 {
        assert!(publish(
            &mut publication,
            &broker,
            &topic,
            &format!("k{}", n % 7),
            n.to_string().as_bytes()
        ));
    }
    assert!(publish(&mut publication, &broker, &topic, "route", b"own"));
    assert!(publish(&mut publication, &broker, &topic, "", b"none"));
    publication.store().unwrap().await.unwrap();
    let mut all = Vec::new();
    for partition in 0..3 {
        let records = read(&broker, &topic, partition).await;
        assert!(!records.is_empty());
        for (key, routing_key, body) in records {
            let expected = crate::partition_of(key.as_deref().unwrap_or("").as_bytes(), 3);
            assert_eq!((expected, routing_key.as_str()), (partition, "route"));
            all.push((key, body));
        }
    }
    assert_eq!(all.len(), 302);
    for n in 0..7 {
        let key = Some(format!("k{n}"));
        let bodies = all.iter().filter(|(other, _)| *other == key);
        let bodies: Vec<u32> = bodies.map(|(_, body)| body.parse().unwrap()).collect();
        assert!(bodies.is_sorted() && bodies.len() >= 42);
    }
    assert!(all.contains(&(None, "none".to_owned())));
    assert_eq!(broker.counters().produced_records, 302);
}

#[tokio::test]
async fn what_a_producer_may_not_send_is_refused() {
    let broker = with_keys(&engine()).await;
    let small = topic(&broker, 1, &[("max.message.bytes", "1000")]).await;
    let compacted = topic(&broker, 1, &[("cleanup.policy", "compact")]).await;
    let mut publication = broker.publication();
    for (length, is_taken) in [(10, true), (880, true), (2000, false), (990, false), (10, true)] {
        assert_eq!(
            publish(&mut publication, &broker, &small, "k", &vec![b'b'; length]),
            is_taken,
            "{length}"
        );
    }
    assert!(publish(&mut publication, &broker, &compacted, "k", b"1"));
    assert!(!publish(&mut publication, &broker, &compacted, "", b"2"));
    publication.store().unwrap().await.unwrap();
    let lengths: Vec<_> = read(&broker, &small, 0)
        .await
        .iter()
        .map(|(.., body)| body.len())
        .collect();
    assert_eq!(lengths, [10, 880, 10]);
    assert_eq!(read(&broker, &compacted, 0).await.len(), 1);
    for slice in &broker.read(&small, 0, 0, usize::MAX).await.unwrap().slices {
        assert!(Batches::new(slice).all(|batch| batch.unwrap().1.len() <= 1000));
    }
}

#[tokio::test]
async fn a_topic_that_goes_takes_nothing_and_harms_nobody() {
    let broker = broker().await;
    let (gone, going, left) = (
        topic(&broker, 1, &[]).await,
        topic(&broker, 1, &[]).await,
        topic(&broker, 1, &[]).await,
    );
    let host = broker.topology().virtual_host("/").unwrap();
    let queue = broker.declare_queue(&host, queue_named("q")).await.unwrap().item;
    broker.delete_topic(gone.id).await.unwrap();
    let mut publication = broker.publication();
    let published = publication.publish_to_topics(&broker, &[gone.id, going.id, left.id], &message(b"b"));
    assert_eq!((published.topics, published.refused), (2, 0));
    publication
        .publish(host.name(), std::slice::from_ref(&queue), &message(b"b"))
        .unwrap();
    broker.delete_topic(going.id).await.unwrap();
    publication.store().unwrap().await.unwrap();
    assert_eq!(read(&broker, &left, 0).await.len(), 1);
    assert_eq!(queue.counts().ready, 1);
}

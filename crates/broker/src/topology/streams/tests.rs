use super::*;
use crate::topology::tests::{broker, durable_queue, engine, first, open, to_queue, to_topic};
use crate::{NewBinding, NoHeaders, RouteCache, VirtualHostSettings};

fn stream(name: &str) -> NewQueue {
    let options = QueueOptions {
        kind: QueueKind::Stream,
        max_age_ms: Some(60_000),
        max_length_bytes: Some(1 << 30),
        max_segment_size_bytes: Some(1 << 20),
        ..QueueOptions::default()
    };
    NewQueue {
        options,
        ..durable_queue(name)
    }
}

fn topic_named(name: &str, partitions: i64) -> NewTopic {
    NewTopic {
        name: name.to_owned(),
        partitions: Some(partitions),
        configs: Vec::new(),
    }
}

#[tokio::test]
async fn a_stream_is_a_topic_with_one_partition() {
    let engine = engine();
    let broker = open(&engine).await;
    let host = first(&broker);
    let declared = broker.declare_queue(&host, stream("s")).await.unwrap();
    let topic = broker.topic("s").unwrap();
    assert_eq!(declared.item.definition().topic, Some(topic.id));
    assert_eq!(topic.partitions.len(), 1);
    let config = &topic.config;
    assert_eq!((config.retention_ms, config.retention_bytes), (60_000, 1 << 30));
    let again = broker.declare_queue(&host, stream("s")).await.unwrap();
    assert!(!again.is_new);
    host.bind(to_queue("amq.fanout", "s", "")).unwrap();
    broker.shutdown().await;

    let broker = open(&engine).await;
    let host = first(&broker);
    let mut cache = RouteCache::new(host.clone());
    for (exchange, key) in [("amq.fanout", "any"), ("", "s")] {
        let targets = cache.route(exchange, key, &NoHeaders).unwrap();
        assert_eq!(
            (targets.topics.as_slice(), targets.queues.len()),
            (&[topic.id][..], 0)
        );
    }
    broker
        .delete_queue(&host, "s", false, false)
        .await
        .unwrap()
        .commit
        .await
        .unwrap();
    assert!(broker.topic("s").is_none() && host.queue("s").is_none());
    assert!(cache.route("", "s", &NoHeaders).unwrap().is_empty());
    assert!(cache.route("amq.fanout", "any", &NoHeaders).unwrap().is_empty());
}

#[tokio::test]
async fn a_stream_has_a_name_that_a_topic_may_have() {
    let broker = broker().await;
    let host = first(&broker);
    let refused = broker.declare_queue(&host, stream("a b")).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "a stream is a topic, which cannot have the name 'a b': a topic name consists of ASCII letters, digits, '.', \
         '_' and '-', not of ' '"
    );
    host.configure(VirtualHostSettings {
        max_queues: Some(0),
        ..VirtualHostSettings::default()
    })
    .unwrap();
    let refused = broker.declare_queue(&host, stream("s")).await.err();
    assert!(matches!(refused, Some(TopologyError::TooManyQueues { .. })));
    let auto_delete = true;
    for new in [
        NewQueue {
            durable: false,
            ..stream("s")
        },
        NewQueue {
            auto_delete,
            ..stream("s")
        },
    ] {
        let refused = broker.declare_queue(&host, new).await.err();
        assert_eq!(refused, Some(TopologyError::StreamNotDurable));
    }
    assert_eq!((broker.topic_count(), host.queue_count()), (0, 0));
}

#[tokio::test]
async fn a_topic_becomes_a_stream_in_the_first_virtual_host_alone() {
    let broker = broker().await;
    let other = broker
        .topology()
        .create_virtual_host("v", VirtualHostSettings::default())
        .unwrap()
        .item;
    broker.create_topic(topic_named("one", 1)).await.unwrap();
    broker.create_topic(topic_named("three", 3)).await.unwrap();
    let refused =
        |result: Result<Declared<Queue>, _>| matches!(result, Err(TopologyError::StreamTopic { .. }));
    assert!(refused(broker.declare_queue(&other, stream("one")).await));
    assert!(refused(
        broker.declare_queue(&first(&broker), stream("three")).await
    ));
    let declared = broker
        .declare_queue(&first(&broker), stream("one"))
        .await
        .unwrap();
    assert_eq!(
        declared.item.definition().topic,
        broker.topic("one").map(|topic| topic.id)
    );
    broker.declare_queue(&other, stream("theirs")).await.unwrap();
    assert!(refused(
        broker.declare_queue(&first(&broker), stream("theirs")).await
    ));
    broker.delete_virtual_host("v").await.unwrap();
    assert!(broker.topic("theirs").is_none() && broker.topic("one").is_some());
}

#[tokio::test]
async fn what_rests_on_a_topic_goes_with_it() {
    let engine = engine();
    let broker = open(&engine).await;
    let host = first(&broker);
    broker.declare_queue(&host, stream("s")).await.unwrap();
    let sink = broker.create_topic(topic_named("sink", 3)).await.unwrap().topic;
    host.bind(to_queue("amq.topic", "s", "#")).unwrap();
    host.bind(to_topic("amq.topic", "sink")).unwrap();
    host.bind(NewBinding {
        key: "#".to_owned(),
        ..to_topic("amq.topic", "sink")
    })
    .unwrap();
    let mut cache = RouteCache::new(host.clone());
    let targets = cache.route("amq.topic", "", &NoHeaders).unwrap();
    assert_eq!(targets.topics.len(), 2);
    broker.delete_topic(sink.id).await.unwrap();
    let targets = cache.route("amq.topic", "", &NoHeaders).unwrap();
    assert_eq!((targets.topics.len(), host.bindings().len()), (1, 1));
    let again = broker.create_topic(topic_named("sink", 1)).await.unwrap().topic;
    assert_eq!(cache.route("amq.topic", "", &NoHeaders).unwrap().topics.len(), 1);
    host.bind(to_topic("amq.topic", "sink")).unwrap();
    let stream = broker.topic("s").unwrap();
    broker.delete_topic(stream.id).await.unwrap();
    assert!(host.queue("s").is_none());
    broker.shutdown().await;
    let broker = open(&engine).await;
    let bindings = first(&broker).bindings();
    assert_eq!(bindings.len(), 1);
    assert_eq!(bindings[0].topic(), Some(again.id));
}

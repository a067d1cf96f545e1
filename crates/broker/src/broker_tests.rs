use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use firth_batch::{Batch, Builder, Compression};
use firth_log::{Change, Engine, Frame, LogId, Options};

use crate::{
    At, Bounds, Broker, CleanupPolicy, Clock, ClusterId, Config, ConfigChange, ConfigEdit, ConfigError,
    Created, DefineError, Environment, NewTopic, OffsetAndTimestamp, ProduceError, ReadError, Topic, TopicId,
    retention,
};

const NOW_MS: i64 = 1_800_000_000_000;

fn environment() -> Environment {
    let count = Arc::new(AtomicU64::new(1));
    let random = move || u128::from(count.fetch_add(1, Ordering::Relaxed)).to_be_bytes();
    let wall = AtomicI64::new(NOW_MS);
    let clock = Clock::new(move || wall.load(Ordering::Relaxed), || Duration::ZERO);
    Environment {
        clock,
        random: Arc::new(random),
    }
}

fn engine() -> Engine {
    let environment = firth_log::Environment {
        wall_ms: Arc::new(|| NOW_MS),
        random: Arc::new(|| [1; 16]),
        on_failure: Arc::new(|reason| panic!("the memory engine failed: {reason}")),
    };
    Engine::memory(environment, Options::default())
}

async fn open_with(engine: &Engine, config: Config) -> Broker {
    Broker::open(engine.clone(), config, environment()).await.unwrap()
}

async fn open(engine: &Engine) -> Broker {
    open_with(engine, Config::default()).await
}

fn new(name: &str, partitions: i64, configs: &[(&str, &str)]) -> NewTopic {
    let configs = configs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())))
        .collect();
    NewTopic {
        name: name.to_owned(),
        partitions: Some(partitions),
        configs,
    }
}

async fn create(broker: &Broker, name: &str, configs: &[(&str, &str)]) -> Arc<Topic> {
    broker.create_topic(new(name, 1, configs)).await.unwrap().topic
}

fn batch(timestamps: &[i64], compression: Compression) -> Batch {
    let mut builder = Builder::new(compression);
    for timestamp in timestamps {
        builder.push(*timestamp, Some(b"key"), Some(b"value"), &[]);
    }
    builder.build()
}

async fn append(broker: &Broker, topic: &Topic, timestamps: &[i64]) -> i64 {
    let appended = broker
        .append(topic, 0, batch(timestamps, Compression::Lz4))
        .unwrap();
    appended.commit.await.unwrap();
    appended.base_offset
}

fn found(offset: i64, timestamp: i64) -> Result<Option<OffsetAndTimestamp>, ReadError> {
    Ok(Some(OffsetAndTimestamp { offset, timestamp }))
}

#[tokio::test]
async fn a_topic_is_found_by_its_name_and_its_id_until_it_is_deleted() {
    let broker = open(&engine()).await;
    let topic = broker
        .create_topic(new("flights", 3, &[("retention.ms", "5")]))
        .await
        .unwrap()
        .topic;
    assert_eq!((topic.partitions.len(), topic.config.retention_ms), (3, 5));
    assert_eq!(broker.topic("flights"), Some(topic.clone()));
    assert_eq!(broker.topic_by_id(topic.id), Some(topic.clone()));
    for partition in topic.partition_indexes() {
        assert_eq!(
            broker.bounds(&topic, partition),
            Some(Bounds { start: 0, end: 0 })
        );
    }
    assert_eq!(broker.bounds(&topic, 3), None);
    assert_eq!(broker.bounds(&topic, -1), None);

    assert_eq!(broker.delete_topic(topic.id).await, Ok(topic.clone()));
    assert_eq!(
        (broker.topic("flights"), broker.topic_by_id(topic.id)),
        (None, None)
    );
    assert_eq!(
        broker.delete_topic(topic.id).await,
        Err(DefineError::UnknownTopic)
    );
    // Whoever still has the topic gets the same answer.
    let refused = broker
        .append(&topic, 0, batch(&[NOW_MS], Compression::None))
        .map(|_| ());
    assert_eq!(refused, Err(ProduceError::UnknownPartition));
    assert_eq!(
        broker.read(&topic, 0, 0, 1).await.map(|_| ()),
        Err(ReadError::UnknownPartition)
    );

    let again = create(&broker, "flights", &[]).await;
    assert_ne!(again.id, topic.id);
}

#[tokio::test]
async fn of_many_who_create_a_topic_one_succeeds_and_all_see_it() {
    let broker = open(&engine()).await;
    let creations: Vec<_> = (0..50)
        .map(|_| {
            let broker = broker.clone();
            tokio::spawn(async move {
                let created = broker.create_topic(new("t", 1, &[])).await;
                assert!(
                    broker.topic("t").is_some(),
                    "the answer came before the topic was there"
                );
                created.map(|created| created.topic.id)
            })
        })
        .collect();
    let mut created = 0;
    for creation in creations {
        match creation.await.unwrap() {
            Ok(id) => {
                assert_eq!(broker.topic("t").map(|topic| topic.id), Some(id));
                created += 1;
            }
            Err(error) => assert_eq!(error, DefineError::Exists("t".to_owned())),
        }
    }
    assert_eq!((created, broker.topic_count()), (1, 1));
}

async fn configure(broker: &Broker, id: TopicId, change: ConfigChange) -> Result<Created, DefineError> {
    broker.configure_topics(vec![(id, change)], false).await.remove(0)
}

#[tokio::test]
async fn definitions_survive_a_restart() {
    let engine = engine();
    let broker = open(&engine).await;
    for name in ["a", "b", "c"] {
        create(&broker, name, &[("retention.bytes", "7")]).await;
    }
    let b = broker.topic("b").unwrap();
    broker.delete_topic(b.id).await.unwrap();
    let c = broker.topic("c").unwrap();
    let configs = vec![("retention.ms".to_owned(), Some("9".to_owned()))];
    let change = ConfigChange::Replace(configs);
    let configured = configure(&broker, c.id, change.clone()).await.unwrap().topic;
    assert_eq!(
        (configured.config.retention_ms, configured.config.retention_bytes),
        (9, -1)
    );
    let written = engine.bounds(LogId::DEFINITIONS);
    configure(&broker, c.id, change).await.unwrap();
    let other = ConfigChange::Edit(vec![("retention.ms".to_owned(), ConfigEdit::Delete)]);
    let validated = broker.configure_topics(vec![(c.id, other)], true).await.remove(0);
    assert_eq!(validated.unwrap().topic, broker.topic("c").unwrap(), "as it is");
    assert_eq!(
        engine.bounds(LogId::DEFINITIONS),
        written,
        "neither changed anything"
    );
    append(&broker, &c, &[NOW_MS]).await;
    let before = broker.topics();
    broker.shutdown().await;
    assert_eq!(
        broker.create_topic(new("d", 1, &[])).await.map(|_| ()),
        Err(DefineError::Stopped)
    );

    let broker = open(&engine).await;
    assert_eq!(broker.topics(), before);
    assert_eq!(broker.bounds(&c, 0), Some(Bounds { start: 0, end: 1 }));
}

#[tokio::test]
async fn a_cluster_keeps_the_id_that_was_drawn_at_its_first_start() {
    let engine = engine();
    let drawn = |first: u8| Environment {
        random: Arc::new(move || [first; 16]),
        ..environment()
    };
    for at_start in [0x81, 2, 3] {
        let broker = Broker::open(engine.clone(), Config::default(), drawn(at_start))
            .await
            .unwrap();
        let mut first = [0x81; 16];
        first[0] = 1;
        assert_eq!(broker.cluster_id(), ClusterId(first));
        broker.shutdown().await;
    }
    let other = Broker::open(self::engine(), Config::default(), drawn(7))
        .await
        .unwrap();
    assert_eq!(other.cluster_id(), ClusterId([7; 16]));
}

#[tokio::test]
async fn producer_ids_are_never_given_out_twice() {
    let engine = engine();
    let mut seen = HashSet::new();
    for _ in 0..3 {
        let broker = open(&engine).await;
        for _ in 0..1500 {
            let id = broker.allocate_producer_id().await.unwrap();
            assert!(id >= 0 && seen.insert(id), "{id}");
        }
        // As in a crash: nobody says that some of the last block are left.
        broker.shutdown().await;
    }
}

#[tokio::test]
async fn the_definitions_log_does_not_grow_for_ever() {
    let engine = engine();
    let broker = open(&engine).await;
    let topic = create(&broker, "t", &[]).await;
    let mut starts = HashSet::new();
    // Each configuration is a record of about 400 bytes, and a snapshot is due after 1 MiB of them.
    let entries = |bytes: &str| {
        let value = |row: &crate::Setting| match row.name {
            "retention.bytes" => bytes.to_owned(),
            _ => row.default.to_owned(),
        };
        let rows = crate::SETTINGS.iter();
        ConfigChange::Replace(rows.map(|row| (row.name.to_owned(), Some(value(row)))).collect())
    };
    for count in 0..8000 {
        let change = entries(&count.to_string());
        configure(&broker, topic.id, change).await.unwrap();
        starts.insert(engine.bounds(LogId::DEFINITIONS).unwrap().start);
    }
    assert!(starts.len() >= 2, "trimmed to {starts:?}");
    let before = broker.topics();
    broker.shutdown().await;
    assert_eq!(open(&engine).await.topics(), before);
}

#[tokio::test]
async fn a_topic_that_is_asked_for_is_created_if_that_is_configured() {
    let engine = engine();
    let broker = open_with(
        &engine,
        Config {
            num_partitions: 4,
            ..Config::default()
        },
    )
    .await;
    let topic = topic_or_create(&broker, "t").await.unwrap();
    assert_eq!(topic.partitions.len(), 4);
    assert_eq!(topic_or_create(&broker, "t").await.unwrap().id, topic.id);
    assert!(matches!(
        topic_or_create(&broker, "no good").await,
        Err(DefineError::InvalidName(_))
    ));
    broker.shutdown().await;

    let broker = open_with(
        &engine,
        Config {
            auto_create_topics: false,
            ..Config::default()
        },
    )
    .await;
    assert_eq!(
        topic_or_create(&broker, "u").await,
        Err(DefineError::UnknownTopic)
    );
    assert_eq!(topic_or_create(&broker, "t").await.unwrap().id, topic.id);
}

async fn validate(broker: &Broker, new: NewTopic) -> Result<Created, DefineError> {
    broker.create_topics(vec![new], true).await.remove(0)
}

async fn topic_or_create(broker: &Broker, name: &str) -> Result<Arc<Topic>, DefineError> {
    broker.topics_or_create(&[name]).await.remove(0)
}

#[tokio::test]
async fn topics_of_one_request_are_answered_in_their_order_and_share_flushes() {
    let engine = engine();
    let broker = open(&engine).await;
    let mut names: Vec<String> = (0..2000).map(|nth| format!("t{nth}")).collect();
    names[1000] = "t7".to_owned();
    let all = names.iter().map(|name| new(name, 1, &[])).collect();
    let created = broker.create_topics(all, false).await;
    for (at, (name, created)) in names.iter().zip(&created).enumerate() {
        match created {
            Ok(created) => assert_eq!(*created.topic.name, **name),
            Err(error) => assert_eq!((at, error), (1000, &DefineError::Exists("t7".to_owned()))),
        }
    }
    let listed = broker.topics();
    assert_eq!(listed.len(), 1999);
    assert!(listed.is_sorted_by(|a, b| a.name < b.name));
    assert!(Arc::ptr_eq(&listed, &broker.topics()), "nothing changed");
    assert_eq!(open(&engine).await.topics(), listed);

    let ids = listed.iter().map(|topic| topic.id).collect();
    let deleted = broker.delete_topics(ids).await;
    assert!(deleted.into_iter().map(Result::unwrap).eq(listed.iter().cloned()));
    assert_eq!((broker.topics().len(), broker.topic_count()), (0, 0));
}

#[tokio::test]
async fn topics_that_could_not_be_stored_were_never_there() {
    let engine = engine();
    let broker = open(&engine).await;
    create(&broker, "before", &[]).await;
    engine.close();
    let all = ["a", "b.c", "a", "b_c", "before"].map(|name| new(name, 1, &[]));
    let refused = broker.create_topics(all.into(), false).await;
    // What was decided about one may rest on another.
    for refused in refused {
        assert_eq!(refused.map(|_| ()), Err(DefineError::Stopped));
    }
    assert_eq!(broker.topic_count(), 1);
    let checked = broker
        .create_topics(vec![new("b_c", 1, &[])], true)
        .await
        .remove(0);
    assert_eq!(&*checked.unwrap().topic.name, "b_c");
}

#[tokio::test]
async fn validating_a_topic_creates_nothing() {
    let broker = open(&engine()).await;
    let validated = validate(&broker, new("t", 2, &[("min.insync.replicas", "2")]))
        .await
        .unwrap();
    assert_eq!(
        (validated.topic.partitions.len(), validated.warnings.len()),
        (2, 1)
    );
    assert_eq!(broker.topic_count(), 0);
    let refused = validate(&broker, new("t", 2, &[("cleanup.policy", "shred")])).await;
    assert!(matches!(
        refused,
        Err(DefineError::InvalidConfig(ConfigError::Invalid { .. }))
    ));
    let refused = broker.create_topic(new("t", -7, &[])).await.map(|_| ());
    assert_eq!(refused, Err(DefineError::InvalidPartitions(-7)));
}

#[tokio::test]
async fn what_was_appended_is_read_back_byte_for_byte() {
    let broker = open(&engine()).await;
    let topic = create(&broker, "t", &[]).await;
    let sent = batch(&[NOW_MS, NOW_MS + 1], Compression::Zstd);
    let appended = broker.append(&topic, 0, sent.clone()).unwrap();
    assert_eq!(
        (
            appended.base_offset,
            appended.log_append_time_ms,
            appended.duplicate
        ),
        (0, None, false)
    );
    appended.commit.await.unwrap();
    let read = broker.read(&topic, 0, 1, 1).await.unwrap();
    assert_eq!(read.bounds, Bounds { start: 0, end: 2 });
    let stored = read.slices.concat();
    assert_eq!(
        stored[17..],
        sent.bytes()[17..],
        "but for the offset and the epoch"
    );
    let outside = broker.read(&topic, 0, 3, 1).await.map(|_| ());
    assert_eq!(outside, Err(ReadError::OutOfRange(Bounds { start: 0, end: 2 })));

    let counters = broker.counters();
    assert_eq!((counters.produced_batches, counters.produced_records), (1, 2));
    assert_eq!(counters.read_bytes, sent.len() as u64);
}

#[tokio::test]
async fn the_time_of_the_append_is_told() {
    let broker = open(&engine()).await;
    let topic = create(&broker, "t", &[("message.timestamp.type", "LogAppendTime")]).await;
    let appended = broker.append(&topic, 0, batch(&[5], Compression::Gzip)).unwrap();
    assert_eq!(appended.log_append_time_ms, Some(NOW_MS));
    appended.commit.await.unwrap();
    assert_eq!(broker.offset(&topic, 0, At::MaxTimestamp).await, found(0, NOW_MS));
}

#[tokio::test]
async fn offsets_by_time_are_exact() {
    let broker = open(&engine()).await;
    let topic = create(&broker, "t", &[("retention.ms", "-1")]).await;
    assert_eq!(broker.offset(&topic, 0, At::Timestamp(0)).await, Ok(None));
    assert_eq!(broker.offset(&topic, 0, At::MaxTimestamp).await, Ok(None));
    append(&broker, &topic, &[10, 30, 20]).await;
    append(&broker, &topic, &[40, 40]).await;
    append(&broker, &topic, &[25, 35]).await;
    for (at, expected) in [
        (At::Earliest, found(0, -1)),
        (At::Latest, found(7, -1)),
        (At::Timestamp(0), found(0, 10)),
        (At::Timestamp(10), found(0, 10)),
        (At::Timestamp(11), found(1, 30)),
        (At::Timestamp(31), found(3, 40)),
        (At::Timestamp(40), found(3, 40)),
        (At::Timestamp(41), Ok(None)),
        (At::MaxTimestamp, found(3, 40)),
    ] {
        assert_eq!(broker.offset(&topic, 0, at).await, expected, "{at:?}");
    }
    assert_eq!(
        broker.offset(&topic, 1, At::Earliest).await,
        Err(ReadError::UnknownPartition)
    );
}

#[tokio::test]
async fn deleted_records_are_not_found_by_time() {
    let broker = open(&engine()).await;
    let topic = create(&broker, "t", &[("retention.ms", "-1")]).await;
    append(&broker, &topic, &[90, 10, 20]).await;
    append(&broker, &topic, &[30, 40]).await;
    assert_eq!(broker.delete_records(&topic, 0, Some(1)).await, Ok(1));
    assert_eq!(broker.offset(&topic, 0, At::Earliest).await, found(1, -1));
    assert_eq!(broker.offset(&topic, 0, At::Timestamp(5)).await, found(1, 10));
    assert_eq!(
        broker.offset(&topic, 0, At::Timestamp(35)).await,
        found(4, 40),
        "not in the batch with 90"
    );
    assert_eq!(broker.offset(&topic, 0, At::Timestamp(41)).await, Ok(None));
}

#[tokio::test]
async fn records_are_deleted_up_to_what_can_be_read() {
    let broker = open(&engine()).await;
    let topic = create(&broker, "t", &[("retention.ms", "-1")]).await;
    append(&broker, &topic, &[1, 2, 3]).await;
    let outside = Err(ReadError::OutOfRange(Bounds { start: 0, end: 3 }));
    assert_eq!(broker.delete_records(&topic, 0, Some(4)).await, outside);
    assert_eq!(broker.delete_records(&topic, 0, Some(-2)).await, outside);
    assert_eq!(broker.delete_records(&topic, 0, Some(2)).await, Ok(2));
    assert_eq!(
        broker.delete_records(&topic, 0, Some(1)).await,
        Ok(2),
        "deleted already"
    );
    assert_eq!(broker.delete_records(&topic, 0, None).await, Ok(3));
    assert_eq!(broker.bounds(&topic, 0), Some(Bounds { start: 3, end: 3 }));
    assert_eq!(append(&broker, &topic, &[4]).await, 3);
}

#[tokio::test]
async fn of_a_compacted_topic_no_record_is_deleted_on_request() {
    let broker = open(&engine()).await;
    let topic = create(&broker, "t", &[]).await;
    append(&broker, &topic, &[1, 2]).await;
    let with = |policy| {
        let mut topic = (*topic).clone();
        Arc::make_mut(&mut topic.config).cleanup_policy = policy;
        topic
    };
    let compacted = with(CleanupPolicy::Compact);
    for before in [Some(0), Some(1), Some(9), None] {
        let deleted = broker.delete_records(&compacted, 0, before).await;
        assert_eq!(deleted, Err(ReadError::KeepsRecords), "{before:?}");
    }
    assert_eq!(
        broker.delete_records(&compacted, 7, None).await,
        Err(ReadError::UnknownPartition)
    );
    let both = with(CleanupPolicy::CompactDelete);
    assert_eq!(broker.delete_records(&both, 0, Some(1)).await, Ok(1));
}

#[tokio::test]
async fn retention_deletes_what_has_expired_and_nothing_else() {
    let broker = open(&engine()).await;
    let short = create(&broker, "short", &[("retention.ms", "1000")]).await;
    let long = create(&broker, "long", &[("retention.ms", "-1")]).await;
    for topic in [&short, &long] {
        append(&broker, topic, &[NOW_MS - 1001]).await;
    }
    retention::enforce(&broker, NOW_MS - 1).await;
    assert_eq!(broker.bounds(&short, 0), Some(Bounds { start: 0, end: 1 }));
    retention::enforce(&broker, NOW_MS).await;
    assert_eq!(broker.bounds(&short, 0), Some(Bounds { start: 1, end: 1 }));
    assert_eq!(broker.bounds(&long, 0), Some(Bounds { start: 0, end: 1 }));
    assert_eq!(broker.counters().retention_trims, 1);
}

#[tokio::test]
async fn unknown_ids_are_nobodys() {
    let broker = open(&engine()).await;
    assert_eq!(broker.topic_by_id(TopicId([0; 16])), None);
    assert_eq!(
        configure(&broker, TopicId([0; 16]), ConfigChange::Replace(Vec::new()))
            .await
            .map(|_| ()),
        Err(DefineError::UnknownTopic)
    );
}

/// As where the record of its creation was lost, and nothing was appended to it.
#[tokio::test]
async fn a_lost_log_of_a_topic_is_created_again() {
    let engine = engine();
    let broker = open(&engine).await;
    let topic = broker.create_topic(new("t", 3, &[])).await.unwrap().topic;
    let kept = topic.log(1).unwrap();
    broker.shutdown().await;
    for lost in [0, 2] {
        let log = topic.log(lost).unwrap();
        let frame = Frame::changes(vec![Change::Delete { log }]);
        engine.append(frame).unwrap().commit.await.unwrap();
    }
    let broker = open(&engine).await;
    assert_eq!(engine.logs().len(), 5);
    for partition in 0..3 {
        assert_eq!(
            broker.bounds(&topic, partition),
            Some(Bounds { start: 0, end: 0 })
        );
    }
    assert_eq!(topic.log(1), Some(kept));
    let deleted = broker.delete_topic(topic.id).await.unwrap();
    assert_eq!(deleted.name, topic.name);
    assert_eq!(engine.logs().len(), 2);
    broker.shutdown().await;
}

/// The logs are gone by the engine's own records.
#[tokio::test]
async fn a_topic_can_be_deleted_whose_logs_are_gone() {
    let engine = engine();
    let broker = open(&engine).await;
    let topic = broker.create_topic(new("t", 2, &[])).await.unwrap().topic;
    let log = topic.log(0).unwrap();
    let frame = Frame::changes(vec![Change::Delete { log }]);
    engine.append(frame).unwrap().commit.await.unwrap();
    broker.delete_topic(topic.id).await.unwrap();
    assert_eq!(broker.topic_count(), 0);
    broker.shutdown().await;
}

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use firth_log::{Engine, Options};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;
use crate::router::tests::{apply, change};
use crate::{Broker, Clock, Config, Environment, NewQueue, QueueKind, QueueOptions};

const NOW_MS: i64 = 1_800_000_000_000;

pub(crate) fn engine() -> Engine {
    let environment = firth_log::Environment {
        wall_ms: Arc::new(|| NOW_MS),
        random: Arc::new(|| [1; 16]),
        on_failure: Arc::new(|reason| panic!("the memory engine failed: {reason}")),
    };
    Engine::memory(environment, Options::default())
}

pub(crate) fn environment() -> Environment {
    let count = AtomicU64::new(1);
    Environment {
        clock: Clock::new(|| NOW_MS, || Duration::ZERO),
        random: Arc::new(move || u128::from(count.fetch_add(1, Ordering::Relaxed)).to_be_bytes()),
    }
}

pub(crate) async fn open(engine: &Engine) -> Broker {
    Broker::open(engine.clone(), Config::default(), environment())
        .await
        .unwrap()
}

pub(crate) async fn broker() -> Broker {
    open(&engine()).await
}

pub(crate) fn queue_named(name: &str) -> NewQueue {
    NewQueue {
        name: name.to_owned(),
        ..NewQueue::default()
    }
}

pub(crate) fn durable_queue(name: &str) -> NewQueue {
    NewQueue {
        durable: true,
        ..queue_named(name)
    }
}

fn exchange_named(name: &str) -> NewExchange {
    NewExchange {
        name: name.to_owned(),
        ..NewExchange::default()
    }
}

fn durable_exchange(name: &str) -> NewExchange {
    NewExchange {
        durable: true,
        ..exchange_named(name)
    }
}

pub(crate) fn to_queue(source: &str, queue: &str, key: &str) -> NewBinding {
    NewBinding {
        source: source.into(),
        destination: Destination::Queue(queue.into()),
        key: key.to_owned(),
        arguments: Vec::new(),
        header_match: HeaderMatch::default(),
    }
}

fn to_exchange(source: &str, exchange: &str) -> NewBinding {
    NewBinding {
        destination: Destination::Exchange(exchange.into()),
        ..to_queue(source, "", "")
    }
}

pub(crate) fn to_topic(source: &str, topic: &str) -> NewBinding {
    NewBinding {
        destination: Destination::Topic(topic.into()),
        ..to_queue(source, "", "")
    }
}

pub(crate) fn first(broker: &Broker) -> Arc<VirtualHost> {
    broker.topology().virtual_host(FIRST_VIRTUAL_HOST).unwrap()
}

fn queue_names(virtual_host: &VirtualHost) -> Vec<String> {
    virtual_host
        .queues()
        .iter()
        .map(|queue| queue.name().to_owned())
        .collect()
}

/// What was declared, in words.
fn described(virtual_host: &VirtualHost) -> Vec<String> {
    let exchanges = virtual_host.exchanges();
    let exchanges = exchanges.iter().filter(|exchange| !exchange.predeclared);
    let exchanges = exchanges.map(|exchange| format!("{exchange:?}"));
    let queues = virtual_host.queues();
    let queues = queues.iter().map(|queue| {
        let of = queue.definition();
        format!(
            "{of:?} {} {} {:?} {:?} {:?}",
            of.durable, of.auto_delete, of.options, of.arguments, of.topic
        )
    });
    let bindings = virtual_host.bindings();
    let bindings = bindings.iter().map(|binding| format!("{binding:?}"));
    exchanges.chain(queues).chain(bindings).collect()
}

#[tokio::test]
async fn a_virtual_host_has_its_exchanges_from_the_start() {
    let broker = broker().await;
    let created = broker
        .topology()
        .create_virtual_host("v", VirtualHostSettings::default())
        .unwrap();
    assert!(created.is_new);
    for virtual_host in [first(&broker), created.item] {
        let names: Vec<_> = virtual_host
            .exchanges()
            .iter()
            .map(|exchange| exchange.name.to_string())
            .collect();
        assert_eq!(
            names,
            [
                "",
                "amq.direct",
                "amq.fanout",
                "amq.headers",
                "amq.match",
                "amq.topic"
            ]
        );
        for name in names {
            let refused = virtual_host.delete_exchange(&name, false).err();
            assert_eq!(refused, Some(TopologyError::PredeclaredExchange(name)));
        }
    }
    let again = broker
        .topology()
        .create_virtual_host("v", VirtualHostSettings::default())
        .unwrap();
    assert!(!again.is_new);
    let names: Vec<_> = broker
        .topology()
        .virtual_hosts()
        .iter()
        .map(|host| host.name().to_string())
        .collect();
    assert_eq!(names, ["/", "v"]);
}

#[tokio::test]
async fn what_is_declared_twice_is_what_was_declared_first() {
    let broker = broker().await;
    let host = first(&broker);
    let declared = host.declare_exchange(durable_exchange("x")).unwrap();
    assert!(declared.is_new && declared.item.durable);
    let again = host.declare_exchange(exchange_named("x")).unwrap();
    assert!(!again.is_new && Arc::ptr_eq(&again.item, &declared.item));
    let queue = broker.declare_queue(&host, durable_queue("q")).await.unwrap();
    let again = broker.declare_queue(&host, queue_named("q")).await.unwrap();
    assert!(!again.is_new && Arc::ptr_eq(&again.item, &queue.item));
    let long = "n".repeat(256);
    assert!(matches!(
        host.declare_exchange(exchange_named(&long)),
        Err(TopologyError::TooLong { .. })
    ));
    let refused = broker.declare_queue(&host, queue_named(&long)).await;
    assert!(matches!(refused, Err(TopologyError::TooLong { .. })));
}

#[tokio::test]
async fn bindings_need_both_ends_and_go_with_either() {
    let broker = broker().await;
    let host = first(&broker);
    broker.declare_queue(&host, queue_named("q")).await.unwrap();
    host.declare_exchange(exchange_named("x")).unwrap();
    let unknown = |result: Result<Commit, TopologyError>| {
        matches!(
            result,
            Err(TopologyError::UnknownQueue { .. }
                | TopologyError::UnknownExchange { .. }
                | TopologyError::UnknownTopic(_))
        )
    };
    assert!(unknown(host.bind(to_queue("none", "q", ""))));
    assert!(unknown(host.bind(to_queue("x", "none", ""))));
    assert!(unknown(host.bind(to_exchange("x", "none"))));
    assert!(unknown(host.bind(to_topic("x", "none"))));
    for refused in [to_queue("", "q", "q"), to_exchange("x", "")] {
        assert_eq!(host.bind(refused).err(), Some(TopologyError::DefaultExchange));
    }
    for binding in [
        to_queue("x", "q", "1"),
        to_queue("x", "q", "2"),
        to_queue("x", "q", "1"),
        to_exchange("amq.direct", "x"),
    ] {
        host.bind(binding).unwrap();
    }
    assert_eq!(host.bindings().len(), 3);
    assert_eq!(host.bindings_from("x").len(), 2);
    assert_eq!(host.bindings_to(&Destination::Queue("q".into())).len(), 2);
    assert_eq!(host.bindings_to(&Destination::Exchange("q".into())).len(), 0);
    host.unbind(&to_queue("x", "q", "2")).unwrap();
    host.unbind(&to_queue("x", "q", "3")).unwrap();
    assert_eq!(host.bindings().len(), 2);
    broker.delete_queue(&host, "q", false, false).await.unwrap();
    assert_eq!(host.bindings().len(), 1);
    host.delete_exchange("x", false).unwrap();
    assert_eq!(host.bindings().len(), 0);
}

#[tokio::test]
async fn an_exchange_in_use_is_one_from_which_bindings_lead() {
    let broker = broker().await;
    let host = first(&broker);
    for name in ["x", "y"] {
        host.declare_exchange(exchange_named(name)).unwrap();
    }
    host.bind(to_exchange("x", "y")).unwrap();
    let refused = host.delete_exchange("x", true).err();
    assert_eq!(refused, Some(TopologyError::ExchangeInUse("x".to_owned())));
    host.delete_exchange("y", true).unwrap();
    host.delete_exchange("x", true).unwrap();
    let refused = host.delete_exchange("x", true);
    assert!(matches!(refused, Err(TopologyError::UnknownExchange { .. })));
}

#[tokio::test]
async fn auto_delete_exchanges_go_one_after_the_other() {
    let broker = broker().await;
    let host = first(&broker);
    broker.declare_queue(&host, queue_named("q")).await.unwrap();
    for name in ["x", "y", "z"] {
        let auto_delete = true;
        host.declare_exchange(NewExchange {
            auto_delete,
            ..durable_exchange(name)
        })
        .unwrap();
    }
    host.bind(to_exchange("x", "y")).unwrap();
    host.bind(to_exchange("y", "z")).unwrap();
    host.bind(to_exchange("z", "y")).unwrap();
    host.bind(to_queue("z", "q", "")).unwrap();
    host.unbind(&to_exchange("z", "y")).unwrap();
    assert!(host.exchange("z").is_some());
    broker.delete_queue(&host, "q", false, false).await.unwrap();
    assert_eq!(
        host.exchanges()
            .iter()
            .filter(|exchange| !exchange.predeclared)
            .count(),
        0
    );
    assert_eq!(host.bindings().len(), 0);
}

#[tokio::test]
async fn weights_of_consistent_hashes_are_whole_numbers() {
    let broker = broker().await;
    let host = first(&broker);
    broker.declare_queue(&host, queue_named("q")).await.unwrap();
    let kind = ExchangeKind::Delayed(Box::new(ExchangeKind::ConsistentHash(HashOn::RoutingKey)));
    host.declare_exchange(NewExchange {
        kind,
        ..exchange_named("x")
    })
    .unwrap();
    for (key, refused) in [
        ("1", None),
        ("+20", None),
        ("0", Some(TopologyError::WeightNotPositive("0".to_owned()))),
        ("-1", Some(TopologyError::WeightNotPositive("-1".to_owned()))),
        ("", Some(TopologyError::WeightNotInteger(String::new()))),
        ("1.5", Some(TopologyError::WeightNotInteger("1.5".to_owned()))),
    ] {
        assert_eq!(host.bind(to_queue("x", "q", key)).err(), refused);
    }
}

#[tokio::test]
async fn exclusive_queues_end_with_their_connection() {
    let broker = broker().await;
    let host = first(&broker);
    let (one, other) = (host.connect().unwrap(), host.connect().unwrap());
    assert_eq!(host.connection_count(), 2);
    let auto_delete = true;
    host.declare_exchange(NewExchange {
        auto_delete,
        ..durable_exchange("x")
    })
    .unwrap();
    for (name, connection) in [("a", &one), ("b", &one), ("c", &other)] {
        let exclusive = Some(connection.id());
        broker
            .declare_queue(
                &host,
                NewQueue {
                    exclusive,
                    ..durable_queue(name)
                },
            )
            .await
            .unwrap();
        host.bind(to_queue("x", name, "")).unwrap();
    }
    let a = host.queue("a").unwrap();
    one.close().await.unwrap();
    assert!(a.is_deleted());
    assert_eq!(queue_names(&host), ["c"]);
    assert_eq!((host.bindings().len(), host.connection_count()), (1, 1));
    // A connection that is dropped ends as well.
    drop(other);
    assert_eq!(queue_names(&host), [""; 0]);
    assert_eq!((host.exchange("x"), host.connection_count()), (None, 0));
}

#[tokio::test]
async fn limits_hold_for_what_is_new() {
    let broker = broker().await;
    let settings = VirtualHostSettings {
        max_queues: Some(2),
        max_connections: Some(1),
        ..VirtualHostSettings::default()
    };
    let host = broker.topology().create_virtual_host("v", settings).unwrap().item;
    for name in ["a", "b", "a"] {
        broker.declare_queue(&host, queue_named(name)).await.unwrap();
    }
    let virtual_host = "v".to_owned();
    let refused = broker.declare_queue(&host, queue_named("c")).await.err();
    assert_eq!(
        refused,
        Some(TopologyError::TooManyQueues {
            virtual_host: virtual_host.clone(),
            max: 2
        })
    );
    let connection = host.connect().unwrap();
    let refused = host.connect().err();
    assert_eq!(
        refused,
        Some(TopologyError::TooManyConnections { virtual_host, max: 1 })
    );
    drop(connection);
    let _connection = host.connect().unwrap();
    host.configure(VirtualHostSettings::default()).unwrap();
    broker.declare_queue(&host, queue_named("c")).await.unwrap();
    let _other = host.connect().unwrap();
}

#[tokio::test]
async fn a_queue_that_expires_leaves_one_of_its_name_alone() {
    let broker = broker().await;
    let host = first(&broker);
    let old = broker.declare_queue(&host, queue_named("q")).await.unwrap().item;
    assert!(host.expire_queue(&old).unwrap().is_some());
    assert_eq!(host.queue("q").map(|queue| queue.id()), None);
    let new = broker.declare_queue(&host, queue_named("q")).await.unwrap().item;
    assert!(host.expire_queue(&old).unwrap().is_some());
    assert_eq!(host.queue("q").map(|queue| queue.id()), Some(new.id()));
}

#[tokio::test]
async fn a_virtual_host_that_is_deleted_is_empty_for_those_who_have_it() {
    let broker = broker().await;
    let topology = broker.topology();
    let host = topology
        .create_virtual_host("v", VirtualHostSettings::default())
        .unwrap()
        .item;
    let connection = host.connect().unwrap();
    let exclusive = Some(connection.id());
    let queue = broker
        .declare_queue(
            &host,
            NewQueue {
                exclusive,
                ..queue_named("q")
            },
        )
        .await
        .unwrap()
        .item;
    let mut deleted = host.deleted();
    assert!(!*deleted.borrow());
    broker.delete_virtual_host("v").await.unwrap().await.unwrap();
    deleted.wait_for(|deleted| *deleted).await.unwrap();
    assert!(queue.is_deleted());
    let gone = TopologyError::UnknownVirtualHost("v".to_owned());
    assert_eq!(
        host.declare_exchange(exchange_named("x")).err(),
        Some(gone.clone())
    );
    assert_eq!(
        broker.declare_queue(&host, queue_named("q")).await.err(),
        Some(gone.clone())
    );
    assert_eq!(host.connect().err(), Some(gone.clone()));
    assert_eq!(broker.delete_virtual_host("v").await.err(), Some(gone));
    assert_eq!((host.queue_count(), host.exchanges().len()), (0, 0));
    connection.close().await.unwrap();
    let again = topology
        .create_virtual_host("v", VirtualHostSettings::default())
        .unwrap();
    assert!(again.is_new && again.item.queue_count() == 0);
}

/// One of everything, and what is not stored beside it.
async fn fill(broker: &Broker, host: &VirtualHost) {
    let options = QueueOptions {
        kind: QueueKind::Quorum,
        message_ttl_ms: Some(1),
        dead_letter_exchange: Some("dlx".into()),
        delivery_limit: Some(20),
        ..QueueOptions::default()
    };
    let arguments = vec![1, 2, 3];
    let options = NewQueue {
        options,
        arguments,
        auto_delete: true,
        ..durable_queue("stored")
    };
    broker.declare_queue(host, options).await.unwrap();
    broker
        .declare_queue(host, queue_named("forgotten"))
        .await
        .unwrap();
    let kind = ExchangeKind::Headers;
    let alternate_exchange = Some("amq.fanout".to_owned());
    let exchange = NewExchange {
        kind,
        alternate_exchange,
        internal: true,
        ..durable_exchange("stored")
    };
    host.declare_exchange(exchange).unwrap();
    host.declare_exchange(exchange_named("forgotten")).unwrap();
    for source in ["stored", "forgotten", "amq.topic"] {
        for destination in ["stored", "forgotten"] {
            host.bind(to_queue(source, destination, "k")).unwrap();
            host.bind(to_exchange(source, destination)).unwrap();
        }
    }
    let conditions = vec![("h".into(), crate::HeaderValue::Integer(5))];
    let header_match = HeaderMatch {
        conditions,
        ..HeaderMatch::default()
    };
    let with_headers = NewBinding {
        header_match,
        arguments: vec![9],
        ..to_queue("stored", "stored", "")
    };
    host.bind(with_headers).unwrap();
}

#[tokio::test]
async fn what_is_durable_is_there_after_a_restart() {
    let engine = engine();
    let broker = open(&engine).await;
    let topology = broker.topology();
    let settings = VirtualHostSettings {
        description: "d".to_owned(),
        tags: vec!["t".to_owned(), "u".to_owned()],
        max_queues: Some(7),
        max_connections: None,
    };
    let other = topology
        .create_virtual_host("other", settings.clone())
        .unwrap()
        .item;
    let gone = topology
        .create_virtual_host("gone", settings.clone())
        .unwrap()
        .item;
    for host in [&first(&broker), &other, &gone] {
        fill(&broker, host).await;
    }
    broker.delete_virtual_host("gone").await.unwrap();
    let host = first(&broker);
    let last = broker
        .declare_queue(&host, durable_queue("deleted"))
        .await
        .unwrap()
        .item;
    host.bind(to_queue("amq.direct", "deleted", "k")).unwrap();
    broker.delete_queue(&host, "deleted", false, false).await.unwrap();
    // What is not stored goes, as it will.
    for host in [&host, &other] {
        broker
            .delete_queue(host, "forgotten", false, false)
            .await
            .unwrap();
        host.delete_exchange("forgotten", false).unwrap();
    }
    let before = [described(&host), described(&other)];
    assert_eq!(before[0].len(), 7);
    broker.shutdown().await;

    let broker = open(&engine).await;
    let names: Vec<_> = broker
        .topology()
        .virtual_hosts()
        .iter()
        .map(|host| host.name().to_string())
        .collect();
    assert_eq!(names, ["/", "other"]);
    let (host, other) = (first(&broker), broker.topology().virtual_host("other").unwrap());
    assert_eq!([described(&host), described(&other)], before);
    assert_eq!(other.settings(), settings);
    let new = broker
        .declare_queue(&host, durable_queue("new"))
        .await
        .unwrap()
        .item;
    assert!(new.id() > last.id(), "an id is never given again");
    let shared: Vec<_> = [&host, &other].map(|host| host.queue("stored").unwrap()).into();
    assert!(Arc::ptr_eq(
        &shared[0].definition().options,
        &shared[1].definition().options
    ));
}

#[tokio::test]
async fn no_queue_gets_the_id_of_one_that_was_deleted() {
    let engine = engine();
    let broker = open(&engine).await;
    let host = first(&broker);
    let mut last = None;
    // More than are reserved at a time.
    for _ in 0..5000 {
        let declared = broker.declare_queue(&host, durable_queue("q")).await.unwrap();
        last = Some(declared.item.id()).max(last);
        broker.delete_queue(&host, "q", false, false).await.unwrap();
    }
    broker.shutdown().await;
    let broker = open(&engine).await;
    let again = broker.declare_queue(&first(&broker), durable_queue("q")).await;
    assert!(Some(again.unwrap().item.id()) > last);
}

#[tokio::test]
async fn the_first_virtual_host_can_be_deleted_for_good() {
    let engine = engine();
    let broker = open(&engine).await;
    broker.delete_virtual_host("/").await.unwrap();
    assert!(broker.topology().virtual_hosts().is_empty());
    broker.shutdown().await;
    let broker = open(&engine).await;
    assert!(broker.topology().virtual_hosts().is_empty());
    let again = broker
        .topology()
        .create_virtual_host("/", VirtualHostSettings::default())
        .unwrap();
    assert!(again.is_new);
    broker.shutdown().await;
    assert_eq!(open(&engine).await.topology().virtual_hosts().len(), 1);
}

#[tokio::test]
async fn what_is_not_durable_touches_no_disk() {
    let engine = engine();
    let broker = open(&engine).await;
    let host = first(&broker);
    broker
        .declare_queue(&host, durable_queue("stored"))
        .await
        .unwrap();
    let written = engine.bounds(firth_log::LogId::TOPOLOGY);
    let connection = host.connect().unwrap();
    let exclusive = Some(connection.id());
    for new in [
        queue_named("q"),
        NewQueue {
            exclusive,
            ..durable_queue("e")
        },
    ] {
        let declared = broker.declare_queue(&host, new).await.unwrap();
        assert!(declared.commit.is_durable());
        host.bind(to_queue("amq.direct", declared.item.name(), "k"))
            .unwrap();
        host.unbind(&to_queue("amq.direct", declared.item.name(), "k"))
            .unwrap();
        host.bind(to_queue("amq.fanout", declared.item.name(), "k"))
            .unwrap();
    }
    host.declare_exchange(exchange_named("x")).unwrap();
    host.bind(to_queue("x", "stored", "k")).unwrap();
    host.delete_exchange("x", false).unwrap();
    broker.delete_queue(&host, "q", false, false).await.unwrap();
    connection.close().await.unwrap();
    assert_eq!(engine.bounds(firth_log::LogId::TOPOLOGY), written);
    assert_eq!(queue_names(&host), ["stored"]);
}

/// What of a virtual host is there after a restart.
fn stored(virtual_host: &VirtualHost) -> Vec<String> {
    virtual_host.read(|contents, _| {
        let exchanges = contents.exchanges().filter(|exchange| exchange.durable);
        let exchanges = exchanges.map(|exchange| format!("{exchange:?}"));
        let queues = contents.queues().filter(|queue| queue.definition().is_stored());
        let queues = queues.map(|queue| format!("{:?}", queue.definition()));
        let bindings = contents.bindings.iter();
        let bindings = bindings.filter(|binding| contents.is_binding_stored(binding));
        let bindings = bindings.map(|binding| format!("{binding:?}"));
        let mut all: Vec<_> = exchanges.chain(queues).chain(bindings).collect();
        all.sort_unstable();
        all
    })
}

#[test]
fn a_start_finds_what_was_stored_whatever_was_changed() {
    let config = ProptestConfig {
        failure_persistence: None,
        cases: 100,
        ..ProptestConfig::default()
    };
    let changes = proptest::collection::vec(change(), 1..80);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let ran = TestRunner::new(config).run(&changes, |changes| {
        let (before, after) = runtime.block_on(async {
            let engine = engine();
            let broker = open(&engine).await;
            let host = first(&broker);
            changes.iter().for_each(|change| apply(&host, change));
            let before = stored(&host);
            broker.shutdown().await;
            let broker = open(&engine).await;
            let after = stored(&first(&broker));
            broker.shutdown().await;
            (before, after)
        });
        prop_assert_eq!(before, after);
        Ok(())
    });
    if let Err(error) = ran {
        panic!("{error}");
    }
}

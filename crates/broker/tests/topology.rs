//! What is declared is there after a restart on a real directory, after a crash, and as far as damage leaves it.
#![allow(clippy::unwrap_used, reason = "this is a test")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use firth_broker::{
    Broker, Clock, Config, Destination, Environment, Error, ExchangeKind, HeaderMatch, NewBinding,
    NewExchange, NewQueue, StateError, TopologyError, VirtualHost, VirtualHostSettings,
};
use firth_log::file::Storage;
use firth_log::file::disk::Disk;
use firth_log::file::recorder::{Image, Recorder};
use firth_log::{Engine, LogId, Options};

const NOW_MS: i64 = 1_800_000_000_000;

fn open(storage: Arc<dyn Storage>) -> Engine {
    let environment = firth_log::Environment {
        wall_ms: Arc::new(|| NOW_MS),
        random: Arc::new(|| [1; 16]),
        on_failure: Arc::new(|reason| panic!("the engine failed: {reason}")),
    };
    let options = Options {
        wal_bytes_max: Some(8 << 20),
        wal_file_bytes: 1 << 20,
        reserve_bytes: Some(1 << 20),
        ..Options::default()
    };
    Engine::open(storage, environment, options).unwrap()
}

async fn broker(engine: &Engine) -> Result<Broker, Error> {
    let count = AtomicU64::new(1);
    let environment = Environment {
        clock: Clock::new(|| NOW_MS, || Duration::ZERO),
        random: Arc::new(move || u128::from(count.fetch_add(1, Ordering::Relaxed)).to_be_bytes()),
    };
    Broker::open(engine.clone(), Config::default(), environment).await
}

async fn close(broker: Broker, engine: Engine) {
    broker.shutdown().await;
    close_engine(engine).await;
}

async fn close_engine(engine: Engine) {
    tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
}

fn host(broker: &Broker) -> Arc<VirtualHost> {
    broker.topology().virtual_host("/").unwrap()
}

fn queue(name: &str) -> NewQueue {
    NewQueue {
        name: name.to_owned(),
        durable: true,
        ..NewQueue::default()
    }
}

async fn declare(broker: &Broker, name: &str) {
    let declared = broker.declare_queue(&host(broker), queue(name)).await.unwrap();
    assert!(declared.is_new);
    declared.commit.await.unwrap();
}

async fn bind(broker: &Broker, source: &str, name: &str) {
    let binding = NewBinding {
        source: source.into(),
        destination: Destination::Queue(name.into()),
        key: "k".to_owned(),
        arguments: Vec::new(),
        header_match: HeaderMatch::default(),
    };
    host(broker).bind(binding).unwrap().await.unwrap();
}

fn names(broker: &Broker) -> Vec<String> {
    let queues = host(broker).queues();
    queues.iter().map(|queue| queue.name().to_owned()).collect()
}

fn disk(directory: &Path) -> Arc<dyn Storage> {
    Arc::new(Disk::open(directory).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_keeps_what_was_declared() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(disk(directory.path()));
    let first = broker(&engine).await.unwrap();
    let exchange = NewExchange {
        name: "x".to_owned(),
        kind: ExchangeKind::Topic,
        durable: true,
        ..NewExchange::default()
    };
    host(&first).declare_exchange(exchange).unwrap();
    for name in ["kept", "deleted"] {
        declare(&first, name).await;
        bind(&first, "x", name).await;
    }
    let settings = VirtualHostSettings {
        max_queues: Some(3),
        ..VirtualHostSettings::default()
    };
    first
        .topology()
        .create_virtual_host("v", settings.clone())
        .unwrap();
    close(first, engine).await;

    let engine = open(disk(directory.path()));
    let second = broker(&engine).await.unwrap();
    assert_eq!(names(&second), ["deleted", "kept"]);
    second
        .delete_queue(&host(&second), "deleted", false, false)
        .await
        .unwrap();
    host(&second)
        .unbind(&NewBinding {
            source: "x".into(),
            destination: Destination::Queue("kept".into()),
            key: "k".to_owned(),
            arguments: Vec::new(),
            header_match: HeaderMatch::default(),
        })
        .unwrap();
    bind(&second, "amq.direct", "kept").await;
    close(second, engine).await;

    let engine = open(disk(directory.path()));
    let third = broker(&engine).await.unwrap();
    assert_eq!(names(&third), ["kept"]);
    let bindings = host(&third).bindings();
    assert_eq!(
        bindings
            .iter()
            .map(|binding| &*binding.source)
            .collect::<Vec<_>>(),
        ["amq.direct"]
    );
    assert_eq!(host(&third).exchange("x").unwrap().kind, ExchangeKind::Topic);
    assert_eq!(third.topology().virtual_host("v").unwrap().settings(), settings);
    close(third, engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_survives_a_crash() {
    let disk = Recorder::new();
    let engine = open(Arc::new(disk.clone()));
    let first = broker(&engine).await.unwrap();
    declare(&first, "a").await;
    declare(&first, "b").await;
    bind(&first, "amq.fanout", "a").await;
    let deleted = first
        .delete_queue(&host(&first), "b", false, false)
        .await
        .unwrap();
    deleted.commit.await.unwrap();
    let crashed = Recorder::from_image(disk.image());
    close(first, engine).await;
    let engine = open(Arc::new(crashed));
    let second = broker(&engine).await.unwrap();
    assert_eq!(names(&second), ["a"]);
    assert_eq!(host(&second).bindings().len(), 1);
    close(second, engine).await;
}

/// The disk after it damaged what holds `text` first.
fn damaged(disk: &Recorder, text: &str) -> Recorder {
    let mut image: Image = disk.image();
    let found = image.files().find_map(|path| {
        let bytes = image.read(path)?;
        let at = bytes
            .windows(text.len())
            .position(|window| window == text.as_bytes())?;
        Some((path.to_owned(), at as u64))
    });
    let (path, at) = found.unwrap();
    image.flip(&path, at, 3);
    Recorder::from_image(image)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rests_on_a_record_that_was_given_up_goes_for_good() {
    let disk = Recorder::new();
    let engine = open(Arc::new(disk.clone()));
    let first = broker(&engine).await.unwrap();
    declare(&first, "founded").await;
    declare(&first, "lost-queue").await;
    bind(&first, "amq.fanout", "lost-queue").await;
    bind(&first, "amq.fanout", "founded").await;
    let last_id = host(&first).queue("lost-queue").unwrap().id();
    close(first, engine).await;

    let disk = damaged(&disk, "lost-queue");
    let engine = open(Arc::new(disk.clone()));
    let error = broker(&engine).await.err().unwrap();
    let said = error.to_string();
    assert!(said.contains("`firth doctor --accept topology:3-3`"), "{said}");
    engine.accept(LogId::TOPOLOGY, 3, 4).unwrap().await.unwrap();
    close_engine(engine).await;

    let engine = open(Arc::new(disk.clone()));
    let second = broker(&engine).await.unwrap();
    assert_eq!(names(&second), ["founded"]);
    assert_eq!(host(&second).bindings().len(), 1);
    declare(&second, "lost-queue").await;
    assert!(host(&second).queue("lost-queue").unwrap().id() > last_id);
    close(second, engine).await;

    let engine = open(Arc::new(disk));
    let third = broker(&engine).await.unwrap();
    assert_eq!(
        host(&third).bindings().len(),
        1,
        "the old binding is not that of the new queue"
    );
    close(third, engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_queues_are_deleted_and_not_declared() {
    let disk = Recorder::new();
    let engine = open(Arc::new(disk.clone()));
    let broker = broker(&engine).await.unwrap();
    declare(&broker, "a").await;
    let host = host(&broker);
    let transient = NewQueue {
        durable: false,
        ..queue("t")
    };
    disk.set_total_bytes(1 << 10);
    let full = async {
        while !engine.is_full() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), full)
        .await
        .expect("the engine asks once a second");
    let refused = broker.declare_queue(&host, queue("b")).await.err();
    assert_eq!(refused, Some(TopologyError::State(StateError::Full)));
    assert!(host.queue("b").is_none());
    broker.declare_queue(&host, transient).await.unwrap();
    let deleted = broker.delete_queue(&host, "a", false, false).await.unwrap();
    deleted.commit.await.unwrap();
    assert_eq!(names(&broker), ["t"]);
    disk.set_total_bytes(64 << 20);
    close(broker, engine).await;
}

//! What a state machine stores is there after a restart, stays small, and is refused where it cannot be read.
#![allow(clippy::unwrap_used, reason = "this is a test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use firth_broker::{Broker, Clock, Config, Environment, Error, StateError, StateRecord};
use firth_log::file::recorder::{Kind, Recorder};
use firth_log::{Engine, LogId, Options};

static NOW_MS: AtomicI64 = AtomicI64::new(1_800_000_000_000);

fn open(disk: &Recorder) -> Engine {
    let environment = firth_log::Environment {
        wall_ms: Arc::new(|| NOW_MS.load(Ordering::Relaxed)),
        random: Arc::new(|| [1; 16]),
        on_failure: Arc::new(|_| {}),
    };
    let options = Options {
        wal_bytes_max: Some(64 << 20),
        wal_file_bytes: 8 << 20,
        ..Options::default()
    };
    Engine::open(Arc::new(disk.clone()), environment, options).unwrap()
}

async fn broker(engine: &Engine) -> Result<Broker, Error> {
    let environment = Environment {
        clock: Clock::new(|| NOW_MS.load(Ordering::Relaxed), || Duration::ZERO),
        random: Arc::new(|| [1; 16]),
    };
    let config = Config {
        retention_check_interval: Duration::from_millis(5),
        ..Config::default()
    };
    Broker::open(engine.clone(), config, environment).await
}

async fn close(broker: Broker, engine: Engine) {
    broker.shutdown().await;
    tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
}

fn put(key: &str, value: &str) -> StateRecord {
    StateRecord {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Some([&[1], value.as_bytes()].concat().into()),
    }
}

fn remove(key: &str) -> StateRecord {
    StateRecord {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: None,
    }
}

/// What the log said at the start, if nobody has taken it.
fn replayed(broker: &Broker) -> Vec<StateRecord> {
    let replayed = broker.groups_log().take_replayed().into_iter();
    replayed.map(|replayed| replayed.record).collect()
}

async fn append(broker: &Broker, records: &[StateRecord]) {
    let commit = broker.groups_log().append(records, 5).unwrap();
    commit.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_latest_value_of_each_key_is_there_after_a_restart() {
    let disk = Recorder::new();
    let engine = open(&disk);
    let first = broker(&engine).await.unwrap();
    assert_eq!(replayed(&first), []);
    assert_eq!(engine.bounds(LogId::GROUPS), None, "nobody stored anything");
    append(&first, &[put("b", "1"), put("a", "1"), put("c", "1")]).await;
    append(&first, &[put("a", "2"), remove("c")]).await;
    append(&first, &[]).await;
    // The disk as a crash leaves it.
    let crashed = Recorder::from_image(disk.image());
    close(first, engine).await;
    for disk in [disk, crashed] {
        let engine = open(&disk);
        let broker = broker(&engine).await.unwrap();
        assert_eq!(replayed(&broker), [put("a", "2"), put("b", "1")]);
        assert_eq!(replayed(&broker), [], "it was taken");
        close(broker, engine).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_version_stops_the_start_before_anything_is_changed() {
    let disk = Recorder::new();
    let engine = open(&disk);
    let first = broker(&engine).await.unwrap();
    let newer = StateRecord {
        key: Bytes::from_static(b"k"),
        value: Some(Bytes::from_static(&[2, 7])),
    };
    append(&first, &[put("a", "1"), newer.clone()]).await;
    close(first, engine).await;
    let engine = open(&disk);
    let definitions = engine.bounds(LogId::DEFINITIONS);
    let error = broker(&engine).await.err().unwrap();
    assert!(
        matches!(
            error,
            Error::StateNewer {
                version: 2,
                offset: 1,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(engine.bounds(LogId::DEFINITIONS), definitions);
    // Where it was written over since, or removed, it is refused as well: what else that version wrote is not known.
    tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_stops_the_start_until_it_is_given_up() {
    let disk = Recorder::new();
    let engine = open(&disk);
    let first = broker(&engine).await.unwrap();
    append(&first, &[put("kept", "1"), put("older", "1")]).await;
    append(&first, &[put("older", "damaged"), put("lost", "1")]).await;
    append(&first, &[put("behind", "1")]).await;
    close(first, engine).await;
    let mut image = disk.image();
    let found = image.files().find_map(|path| {
        let bytes = image.read(path)?;
        let at = bytes.windows(7).position(|window| window == b"damaged")?;
        Some((path.to_owned(), at as u64))
    });
    let (path, at) = found.unwrap();
    image.flip(&path, at, 3);

    let disk = Recorder::from_image(image);
    let engine = open(&disk);
    let error = broker(&engine).await.err().unwrap();
    let said = error.to_string();
    assert!(
        said.contains("restore a backup") && said.contains("`firth doctor --accept groups:2-3`"),
        "{said}"
    );
    let accepted = engine.accept(LogId::GROUPS, 2, 4).unwrap();
    accepted.await.unwrap();
    tokio::task::spawn_blocking(move || engine.close()).await.unwrap();

    let engine = open(&disk);
    let broker = broker(&engine).await.unwrap();
    let left = [put("behind", "1"), put("kept", "1"), put("older", "1")];
    assert_eq!(replayed(&broker), left);
    append(&broker, &[put("lost", "2")]).await;
    close(broker, engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stays_small_and_says_the_same() {
    let disk = Recorder::new();
    let engine = open(&disk);
    let first = broker(&engine).await.unwrap();
    let value = "x".repeat(100_000);
    append(&first, &[put("kept", "1"), put("gone", "1"), remove("gone")]).await;
    for n in 0..400 {
        append(&first, &[put(&format!("k{}", n % 10), &value)]).await;
    }
    let bytes = || {
        engine
            .extents(LogId::GROUPS)
            .iter()
            .map(|extent| extent.bytes)
            .sum::<u64>()
    };
    let compacted = async {
        while first.counters().compactions == 0 || bytes() > 20_000_000 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), compacted)
        .await
        .expect("at most 40 MB were written, of which 1 MB is alive");
    close(first, engine).await;
    let engine = open(&disk);
    let broker = broker(&engine).await.unwrap();
    let replayed = replayed(&broker);
    assert_eq!(replayed.len(), 11);
    assert_eq!(replayed.last(), Some(&put("kept", "1")));
    close(broker, engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_stored_is_refused_whole() {
    let disk = Recorder::new();
    let engine = open(&disk);
    let broker = broker(&engine).await.unwrap();
    let value = "x".repeat(20 << 20);
    let refused = broker
        .groups_log()
        .append(&[put("a", &value), put("b", &value)], 0);
    assert!(matches!(refused, Err(StateError::TooLarge { .. })));
    let hold = disk.hold(Kind::Write, "wal");
    let mut commit = broker.groups_log().append(&[put("a", "1")], 0).unwrap();
    assert!(!commit.is_durable());
    drop(hold);
    (&mut commit).await.unwrap();
    close(broker, engine).await;
}

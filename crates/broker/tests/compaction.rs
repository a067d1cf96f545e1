//! Topics whose policy is compaction: the broker asks the engine for it, and what is kept is the latest of each key.
#![allow(clippy::unwrap_used, reason = "this is a test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::time::Duration;

use firth_batch::{Batch, Batches, Builder, Compression};
use firth_broker::{Broker, Clock, Config, Environment, NewTopic};
use firth_log::file::recorder::Recorder;
use firth_log::{Engine, Options};

const NOW_MS: i64 = 1_800_000_000_000;

struct Running {
    engine: Engine,
    broker: Broker,
    now_ms: Arc<AtomicI64>,
}

async fn start(disk: &Recorder) -> Running {
    let environment = firth_log::Environment {
        wall_ms: Arc::new(|| NOW_MS),
        random: Arc::new(|| [1; 16]),
        on_failure: Arc::new(|reason| panic!("the engine failed: {reason}")),
    };
    let options = Options {
        wal_bytes_max: Some(1 << 20),
        wal_file_bytes: 64 << 10,
        segment_bytes: 4096,
        ..Options::default()
    };
    let engine = Engine::open(Arc::new(disk.clone()), environment, options).unwrap();
    let now_ms = Arc::new(AtomicI64::new(NOW_MS));
    let wall = now_ms.clone();
    let clock = Clock::new(move || wall.load(Ordering::Relaxed), || Duration::ZERO);
    let count = AtomicU8::new(1);
    let environment = Environment {
        clock,
        random: Arc::new(move || [count.fetch_add(1, Ordering::Relaxed); 16]),
    };
    let config = Config {
        retention_check_interval: Duration::from_millis(1),
        ..Config::default()
    };
    let broker = Broker::open(engine.clone(), config, environment).await.unwrap();
    Running {
        engine,
        broker,
        now_ms,
    }
}

impl Running {
    async fn create(&self, name: &str, configs: &[(&str, &str)]) {
        let configs = configs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())));
        let new = NewTopic {
            name: name.to_owned(),
            partitions: Some(1),
            configs: configs.collect(),
        };
        self.broker.create_topic(new).await.unwrap();
    }

    /// Appends a record of each key, with the round as its value; none deletes the key.
    async fn append(&self, name: &str, keys: u32, round: Option<u32>) {
        let mut builder = Builder::new(Compression::Lz4);
        for key in 0..keys {
            let value = round.map(|round| format!("{round} {}", "x".repeat(100)));
            let key = key.to_string();
            builder.push(
                NOW_MS,
                Some(key.as_bytes()),
                value.as_deref().map(str::as_bytes),
                &[],
            );
        }
        let batch = Batch::validate(builder.build().into_bytes()).unwrap();
        let topic = self.broker.topic(name).unwrap();
        self.broker
            .append(&topic, 0, batch)
            .unwrap()
            .commit
            .await
            .unwrap();
    }

    /// Offset, key and whether there is a value, of all records.
    async fn read(&self, name: &str) -> Vec<(i64, String, bool)> {
        let topic = self.broker.topic(name).unwrap();
        let bounds = self.broker.bounds(&topic, 0).unwrap();
        let (mut at, mut records) = (bounds.start, Vec::new());
        while at < bounds.end {
            let read = self.broker.read(&topic, 0, at, 1 << 20).await.unwrap();
            if read.bytes == 0 {
                break;
            }
            for slice in &read.slices {
                for batch in Batches::new(slice) {
                    let (header, bytes) = batch.unwrap();
                    at = header.next_offset();
                    let batch = Batch::stored(slice.slice_ref(bytes)).unwrap();
                    for record in &batch.records(1 << 20).unwrap() {
                        let record = record.unwrap();
                        let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
                        records.push((record.offset, key, record.value.is_some()));
                    }
                }
            }
        }
        records
    }

    /// Waits until as many records are left.
    async fn until_left(&self, name: &str, count: usize) {
        for _ in 0..10_000 {
            if self.read(name).await.len() == count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("{name} has {} records, not {count}", self.read(name).await.len());
    }

    async fn stop(self) {
        self.broker.shutdown().await;
        tokio::task::spawn_blocking(move || self.engine.close())
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn the_latest_of_each_key_stays_and_deleted_keys_go_in_time() {
    let disk = Recorder::new();
    let running = start(&disk).await;
    let configs = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "1"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("delete.retention.ms", "60000"),
    ];
    running.create("compacted", &configs).await;
    running.create("young", &[("cleanup.policy", "compact")]).await;
    for round in 0..50 {
        running.append("compacted", 20, Some(round)).await;
        running.append("young", 1, Some(round)).await;
    }
    running.append("compacted", 5, None).await;
    // What the broker stored a moment ago is young by this topic's configuration, too.
    running.now_ms.store(NOW_MS + 2, Ordering::Relaxed);
    running.until_left("compacted", 20).await;
    let kept = running.read("compacted").await;
    assert_eq!(kept.iter().filter(|(_, _, has_value)| !has_value).count(), 5);
    assert!(kept.iter().all(|(offset, ..)| *offset >= 49 * 20));

    running.now_ms.store(NOW_MS + 60_002, Ordering::Relaxed);
    // The clock is believed where it did not jump, and something new has to be dirty.
    running.append("compacted", 1, None).await;
    running.stop().await;

    let running = start(&disk).await;
    let again = running.read("compacted").await;
    assert!(again.len() <= 21 && again.iter().any(|(_, key, _)| key == "19"));
    running.stop().await;
}

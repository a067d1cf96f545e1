//! Retention of what is sealed, over restarts: times and sizes come from the segments, and what was trimmed stays so.
#![allow(clippy::unwrap_used, reason = "this is a test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::time::Duration;

use firth_batch::{Batch, Builder, Compression};
use firth_broker::{Bounds, Broker, Clock, Config, ConfigChange, Environment, NewTopic, Topic};
use firth_log::file::recorder::Recorder;
use firth_log::{Engine, Options};

const NOW_MS: i64 = 1_800_000_000_000;
const YEAR_MS: i64 = 365 * 24 * 60 * 60 * 1000;
/// Two records are more than a segment needs.
const VALUE_BYTES: usize = 3000;
const SEGMENT_BYTES: u64 = 4096;

struct Machine {
    disk: Recorder,
    now_ms: Arc<AtomicI64>,
}

/// A broker that looks at retention all the time, and the machine that it runs on.
struct Running {
    engine: Engine,
    broker: Broker,
}

impl Machine {
    fn new() -> Machine {
        Machine {
            disk: Recorder::new(),
            now_ms: Arc::new(AtomicI64::new(NOW_MS)),
        }
    }

    async fn start(&self) -> Running {
        self.start_with_segments_of(SEGMENT_BYTES).await
    }

    async fn start_with_segments_of(&self, segment_bytes: u64) -> Running {
        let now_ms = self.now_ms.clone();
        let environment = firth_log::Environment {
            wall_ms: Arc::new(move || now_ms.load(Ordering::Relaxed)),
            random: Arc::new(|| [1; 16]),
            on_failure: Arc::new(|reason| panic!("the engine failed: {reason}")),
        };
        let options = Options {
            wal_bytes_max: Some(segment_bytes.max(256 << 10) * 4),
            wal_file_bytes: segment_bytes.max(64 << 10),
            segment_bytes,
            ..Options::default()
        };
        let engine = Engine::open(Arc::new(self.disk.clone()), environment, options).unwrap();
        let now_ms = self.now_ms.clone();
        let clock = Clock::new(move || now_ms.load(Ordering::Relaxed), || Duration::ZERO);
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
        Running { engine, broker }
    }

    fn sleep_until(&self, after_ms: i64) {
        self.now_ms.store(NOW_MS + after_ms, Ordering::Relaxed);
    }
}

impl Running {
    async fn stop(self) {
        self.broker.shutdown().await;
        let engine = self.engine;
        tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
    }

    async fn create(&self, name: &str, configs: &[(&str, &str)]) {
        let new = NewTopic {
            name: name.to_owned(),
            partitions: Some(1),
            configs: settings(configs),
        };
        self.broker.create_topic(new).await.unwrap();
    }

    fn topic(&self, name: &str) -> Arc<Topic> {
        self.broker.topic(name).unwrap()
    }

    fn bounds(&self, name: &str) -> Bounds {
        self.broker.bounds(&self.topic(name), 0).unwrap()
    }

    /// Gives the length of the batch.
    async fn append(&self, name: &str, times: &[i64], value_bytes: usize) -> u64 {
        let mut builder = Builder::new(Compression::None);
        for after_ms in times {
            builder.push(NOW_MS + after_ms, None, Some(&vec![b'x'; value_bytes]), &[]);
        }
        let batch = Batch::validate(builder.build().into_bytes()).unwrap();
        let length = batch.len() as u64;
        let appended = self.broker.append(&self.topic(name), 0, batch).unwrap();
        appended.commit.await.unwrap();
        length
    }

    /// Appends a batch of records with these times, which becomes a segment of its own.
    async fn append_segment(&self, name: &str, times: [i64; 3]) {
        let before = self.engine.stats().segments_written;
        self.append(name, &times, VALUE_BYTES).await;
        let is_sealed = || {
            self.engine.stats().segments_written > before
                && self.engine.stats().unsealed_bytes < SEGMENT_BYTES
        };
        until("it is sealed", is_sealed).await;
    }

    /// Waits until every topic was looked at, with the time as it is now: a record that expired long ago goes, and its
    /// topic is looked at last. The first time that may be in a round which began before.
    async fn look(&self) {
        for _ in 0..2 {
            let end = self.bounds("z").end + 1;
            self.append("z", &[-600_000], 1).await;
            let is_trimmed = || self.bounds("z") == Bounds { start: end, end };
            until("the last topic is looked at", is_trimmed).await;
        }
    }
}

fn settings(configs: &[(&str, &str)]) -> Vec<(String, Option<String>)> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), Some((*value).to_owned()));
    configs.iter().map(owned).collect()
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test]
async fn a_sealed_segment_expires_by_its_newest_record_after_a_restart_too() {
    let machine = Machine::new();
    let running = machine.start().await;
    running.create("t", &[("retention.ms", "1000")]).await;
    running.create("z", &[("retention.ms", "1000")]).await;
    running.append_segment("t", [-500, -100, -400]).await;
    running.append_segment("t", [-90, -300, -50]).await;
    running.stop().await;

    let running = machine.start().await;
    machine.sleep_until(900);
    running.look().await;
    assert_eq!(
        running.bounds("t"),
        Bounds { start: 0, end: 6 },
        "one record is not older than 1000 ms"
    );
    machine.sleep_until(901);
    running.look().await;
    assert_eq!(running.bounds("t"), Bounds { start: 3, end: 6 });
    running.stop().await;

    let running = machine.start().await;
    assert_eq!(
        running.bounds("t"),
        Bounds { start: 3, end: 6 },
        "what was deleted stays so"
    );
    running.look().await;
    assert_eq!(running.bounds("t"), Bounds { start: 3, end: 6 });
    machine.sleep_until(951);
    running.look().await;
    assert_eq!(running.bounds("t"), Bounds { start: 6, end: 6 });
    running.stop().await;

    let running = machine.start().await;
    running.append("t", &[951], 1).await;
    assert_eq!(running.bounds("t"), Bounds { start: 6, end: 7 }, "offsets go on");
    running.stop().await;
}

#[tokio::test]
async fn sealed_segments_go_by_size_after_a_restart_too() {
    let machine = Machine::new();
    let running = machine.start().await;
    running.create("t", &[("retention.ms", "-1")]).await;
    running.create("z", &[("retention.ms", "1000")]).await;
    for _ in 0..3 {
        running.append_segment("t", [0, 0, 0]).await;
    }
    running.stop().await;

    let running = machine.start().await;
    running.look().await;
    assert_eq!(running.bounds("t"), Bounds { start: 0, end: 9 });
    // The youngest two segments are as large as that, and the last one is not.
    let bytes = (2 * 3 * VALUE_BYTES).to_string();
    let configs = settings(&[("retention.ms", "-1"), ("retention.bytes", &bytes)]);
    let id = running.topic("t").id;
    let change = vec![(id, ConfigChange::Replace(configs))];
    let mut configured = running.broker.configure_topics(change, false).await;
    configured.remove(0).unwrap();
    running.look().await;
    assert_eq!(running.bounds("t"), Bounds { start: 3, end: 9 });
    running.stop().await;

    let running = machine.start().await;
    running.look().await;
    assert_eq!(
        running.bounds("t"),
        Bounds { start: 3, end: 9 },
        "no more goes than has to"
    );
    running.append_segment("t", [0, 0, 0]).await;
    running.look().await;
    assert_eq!(running.bounds("t"), Bounds { start: 6, end: 12 });
    running.stop().await;
}

#[tokio::test]
async fn a_partition_is_held_to_its_size_while_it_is_written() {
    const LIMIT: u64 = 1 << 20;
    const CHUNK: u64 = 128 * 1024;
    let machine = Machine::new();
    let running = machine.start_with_segments_of(512 * 1024).await;
    let limit = LIMIT.to_string();
    let configs = [("retention.ms", "-1"), ("retention.bytes", limit.as_str())];
    running.create("t", &configs).await;
    let unlimited = [("retention.ms", "-1")];
    running.create("beside", &unlimited).await;
    let mut lengths: Vec<u64> = Vec::new();
    let kept = |running: &Running, lengths: &[u64]| -> u64 {
        let start = running.bounds("t").start as usize;
        lengths[start..].iter().sum()
    };
    for nth in 0..300 {
        // A batch each, of all sizes up to a chunk.
        let value_bytes = 1 + nth * 7919 % 60_000;
        lengths.push(running.append("t", &[0], value_bytes).await);
        running.append("beside", &[0], 100).await;
        let all: u64 = lengths.iter().sum();
        assert!(kept(&running, &lengths) >= all.min(LIMIT));
        if nth % 10 == 0 {
            let is_held = || kept(&running, &lengths) <= LIMIT / 10 * 11 + CHUNK;
            until("it is held", is_held).await;
        }
    }
    assert!(running.bounds("t").start > 200);
    // What is not kept does not stay on disk either.
    until("its space is free", || {
        running.engine.stats().segment_bytes < 2 * (LIMIT + CHUNK)
    })
    .await;
    running.stop().await;
    let running = machine.start_with_segments_of(512 * 1024).await;
    running.create("z", &[("retention.ms", "1000")]).await;
    running.look().await;
    assert!((LIMIT..=LIMIT + CHUNK).contains(&kept(&running, &lengths)));
    running.stop().await;
}

#[tokio::test]
async fn a_machine_that_starts_a_year_ahead_deletes_nothing_by_age() {
    let machine = Machine::new();
    let running = machine.start().await;
    running.create("t", &[("retention.ms", "400000")]).await;
    running.create("z", &[("retention.ms", "1000")]).await;
    running.append("t", &[0], 1).await;
    // The time is noted before the first topic is looked at.
    running.look().await;
    running.stop().await;

    machine.sleep_until(YEAR_MS);
    for _ in 0..2 {
        let running = machine.start().await;
        running.look().await;
        assert_eq!(running.bounds("t"), Bounds { start: 0, end: 1 });
        running.stop().await;
    }

    // The clock was set right: what has expired goes.
    machine.sleep_until(500_000);
    let running = machine.start().await;
    running.look().await;
    assert_eq!(running.bounds("t"), Bounds { start: 1, end: 1 });
    running.stop().await;
}

#[tokio::test]
async fn a_machine_that_starts_a_year_ahead_takes_no_retry_for_news() {
    let machine = Machine::new();
    let running = machine.start().await;
    running.create("t", &[("retention.ms", "-1")]).await;
    running.create("z", &[("retention.ms", "1000")]).await;
    let send = async |running: &Running| {
        let mut builder = Builder::new(Compression::None).producer(7, 0, 0);
        builder.push(NOW_MS, None, Some(b"once"), &[]);
        let batch = Batch::validate(builder.build().into_bytes()).unwrap();
        let appended = running.broker.append(&running.topic("t"), 0, batch).unwrap();
        appended.commit.await.unwrap();
        appended.duplicate
    };
    assert!(!send(&running).await);
    running.append_segment("t", [0, 0, 0]).await;
    // The time is noted before the first topic is looked at.
    running.look().await;
    running.stop().await;

    machine.sleep_until(YEAR_MS);
    for _ in 0..2 {
        let running = machine.start().await;
        running.look().await;
        // Whoever is idle for long goes when something is sealed.
        running.append_segment("t", [0, 0, 0]).await;
        assert!(send(&running).await);
        running.stop().await;
    }
}

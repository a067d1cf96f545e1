//! What becomes of the topics where the records that define them are damaged.
#![allow(clippy::unwrap_used, reason = "this is a test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use firth_broker::{Broker, Clock, Config, Environment, Error, NewTopic};
use firth_log::file::recorder::{Image, Recorder};
use firth_log::{Engine, Options};

const NOW_MS: i64 = 1_800_000_000_000;

fn open(disk: &Recorder) -> Engine {
    let environment = firth_log::Environment {
        wall_ms: Arc::new(|| NOW_MS),
        random: Arc::new(|| [1; 16]),
        on_failure: Arc::new(|reason| panic!("the engine failed: {reason}")),
    };
    let options = Options {
        wal_bytes_max: Some(1 << 20),
        wal_file_bytes: 64 << 10,
        ..Options::default()
    };
    Engine::open(Arc::new(disk.clone()), environment, options).unwrap()
}

async fn broker(engine: &Engine) -> Result<Broker, Error> {
    let count = AtomicU8::new(1);
    let environment = Environment {
        clock: Clock::new(|| NOW_MS, || Duration::ZERO),
        random: Arc::new(move || [count.fetch_add(1, Ordering::Relaxed); 16]),
    };
    Broker::open(engine.clone(), Config::default(), environment).await
}

async fn close(engine: Engine) {
    tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
}

/// A disk with some topics.
async fn with_topics(names: &[&str]) -> Recorder {
    let disk = Recorder::new();
    let engine = open(&disk);
    let broker = broker(&engine).await.unwrap();
    for name in names {
        let new = NewTopic {
            name: (*name).to_owned(),
            ..NewTopic::default()
        };
        broker.create_topic(new).await.unwrap();
    }
    broker.shutdown().await;
    close(engine).await;
    disk
}

/// The disk after it damaged the record that creates a topic.
fn without_creation(disk: &Recorder, name: &str) -> Recorder {
    let mut image: Image = disk.image();
    let found = image.files().find_map(|path| {
        let bytes = image.read(path)?;
        let mut windows = bytes.windows(name.len());
        let at = windows.position(|window| window == name.as_bytes())?;
        Some((path.to_owned(), at as u64))
    });
    let (path, at) = found.unwrap();
    image.flip(&path, at, 3);
    Recorder::from_image(image)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_does_not_start_with_a_part_of_its_topics() {
    let disk = without_creation(&with_topics(&["first", "second", "third"]).await, "second");
    for _ in 0..2 {
        let engine = open(&disk);
        let error = broker(&engine).await.err().unwrap();
        let Error::Damaged {
            first_offset,
            last_offset,
        } = error
        else {
            panic!("{error}")
        };
        let said = error.to_string();
        let accept = format!("`firth doctor --accept definitions:{first_offset}-{last_offset}`");
        assert!(
            said.contains("restore a backup") && said.contains(&accept),
            "{said}"
        );
        close(engine).await;
    }
}

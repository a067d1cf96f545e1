//! A disk that is really full (T7): producers are refused, everything else goes on, and nothing needs a restart.

use std::path::Path;

use firth_batch::{Builder, Compression};
use firth_kafka_codec::ErrorCode;

use crate::broker::{Broker, Start};
use crate::crash::client::{Client, fetched};
use crate::crash::load::{Load, PARTITIONS, Progress};
use crate::crash::random::Random;
use crate::mount::{FileSystem, Mount};

const DISK_MIB: u64 = 64;
/// What others leave of it, with a WAL so small that it is sealed all the time. Reserved are 2.5 MiB of that.
const LEFT_BYTES: u64 = 12 << 20;
/// Batches that are refused before it counts as a condition.
const REFUSALS: u64 = 50;
/// Batches that show that producers are taken.
const BATCHES: u64 = 300;
/// How often the metrics are looked at.
const LOOKS_MAX: u32 = 100_000;
const GROUP: &str = "group";

fn until_refused(progress: &Progress) -> bool {
    let refused = progress.wait_for_refusals(REFUSALS);
    assert!(refused, "the writers ended before anything was refused");
    refused
}

fn until_taken(progress: &Progress) {
    assert!(progress.wait_for_more(BATCHES), "the writers ended");
    progress.enough();
}

/// The value of a metric, with its labels.
fn metric(broker: &Broker, name: &str) -> u64 {
    let metrics = broker.get("/metrics");
    let mut lines = metrics.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = value.unwrap_or_else(|| panic!("no {name} in {metrics}"));
    value.parse().unwrap()
}

/// Waits until the alarm is on or off: producers may be taken a moment before it is.
fn expect_alarm(broker: &Broker, full: u64) {
    let is_so = (0..LOOKS_MAX).any(|_| metric(broker, "firth_log_disk_full") == full);
    assert!(is_so, "the alarm does not become {full}");
}

/// Whoever comes now is answered at once.
fn expect_refusal(broker: &Broker) {
    let mut client = Client::connect(broker.kafka()).unwrap();
    let mut builder = Builder::new(Compression::None);
    builder.push(0, None, Some(b"refused"), &[]);
    let answer = client.produce(0, builder.build().into_bytes()).unwrap();
    assert_eq!(answer.error_code, ErrorCode::KafkaStorageError);
}

/// A commit is refused so that clients try it again, and what was committed before stays.
fn expect_commit(broker: &Broker, offset: i64, is_full: bool) {
    let mut client = Client::connect(broker.kafka()).unwrap();
    let before = client.committed(GROUP, 0).unwrap();
    let (error, after) = match is_full {
        true => (ErrorCode::CoordinatorNotAvailable, before),
        false => (ErrorCode::None, offset),
    };
    assert_eq!(client.commit(GROUP, offset).unwrap(), error);
    assert_eq!(client.committed(GROUP, 0).unwrap(), after);
}

/// What consumers and administrators do goes on.
fn others_go_on(broker: &Broker) {
    let mut client = Client::connect(broker.kafka()).unwrap();
    for partition in 0..PARTITIONS {
        let start = client.log_start(partition).unwrap();
        let data = client.fetch(partition, start, 0).unwrap();
        assert_eq!(data.error_code, ErrorCode::None);
        assert!(!fetched(data.records).is_empty(), "nothing in {partition}");
    }
    // What is mostly deleted is rewritten meanwhile, so that space comes and goes until producers have taken it again.
    let needed = metric(broker, "firth_disk_needed_bytes{directory=\"data\"}");
    let is_low = |_| metric(broker, "firth_disk_free_bytes{directory=\"data\"}") < needed;
    assert!((0..LOOKS_MAX).any(is_low), "there is more space than is needed");
    broker.succeed(&["topic", "delete", "doomed"], "");
    let topics = broker.succeed(&["topic", "list"], "");
    assert!(!topics.contains("doomed"), "{topics}");
}

fn expect_log(log: &str, place: &str) {
    let mut lines = log.lines();
    let full = lines.find(|line| line.contains("the disk is full: producers are refused"));
    let full = full.unwrap_or_else(|| panic!("no alarm in {log}"));
    for words in [place, "free_bytes=", "needed_bytes="] {
        assert!(full.contains(words), "{words:?} is not in {full}");
    }
}

/// The disk is filled, the broker killed and started while it is full, records are deleted, and producers go on.
fn producers_wait_for_a_deletion(mount: &Mount, flags: &[&str]) {
    let path = mount.path();
    let start = |path: &Path| Start::new(path, flags).succeed();
    let mut random = Random::from_environment("full disk");
    let broker = start(&path);
    let mut load = Load::new(&broker, &mut random);
    broker.succeed(&["produce", "doomed"], "x\n");
    let address = broker.kafka();
    load.run(address, |progress| {
        until_refused(progress);
        expect_alarm(&broker, 1);
        others_go_on(&broker);
        expect_log(&broker.kill().log, "directory=\"data\"");
        progress.enough();
    });

    let broker = start(&path);
    expect_alarm(&broker, 1);
    load.check(broker.kafka());
    load.run_deleting(broker.kafka(), until_refused, until_taken);
    load.finish(broker.kafka());
    expect_alarm(&broker, 0);
    load.check(broker.kafka());
    let log = broker.stop();
    expect_log(&log, "directory=\"data\"");
    assert!(log.contains("the disk has space again"), "{log}");

    let broker = start(&path);
    load.check(broker.kafka());
    broker.stop();
}

#[test]
fn producers_are_refused_until_records_are_deleted() {
    for file_system in [FileSystem::Tmpfs, FileSystem::Ext4] {
        if let Some(mount) = Mount::new(file_system, DISK_MIB) {
            mount.leave_free(LEFT_BYTES);
            let flags = ["--wal-limit", "1MiB", "--retention-check-interval-ms", "100"];
            producers_wait_for_a_deletion(&mount, &flags);
        }
    }
}

#[test]
fn a_small_disk_needs_no_settings() {
    if let Some(mount) = Mount::new(FileSystem::Tmpfs, DISK_MIB) {
        producers_wait_for_a_deletion(&mount, &[]);
    }
}

/// Somebody else takes all that there is, even what is reserved. Who was taken before that was known waits for space, and
/// whoever comes then is refused.
fn producers_wait_for_others(mount: &Mount) {
    let path = mount.path();
    let start = |path: &Path| Start::new(path, &[]).succeed();
    let mut random = Random::from_environment("foreign files");
    let broker = start(&path);
    let mut load = Load::new(&broker, &mut random);
    broker.succeed(&["produce", "doomed"], "x\n");
    load.run(broker.kafka(), |progress| {
        assert!(progress.wait_for(BATCHES), "the writers ended");
        expect_commit(&broker, 1, false);
        mount.leave_free(0);
        expect_alarm(&broker, 1);
        expect_refusal(&broker);
        expect_commit(&broker, 2, true);
        mount.free_foreign();
        until_taken(progress);
    });
    load.finish(broker.kafka());
    expect_alarm(&broker, 0);
    expect_commit(&broker, 3, false);
    load.check(broker.kafka());

    let address = broker.kafka();
    load.run(address, |progress| {
        assert!(progress.wait_for(BATCHES), "the writers ended");
        mount.leave_free(0);
        expect_alarm(&broker, 1);
        others_go_on(&broker);
        broker.kill();
        progress.enough();
    });
    let broker = start(&path);
    load.check(broker.kafka());
    expect_alarm(&broker, 1);
    expect_refusal(&broker);
    expect_commit(&broker, 4, true);
    load.run(broker.kafka(), |progress| {
        mount.free_foreign();
        until_taken(progress);
    });
    load.finish(broker.kafka());
    expect_commit(&broker, 5, false);
    load.check(broker.kafka());
    expect_log(&broker.stop(), "directory=\"data\"");
}

#[test]
fn producers_are_refused_while_foreign_files_fill_the_disk() {
    if let Some(mount) = Mount::new(FileSystem::Ext4, DISK_MIB) {
        producers_wait_for_others(&mount);
    }
}

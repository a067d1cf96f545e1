//! Backups of a broker that works, and what is restored of them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use bytes::Bytes;
use firth_batch::{Builder, Compression};
use firth_kafka_codec::ErrorCode;

use crate::broker::{Broker, Directory, Start, firth};
use crate::crash::checker::Checker;
use crate::crash::client::Client;
use crate::crash::load::{Load, PARTITIONS};
use crate::crash::random::Random;

fn run(directory: &Path, arguments: &[&str]) -> Output {
    firth(directory).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Backs up a running broker into a file; what was printed.
fn backup(broker: &Broker, directory: &Path, file: &str) -> Output {
    let server = format!("http://{}", broker.addresses("http")[0]);
    run(directory, &["backup", "--server", &server, "--json", file])
}

fn restore(directory: &Path, file: &str, data: &str) -> Output {
    run(directory, &["restore", file, "--data", data])
}

/// Starts a broker on what was restored, in `directory/NAME/data`.
fn restored(directory: &Path, file: &str, name: &str) -> (PathBuf, Broker) {
    let home = directory.join(name);
    std::fs::create_dir(&home).unwrap();
    let output = restore(directory, file, &format!("{name}/data"));
    assert!(output.status.success(), "{output:?}");
    let broker = Start::recycling(&home).succeed();
    (home, broker)
}

/// Topics that come and go while the backup is taken.
fn change_topics(address: SocketAddr, count: usize) {
    for nth in 0..count {
        for (verb, name) in [("create", "later"), ("delete", "gone")] {
            let name = format!("{name}-{nth}");
            let mut command = firth(Path::new("/"));
            command.env("FIRTH_SERVER", address.to_string());
            let output = command.args(["topic", verb, &name]).output().unwrap();
            assert!(output.status.success(), "{output:?}");
        }
    }
}

#[test]
fn what_was_acknowledged_before_is_in_a_backup_that_was_taken_under_load() {
    let mut random = Random::from_environment("backup");
    let directory = Directory::new();
    let broker = Start::recycling(directory.path()).succeed();
    let address = broker.kafka();
    for nth in 0..3 {
        broker.succeed(&["topic", "create", &format!("gone-{nth}")], "");
        broker.succeed(&["topic", "create", &format!("kept-{nth}")], "");
    }
    let mut load = Load::new(&broker, &mut random);
    load.run(address, |progress| {
        progress.wait_for(1500);
        progress.enough();
    });
    load.finish(address);
    let acknowledged: Vec<Vec<Vec<u64>>> = load
        .writers
        .iter()
        .map(|writer| {
            let histories = writer.histories.iter();
            histories.map(|history| history.acknowledged.clone()).collect()
        })
        .collect();
    let mut checker = Checker::new(PARTITIONS);
    for partition in 0..PARTITIONS {
        checker.may_be_trimmed(partition, load.checker.end(partition));
    }
    load.run_deleting(
        address,
        |progress| progress.wait_for(300),
        |progress| {
            std::thread::scope(|scope| {
                scope.spawn(|| change_topics(address, 3));
                progress.wait_for(500);
                let taken = backup(&broker, directory.path(), "backup.tar");
                assert!(taken.status.success(), "{taken:?}");
                assert!(text(&taken.stdout).contains("\"damages\":[]"), "{taken:?}");
            });
            progress.wait_for(800);
            progress.enough();
        },
    );
    load.finish(address);
    load.check(address);
    broker.stop();

    let (_, broker) = restored(directory.path(), "backup.tar", "restored");
    // What was acknowledged later may be there, and need not.
    for (writer, acknowledged) in load.writers.iter_mut().zip(acknowledged) {
        for (history, acknowledged) in writer.histories.iter_mut().zip(acknowledged) {
            history.acknowledged = acknowledged;
        }
    }
    let mut client = Client::connect(broker.kafka()).unwrap();
    for partition in 0..PARTITIONS {
        // Where the log starts, and then where it ends.
        checker.read_on(&mut client, partition, 0).unwrap();
        checker.read_on(&mut client, partition, 0).unwrap();
    }
    checker.read_all(&mut client);
    checker.judge(&mut load.writers);
    checker.agree_with(&load.checker);
    let topics = broker.succeed(&["topic", "list"], "");
    for nth in 0..3 {
        assert!(topics.contains(&format!("kept-{nth}")), "{topics}");
    }
    broker.stop();
}

fn numbered(producer: (i64, i16), sequence: i32) -> Bytes {
    let mut builder = Builder::new(Compression::None).producer(producer.0, producer.1, sequence);
    builder.push(-1, None, Some(format!("record {sequence}").as_bytes()), &[]);
    builder.build().into_bytes()
}

fn produce(address: SocketAddr, producer: (i64, i16), sequence: i32) -> (ErrorCode, i64) {
    let mut client = Client::connect(address).unwrap();
    let answer = client.produce(0, numbered(producer, sequence)).unwrap();
    (answer.error_code, answer.base_offset)
}

#[test]
fn producers_and_consumers_go_on_where_they_were() {
    let directory = Directory::new();
    let broker = Start::recycling(directory.path()).succeed();
    let mut client = Client::connect(broker.kafka()).unwrap();
    client.create_topic(1).unwrap();
    let producer = client.init_producer_id().unwrap();
    for sequence in 0..7 {
        assert_eq!(
            produce(broker.kafka(), producer, sequence),
            (ErrorCode::None, sequence.into())
        );
    }
    let taken = backup(&broker, directory.path(), "backup.tar");
    assert!(taken.status.success(), "{taken:?}");
    // The next one takes what came since.
    assert_eq!(produce(broker.kafka(), producer, 7), (ErrorCode::None, 7));
    let taken = backup(&broker, directory.path(), "later.tar");
    assert!(taken.status.success(), "{taken:?}");
    broker.stop();
    for (file, count) in [("backup.tar", 7), ("later.tar", 8)] {
        let (home, broker) = restored(directory.path(), file, &format!("of-{file}"));
        for round in 0..2 {
            // Retries are answered as before, and what follows is taken.
            let next = count + round;
            assert_eq!(
                produce(broker.kafka(), producer, next - 1),
                (ErrorCode::None, i64::from(next) - 1)
            );
            assert_eq!(
                produce(broker.kafka(), producer, next + 1).0,
                ErrorCode::OutOfOrderSequenceNumber
            );
            assert_eq!(
                produce(broker.kafka(), producer, next),
                (ErrorCode::None, next.into())
            );
        }
        let mut client = Client::connect(broker.kafka()).unwrap();
        let data = client.fetch(0, 5, 0).unwrap();
        assert_eq!(
            (data.error_code, data.high_watermark),
            (ErrorCode::None, i64::from(count) + 2)
        );
        let (_, epoch) = client.init_producer_id().unwrap();
        assert_eq!(epoch, 0);
        assert_ne!(
            client.init_producer_id().unwrap().0,
            producer.0,
            "an id is given out once"
        );
        broker.stop();
        assert!(run(&home, &["doctor", "--data", "data"]).status.success());
    }
}

/// A backup with a few segments, and the directory that it was made of.
fn small(directory: &Path) -> Vec<u8> {
    let broker = Start::recycling(directory).succeed();
    for part in 0..20 {
        let lines: String = (0..500)
            .map(|line| format!("needle-{part:02}-{line:03} in a haystack\n"))
            .collect();
        broker.succeed(&["produce", "t"], &lines);
    }
    let taken = backup(&broker, directory, "backup.tar");
    assert!(taken.status.success(), "{taken:?}");
    broker.stop();
    std::fs::read(directory.join("backup.tar")).unwrap()
}

#[test]
fn a_backup_that_is_cut_off_or_damaged_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let archive = small(directory);
    let refused = |bytes: &[u8], words: &str| {
        std::fs::write(directory.join("bad.tar"), bytes).unwrap();
        let output = restore(directory, "bad.tar", "new");
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(words), "{words}: {error}");
        assert!(!directory.join("new").exists());
        let partial = directory.join("new.restoring");
        if partial.exists() {
            assert!(error.contains("new.restoring"), "{error}");
            // It is in the way until somebody has looked at it.
            let again = restore(directory, "backup.tar", "new");
            assert!(text(&again.stderr).contains("remove it first"), "{again:?}");
            std::fs::remove_dir_all(partial).unwrap();
        }
    };
    for tenth in 0..10 {
        refused(&archive[..archive.len() * tenth / 10], "cut off");
    }
    refused(&archive[..archive.len() - 1], "cut off: it ends within its end");
    for tenth in 1..10 {
        let mut damaged = archive.clone();
        damaged[archive.len() * tenth / 10] ^= 0x10;
        refused(&damaged, "the backup is damaged: ");
    }
    refused(
        b"#!/bin/sh\n".repeat(100).as_slice(),
        "this is no backup of Firth",
    );
    let output = restore(directory, "backup.tar", "new");
    assert!(output.status.success(), "{output:?}");
    let said = text(&output.stdout);
    assert!(
        said.contains("1 topics, 1 partitions, 10000 records") && said.contains("firth serve --data new"),
        "{said}"
    );
}

#[test]
fn nothing_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let archive = small(directory);
    let broker = Start::recycling(directory).succeed();
    let output = backup(&broker, directory, "backup.tar");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("is there already"), "{output:?}");
    broker.stop();
    assert!(std::fs::read(directory.join("backup.tar")).unwrap() == archive);

    std::fs::write(directory.join("file"), "x").unwrap();
    for (data, words) in [
        ("data", "is not empty"),
        ("file", "is no directory"),
        (".", "is not empty"),
    ] {
        let output = restore(directory, "backup.tar", data);
        assert_eq!(output.status.code(), Some(1), "{data}");
        assert!(text(&output.stderr).contains(words), "{data}: {output:?}");
    }
    std::fs::create_dir(directory.join("empty")).unwrap();
    assert!(restore(directory, "backup.tar", "empty").status.success());
    assert!(directory.join("empty/segments").is_dir());
    assert!(!directory.join("empty.restoring").exists());
}

#[test]
fn a_broker_that_does_not_run_is_backed_up_from_its_directory() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let broker = Broker::start(directory);
    broker.succeed(&["produce", "t"], "one\ntwo\n");
    let output = run(directory, &["backup", "--data", "data", "backup.tar"]);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(
        error.contains(&format!("pid {}", broker.pid())) && error.contains("--server"),
        "{error}"
    );
    assert!(!directory.join("backup.tar").exists() && !directory.join("backup.tar.partial").exists());
    broker.stop();

    // From standard output into standard input.
    let mut taken = firth(directory)
        .args(["backup", "--data", "data", "-"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = firth(directory)
        .args(["restore", "-", "--data", "restored/data"])
        .stdin(taken.stdout.take().unwrap())
        .output()
        .unwrap();
    assert!(
        output.status.success() && taken.wait().unwrap().success(),
        "{output:?}"
    );
    let broker = Broker::start(&directory.join("restored"));
    assert_eq!(broker.succeed(&["consume", "t", "--exit"], ""), "one\ntwo\n");
    broker.stop();
    let broker = Broker::start(directory);
    assert_eq!(broker.succeed(&["consume", "t", "--exit"], ""), "one\ntwo\n");
}

#[test]
fn what_was_damaged_before_is_said_to_be() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    small(directory);
    let needle = b"needle-03-100";
    let mut damaged = 0;
    for entry in std::fs::read_dir(directory.join("data/segments")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        if let Some(at) = bytes.windows(needle.len()).position(|window| window == needle) {
            bytes[at] ^= 1;
            std::fs::write(&path, bytes).unwrap();
            damaged += 1;
        }
    }
    assert_eq!(damaged, 1);
    let broker = Start::recycling(directory).succeed();
    let output = backup(&broker, directory, "damaged.tar");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        text(&output.stdout).contains("\"damages\":[\"segment 0"),
        "{output:?}"
    );
    broker.stop();
    let output = restore(directory, "damaged.tar", "new");
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.contains("PROBLEM partition 0 of t: offsets") && error.contains("--damaged"),
        "{error}"
    );
    std::fs::remove_dir_all(directory.join("new.restoring")).unwrap();
    let output = run(
        directory,
        &["restore", "--damaged", "damaged.tar", "--data", "new"],
    );
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        run(directory, &["doctor", "--data", "new"]).status.code(),
        Some(1)
    );
}

#[test]
fn a_broker_that_is_not_there_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let server = format!("http://{closed}");
    let output = run(directory.path(), &["backup", "--server", &server, "backup.tar"]);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(
        error.contains(&closed.to_string()) && error.contains("is `firth serve` running there"),
        "{error}"
    );
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

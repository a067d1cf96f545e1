//! The process is killed at chosen system calls: while it starts, appends, seals, checkpoints and removes (samples of T2).

use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use super::client::TOPIC;
use super::load::{Load, PARTITIONS};
use super::random::{self, Random};
use super::strace;
use crate::broker::{Directory, Start};

const SIGKILL: i32 = 9;
/// Calls, how many points of each are tried, and up to which count of the call.
const POINTS: [(&str, usize, u64); 6] = [
    ("pwrite64", 8, 40),
    ("fdatasync", 5, 12),
    ("fsync", 3, 7),
    ("ftruncate,fallocate", 3, 6),
    ("?unlink,?unlinkat", 3, 5),
    ("?rename,?renameat,?renameat2", 0, 2),
];
/// The same, for the first start in a new directory.
const FIRST_POINTS: [(&str, usize, u64); 6] = [
    ("pwrite64", 3, 14),
    ("fdatasync", 2, 5),
    ("fsync", 2, 4),
    ("ftruncate,fallocate", 1, 4),
    ("?unlink,?unlinkat", 0, 2),
    ("?rename,?renameat,?renameat2", 0, 2),
];

/// The same, of the thread that merges, reclaims and compacts.
const REWRITER_POINTS: [(&str, usize, u64); 5] = [
    // While there is little, as a merge comes to its end only then.
    ("?unlink,?unlinkat", 3, 10),
    ("openat", 2, 16),
    ("pwrite64", 3, 24),
    ("fdatasync,fsync", 3, 12),
    ("pread64", 2, 30),
];

/// The first call of each, and some of those behind it, or all of them.
fn drawn(points: &[(&'static str, usize, u64)], random: &mut Random) -> Vec<(&'static str, u64)> {
    let mut drawn = Vec::new();
    for (calls, count, end) in points {
        drawn.push((*calls, 1));
        if random::everything() {
            drawn.extend((2..*end).map(|nth| (*calls, nth)));
        } else {
            drawn.extend((0..*count).map(|_| (*calls, random.within(2..*end))));
        }
    }
    drawn
}

/// Kills the broker at the `nth` of some calls, at the latest when it has worked enough. Says whether it came to the call.
fn crash_at(strace: &Path, directory: &Path, calls: &str, nth: u64, load: Option<&mut Load>) -> bool {
    let effect = format!("signal=KILL:when={nth}");
    let ended = match (
        strace::start(strace, directory, calls, &effect, &[]).start(),
        load,
    ) {
        (Err(ended), _) => Some(ended),
        (Ok(broker), Some(load)) => strace::work_until_end(broker, load, strace::BATCHES),
        (Ok(_), None) => None,
    };
    if let Some(ended) = &ended {
        assert_eq!(ended.status.signal(), Some(SIGKILL), "{calls} {nth}: {ended:?}");
    }
    ended.is_some()
}

#[test]
fn a_crash_at_any_call_loses_nothing() {
    let Some(strace) = strace::find() else { return };
    let mut random = Random::from_environment("crash points");
    let directory = Directory::new();
    let broker = Start::recycling(directory.path()).succeed();
    let mut load = Load::new(&broker, &mut random);
    broker.stop();
    let mut reached = Vec::new();
    for (calls, nth) in drawn(&POINTS, &mut random) {
        println!("killed at {calls} {nth}");
        if crash_at(&strace, directory.path(), calls, nth, Some(&mut load)) {
            reached.push(calls);
        }
        let broker = Start::recycling(directory.path()).succeed();
        load.check(broker.kafka());
        broker.kill();
    }
    let broker = Start::recycling(directory.path()).succeed();
    load.finish(broker.kafka());
    load.check(broker.kafka());
    broker.stop();
    println!("reached {reached:?}");
    for calls in ["pwrite64", "fdatasync", "fsync"] {
        assert!(reached.contains(&calls), "no process came to its {calls}");
    }
}

#[test]
fn a_crash_at_any_call_of_the_rewriter_loses_nothing() {
    let Some(strace) = strace::find() else { return };
    let mut random = Random::from_environment("crash points of the rewriter");
    let directory = Directory::new();
    let broker = Start::recycling(directory.path()).succeed();
    let partitions = PARTITIONS.to_string();
    let create = ["topic", "create", TOPIC, "--partitions", &partitions];
    let configs = [
        "--config",
        "cleanup.policy=compact,delete",
        "--config",
        "min.cleanable.dirty.ratio=0",
    ];
    broker.succeed(&[&create[..], &configs].concat(), "");
    let mut load = Load::new(&broker, &mut random);
    broker.stop();
    let mut reached = Vec::new();
    for (calls, nth) in drawn(&REWRITER_POINTS, &mut random) {
        println!("the rewriter is killed at {calls} {nth}");
        let broker = Start::recycling(directory.path()).succeed();
        load.check(broker.kafka());
        let mut killing = strace::kill_at(&strace, &broker, "rewriter", calls, nth);
        // The thread may have little of the processor, and is to come to the first call of each.
        let batches = strace::BATCHES * if nth == 1 { 10 } else { 1 };
        if let Some(ended) = strace::work_until_end(broker, &mut load, batches) {
            assert_eq!(ended.status.signal(), Some(SIGKILL), "{calls} {nth}: {ended:?}");
            reached.push(calls);
        }
        killing.wait().unwrap();
    }
    let broker = Start::recycling(directory.path()).succeed();
    load.finish(broker.kafka());
    load.check(broker.kafka());
    broker.stop();
    println!("reached {reached:?}");
    for (calls, ..) in REWRITER_POINTS {
        assert!(reached.contains(&calls), "no process came to its {calls}");
    }
}

#[test]
fn a_crash_in_the_first_start_is_recovered_from() {
    let Some(strace) = strace::find() else { return };
    let mut random = Random::from_environment("crash points of the first start");
    for (calls, nth) in drawn(&FIRST_POINTS, &mut random) {
        println!("killed at {calls} {nth}");
        let directory = Directory::new();
        crash_at(&strace, directory.path(), calls, nth, None);
        let broker = Start::recycling(directory.path()).succeed();
        let mut load = Load::new(&broker, &mut random);
        load.run(broker.kafka(), |progress| {
            progress.wait_for(20);
            broker.kill();
            progress.enough();
        });
        let broker = Start::recycling(directory.path()).succeed();
        load.finish(broker.kafka());
        load.check(broker.kafka());
        broker.stop();
    }
}

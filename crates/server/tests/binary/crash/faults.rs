//! System calls fail (samples of T5 and T6): after an error nothing is acknowledged and the process exits, and says so; a
//! full disk is a condition that passes.

use std::path::Path;

use super::load::{Load, Progress};
use super::random::{self, Random};
use super::strace;
use crate::broker::{Broker, Directory, Start};

/// Of BSD's sysexits, "an error occurred while doing I/O".
const EXIT_STORAGE_FAILED: i32 = 74;
const EXIT_FAILURE: i32 = 1;
/// Calls, how many failures of each are tried, and up to which count of the call.
const FAILURES: [(&str, usize, u64); 4] = [
    ("pwrite64", 6, 40),
    ("fdatasync", 4, 12),
    ("fsync", 3, 7),
    ("ftruncate,fallocate", 2, 6),
];
/// Batches within which the disk is full, and has space again.
const FULL_WITHIN_BATCHES: u64 = 4000;

fn loaded(directory: &Directory, random: &mut Random) -> Load {
    let broker = Start::recycling(directory.path()).succeed();
    let load = Load::new(&broker, random);
    broker.stop();
    load
}

#[test]
fn a_failed_call_ends_the_process_and_costs_nothing_acknowledged() {
    let Some(strace) = strace::find() else { return };
    let mut random = Random::from_environment("failing calls");
    let directory = Directory::new();
    let mut load = loaded(&directory, &mut random);
    let mut failed = 0;
    for (calls, when) in drawn(&FAILURES, &mut random) {
        println!("{calls} {when} fails");
        failed += u64::from(fail(&strace, directory.path(), calls, &when, &mut load));
        let broker = Start::recycling(directory.path()).succeed();
        load.check(broker.kafka());
        broker.kill();
    }
    assert!(failed > 0, "no call failed while the broker was running");
    let broker = Start::recycling(directory.path()).succeed();
    load.finish(broker.kafka());
    load.check(broker.kafka());
    broker.stop();
}

/// Which calls fail: some, once or from then on, or all of them in both ways.
fn drawn(failures: &[(&'static str, usize, u64)], random: &mut Random) -> Vec<(&'static str, String)> {
    let mut drawn = Vec::new();
    for (calls, count, end) in failures {
        if random::everything() {
            let all =
                (1..*end).flat_map(|nth| ["", "+"].map(|for_ever| (*calls, format!("{nth}{for_ever}"))));
            drawn.extend(all);
            continue;
        }
        for _ in 0..*count {
            let nth = random.within(1..*end);
            let for_ever = random.pick(&["", "+"]);
            drawn.push((*calls, format!("{nth}{for_ever}")));
        }
    }
    drawn
}

/// Calls that fail in other ways than with EIO, how many of each are tried, and up to which count of the call.
const OTHER_FAILURES: [(&str, &str, usize, u64); 8] = [
    ("pwrite64", "EINTR", 2, 40),
    ("pwrite64", "ENOSPC", 4, 40),
    ("fdatasync,fsync", "ENOSPC", 2, 12),
    ("ftruncate,fallocate", "ENOSPC", 2, 6),
    ("pread64", "EIO", 3, 60),
    ("pread64", "EINTR", 1, 60),
    ("openat", "EMFILE", 3, 40),
    ("?unlink,?unlinkat,?rename,?renameat,?renameat2", "EIO", 2, 4),
];

/// Whatever becomes of the broker, nothing acknowledged is lost, nobody waits for ever, and one that ends says why.
#[test]
fn calls_that_fail_in_other_ways_cost_nothing_acknowledged() {
    let Some(strace) = strace::find() else { return };
    let mut random = Random::from_environment("other failing calls");
    let directory = Directory::new();
    let mut load = loaded(&directory, &mut random);
    for (calls, error, count, end) in OTHER_FAILURES {
        for (calls, when) in drawn(&[(calls, count, end)], &mut random) {
            // A call that is interrupted for ever is no call.
            let when = if error == "EINTR" {
                when.trim_end_matches('+')
            } else {
                &when
            };
            println!("{calls} {when} fails with {error}");
            let effect = format!("error={error}:when={when}");
            let start = strace::start(&strace, directory.path(), calls, &effect, &[]);
            let ended = match start.start() {
                Err(ended) => Some(ended),
                // What fails for ever may refuse producers for ever.
                Ok(broker) => strace::work_until_end_or_refused(broker, &mut load),
            };
            // The first calls are made before the first line of the program runs.
            let ended = ended.filter(|ended| !ended.log.contains("error while loading shared libraries"));
            if let Some(ended) = ended {
                assert_ne!(error, "EINTR", "{ended:?}");
                let code = ended.status.code();
                assert!(
                    matches!(code, Some(EXIT_FAILURE | EXIT_STORAGE_FAILED)),
                    "{ended:?}"
                );
                assert!(ended.log.contains("os error"), "{ended:?}");
            }
            let broker = Start::recycling(directory.path()).succeed();
            load.check(broker.kafka());
            broker.kill();
        }
    }
    let broker = Start::recycling(directory.path()).succeed();
    load.finish(broker.kafka());
    load.check(broker.kafka());
    broker.stop();
}

/// Lets calls fail. Says whether one did that ended a running broker.
fn fail(strace: &Path, directory: &Path, calls: &str, when: &str, load: &mut Load) -> bool {
    let effect = format!("error=EIO:when={when}");
    match strace::start(strace, directory, calls, &effect, &[]).start() {
        Err(ended) => {
            assert_eq!(ended.status.code(), Some(EXIT_FAILURE), "{ended:?}");
            assert!(ended.log.contains("Input/output error"), "{ended:?}");
            false
        }
        Ok(broker) => {
            let Some(ended) = strace::work_until_end(broker, load, strace::BATCHES) else {
                return false;
            };
            assert_eq!(ended.status.code(), Some(EXIT_STORAGE_FAILED), "{ended:?}");
            assert!(ended.log.contains("ALARM: the storage failed"), "{ended:?}");
            assert!(ended.log.contains("Input/output error"), "{ended:?}");
            true
        }
    }
}

#[test]
fn a_wal_write_that_fails_is_final() {
    let Some(strace) = strace::find() else { return };
    let mut random = Random::from_environment("failing WAL");
    let directory = Directory::new();
    let mut load = loaded(&directory, &mut random);
    let files: Vec<String> = (0..8).map(|slot| format!("data/wal/{slot:08x}")).collect();
    for when in ["3", "5", "2+"] {
        let effect = format!("error=EIO:when={when}");
        let start = strace::start(&strace, directory.path(), "pwrite64", &effect, &files);
        let ended = strace::work_until_end(start.succeed(), &mut load, strace::BATCHES)
            .expect("a lane writes more blocks than these");
        assert_eq!(ended.status.code(), Some(EXIT_STORAGE_FAILED), "{ended:?}");
        assert!(ended.log.contains("WAL"), "{ended:?}");
        let broker = Start::recycling(directory.path()).succeed();
        load.check(broker.kafka());
        load.finish(broker.kafka());
        load.check(broker.kafka());
        broker.stop();
    }
}

/// The call and the file that there is no space for.
const FULL: [(&str, &str, &str); 3] = [
    ("openat", "data/wal/00000002", "1..2"),
    ("fdatasync", "data/segments/0000000000000002", "1..2"),
    ("pwrite64", "data/catalog", "30..31"),
];

#[test]
fn a_full_disk_refuses_producers_until_it_has_space() {
    let Some(strace) = strace::find() else { return };
    let mut random = Random::from_environment("full disk");
    for (call, path, when) in FULL {
        println!("no space for {call} of {path}, {when}");
        let directory = Directory::new();
        let effect = format!("error=ENOSPC:when={when}");
        let broker = strace::start(&strace, directory.path(), call, &effect, &[path.to_owned()]).succeed();
        let mut load = Load::new(&broker, &mut random);
        load.run(broker.kafka(), |progress: &Progress| {
            assert!(progress.wait_for(FULL_WITHIN_BATCHES), "the writers ended");
            progress.enough();
        });
        load.finish(broker.kafka());
        load.check(broker.kafka());
        expect_log(broker);
        let broker = Start::recycling(directory.path()).succeed();
        load.check(broker.kafka());
        broker.stop();
    }
}

fn expect_log(broker: Broker) {
    let ended = broker.kill();
    let mut lines = ended.log.lines();
    let full = lines
        .find(|line| line.contains("the disk is full: producers are refused"))
        .unwrap_or_else(|| panic!("{ended:?}"));
    for words in ["directory=\"data\"", "free_bytes=", "needed_bytes="] {
        assert!(full.contains(words), "{words:?} is not in {full}");
    }
    assert!(
        lines.any(|line| line.contains("the disk has space again")),
        "{ended:?}"
    );
}

#[test]
fn free_space_that_is_not_known_stops_nobody_and_is_said_once() {
    let Some(strace) = strace::find() else { return };
    let mut random = Random::from_environment("unknown space");
    let directory = Directory::new();
    let start = |directory| strace::start(&strace, directory, "statfs,fstatfs", "error=EIO:when=1+", &[]);
    // Without a limit of the WAL, which depends on the size of the file system otherwise.
    let other = Directory::new();
    let unlimited = Start {
        flags: Vec::new(),
        ..start(other.path())
    };
    let broker = unlimited.succeed();
    broker.succeed(&["produce", "t"], "x\n");
    broker.stop();
    let broker = start(directory.path()).succeed();
    let mut load = Load::new(&broker, &mut random);
    load.run(broker.kafka(), |progress: &Progress| {
        assert!(progress.wait_for(FULL_WITHIN_BATCHES), "the writers ended");
        progress.enough();
    });
    load.finish(broker.kafka());
    load.check(broker.kafka());
    let log = broker.stop();
    assert_eq!(log.matches("free space is not known").count(), 1, "{log}");
}

//! The WAL is a circle of a few files: far more passes through it than it holds, and what does not fit waits.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its engine has failed"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use firth_batch::Batches;
use firth_log::file::recorder::{Kind, Recorder, SplitMix64};
use firth_log::{Change, Commit, Direct, Durability, Engine, Frame, LogId, Options, Seek};
use proptest::prelude::*;
use support::{batch, environment, read_all, until, values};

const FILE_BYTES: u64 = 64 * 1024;
const WAL_BYTES_MAX: u64 = 4 * FILE_BYTES;

fn tiny() -> Options {
    Options {
        wal_bytes_max: Some(WAL_BYTES_MAX),
        wal_file_bytes: FILE_BYTES,
        segment_bytes: 96 * 1024,
        cache_bytes: 64 * 1024,
        ..Options::default()
    }
}

fn open(recorder: &Recorder, options: Options) -> Engine {
    Engine::open(Arc::new(recorder.clone()), environment(), options).unwrap()
}

fn create(engine: &Engine) -> LogId {
    let log = engine.allocate(1);
    let kind = firth_log::Kind::Durable;
    let created = engine.append(Frame::changes(vec![Change::Create { log, kind }]));
    created.unwrap().commit.wait().unwrap();
    log
}

/// Appends one batch of about `length` bytes, which tells its number.
fn append(engine: &Engine, log: LogId, number: usize, length: usize) -> Commit {
    let value = format!("{number} {}", "x".repeat(length));
    engine.append(Frame::batch(log, batch(&[&value]))).unwrap().commit
}

/// Lengths of the WAL's files.
fn files(recorder: &Recorder) -> Vec<u64> {
    let image = recorder.image();
    let files = image.files().filter(|path| path.starts_with("wal/"));
    files.map(|path| image.len(path).unwrap()).collect()
}

fn numbers(batches: &[Bytes]) -> Vec<usize> {
    let number = |value: &String| value.split(' ').next().unwrap().parse().unwrap();
    values(batches).iter().map(number).collect()
}

async fn check(engine: &Engine, log: LogId, lengths: &[usize]) {
    let batches = read_all(engine, log, 0).await;
    assert_eq!(numbers(&batches), (0..lengths.len()).collect::<Vec<_>>());
    let found = batches.iter().flat_map(|slice| Batches::new(slice));
    for (batch, length) in found.zip(lengths) {
        assert!(batch.unwrap().1.len() > *length);
    }
    assert!(engine.find(log, Seek::MaxTimestamp).await.unwrap().is_some() != lengths.is_empty());
    assert_eq!(engine.stats().quarantined, 0);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap()
}

#[test]
fn far_more_than_the_limit_passes_through_a_few_files() {
    for (direct, durability) in [
        (Direct::Always, Durability::Disk),
        (Direct::Never, Durability::Disk),
        (Direct::Never, Durability::Os),
    ] {
        let recorder = Recorder::new();
        let options = || Options {
            direct,
            durability,
            ..tiny()
        };
        let engine = open(&recorder, options());
        let log = create(&engine);
        let lengths: Vec<usize> = (0..300).map(|number| 1000 + number * 37 % 20_000).collect();
        let mut commits = Vec::new();
        for (number, length) in lengths.iter().enumerate() {
            commits.push(append(&engine, log, number, *length));
            assert!(files(&recorder).iter().sum::<u64>() <= WAL_BYTES_MAX);
            assert!(engine.stats().wal_bytes <= WAL_BYTES_MAX);
        }
        commits.into_iter().for_each(|commit| commit.wait().unwrap());
        assert!(engine.stats().wal_written_bytes > 8 * WAL_BYTES_MAX);
        assert_eq!(files(&recorder), [FILE_BYTES; 4]);
        runtime().block_on(check(&engine, log, &lengths));
        engine.close();

        let engine = open(&recorder, options());
        runtime().block_on(check(&engine, log, &lengths));
        append(&engine, log, 300, 50_000).wait().unwrap();
        engine.close();
        assert_eq!(
            files(&recorder),
            [FILE_BYTES; 4],
            "a new opening uses the same files"
        );
    }
}

/// A WAL that is full stops the commits, not the callers; the limit holds, and nothing is lost when it goes on.
#[test]
fn a_full_wal_makes_frames_wait_for_sealing() {
    let recorder = Recorder::new();
    let engine = open(&recorder, tiny());
    let log = create(&engine);
    let hold = recorder.hold(Kind::Write, "segments/");
    let lengths = [10_000; 100];
    let commits: Vec<Commit> = lengths
        .iter()
        .enumerate()
        .map(|(number, length)| append(&engine, log, number, *length))
        .collect();
    // All of the files are used before the sealer has brought anything to the disk.
    hold.wait_for(1);
    until("the WAL is full", || {
        files(&recorder).len() == 4 && engine.stats().wal_written_bytes > WAL_BYTES_MAX - FILE_BYTES
    });
    let durable = commits.iter().filter(|commit| commit.is_durable()).count();
    assert!(durable * lengths[0] < WAL_BYTES_MAX as usize, "{durable} frames");
    assert!(durable > 0);
    assert!(engine.bounds(log).unwrap().end < lengths.len() as i64);
    assert_eq!(files(&recorder), [FILE_BYTES; 4]);
    assert_eq!(engine.stats().disk_full, 0, "a full WAL is no full disk");

    drop(hold);
    commits.into_iter().for_each(|commit| commit.wait().unwrap());
    assert_eq!(files(&recorder), [FILE_BYTES; 4]);
    runtime().block_on(check(&engine, log, &lengths));
    engine.close();
}

#[test]
fn a_frame_that_is_larger_than_a_file_gets_one_which_is_used_again() {
    let recorder = Recorder::new();
    let engine = open(&recorder, tiny());
    let log = create(&engine);
    let lengths = [300_000; 20];
    for (number, length) in lengths.iter().enumerate() {
        append(&engine, log, number, *length).wait().unwrap();
    }
    let large: Vec<u64> = files(&recorder)
        .into_iter()
        .filter(|bytes| *bytes > FILE_BYTES)
        .collect();
    // One is written while another is sealed.
    assert!(large.len() <= 2, "{large:?}");
    runtime().block_on(check(&engine, log, &lengths));
    engine.close();

    let engine = open(&recorder, tiny());
    append(&engine, log, 20, 300_000).wait().unwrap();
    let all = [300_000; 21];
    runtime().block_on(check(&engine, log, &all));
    engine.close();
    let again = files(&recorder).into_iter().filter(|bytes| *bytes > FILE_BYTES);
    assert_eq!(again.count(), large.len(), "a new opening uses the same files");
}

/// What is done between two openings: lengths of batches, most of them small, some larger than a file.
fn rounds() -> impl Strategy<Value = Vec<Vec<usize>>> {
    let length = prop_oneof![6 => 1..3_000_usize, 2 => 3_000..60_000_usize, 1 => 60_000..150_000_usize];
    proptest::collection::vec(proptest::collection::vec(length, 0..30), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn whatever_passes_through_is_there_after_each_opening(rounds in rounds(), direct: bool) {
        let recorder = Recorder::new();
        let options = || Options {
            direct: if direct { Direct::Always } else { Direct::Never },
            ..tiny()
        };
        let runtime = runtime();
        let mut log = None;
        let mut all = Vec::new();
        for lengths in rounds {
            let engine = open(&recorder, options());
            let log = *log.get_or_insert_with(|| create(&engine));
            runtime.block_on(check(&engine, log, &all));
            let mut commits = Vec::new();
            for length in lengths {
                commits.push(append(&engine, log, all.len(), length));
                all.push(length);
            }
            commits.into_iter().for_each(|commit| commit.wait().unwrap());
            runtime.block_on(check(&engine, log, &all));
            engine.close();
            let files = files(&recorder);
            let of_usual_size = files.iter().filter(|bytes| **bytes <= FILE_BYTES).count();
            prop_assert!(of_usual_size <= 4, "{:?}", files);
        }
    }
}

/// A lane that waits for a file may be all that tells the sealer to go on, and what is to be sealed may just be written by
/// the other lane.
#[test]
fn frames_of_all_sizes_beside_each_other_never_wait_for_ever() {
    for seed in 0..20 {
        let recorder = Recorder::new();
        let engine = open(&recorder, tiny());
        let log = create(&engine);
        let appended = Arc::new(AtomicU64::new(0));
        let producers = (0..4).map(|producer| {
            let (engine, appended) = (engine.clone(), appended.clone());
            std::thread::spawn(move || {
                let mut random = SplitMix64::new(seed * 100 + producer);
                for number in 0..200 {
                    let length = match random.draw() % 20 {
                        0 => FILE_BYTES as usize + 10_000,
                        1..5 => 20_000,
                        _ => 500,
                    };
                    append(&engine, log, number, length).wait().unwrap();
                    appended.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        let producers: Vec<_> = producers.collect();
        until("everything is appended", || {
            appended.load(Ordering::Relaxed) == 4 * 200
        });
        producers
            .into_iter()
            .for_each(|producer| producer.join().unwrap());
        engine.close();
    }
}

/// After a start all blocks are on the disk alone. Small slices in many blocks are read together, from several files and
/// around what is large.
#[test]
fn a_log_that_was_written_a_little_at_a_time_is_read_from_the_wal_as_it_was_written() {
    let options = Options {
        wal_bytes_max: Some(8 * 1024 * 1024),
        wal_file_bytes: 512 * 1024,
        ..Options::default()
    };
    let recorder = Recorder::new();
    let engine = open(&recorder, options.clone());
    let (log, other) = (create(&engine), create(&engine));
    let lengths: Vec<usize> = (0..300)
        .map(|nth| match nth % 50 {
            7 => 70_000,
            _ => nth % 20,
        })
        .collect();
    for (number, length) in lengths.iter().enumerate() {
        append(&engine, log, number, *length).wait().unwrap();
        if number % 3 == 0 {
            append(&engine, other, number / 3, number * 40).wait().unwrap();
        }
    }
    engine.close();
    let engine = open(&recorder, options);
    runtime().block_on(async {
        let whole = engine.read(log, 0, 16 * 1024 * 1024).await.unwrap();
        assert_eq!(numbers(&whole.slices), (0..300).collect::<Vec<_>>());
        let middle = engine.read(log, 123, 100_000).await.unwrap();
        assert_eq!(numbers(&middle.slices)[..30], (123..153).collect::<Vec<_>>());
        check(&engine, log, &lengths).await;
        let others: Vec<usize> = (0..100).map(|nth| nth * 120).collect();
        check(&engine, other, &others).await;
    });
    engine.close();
}

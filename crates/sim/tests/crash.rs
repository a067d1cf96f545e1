//! Power failures at every moment of a workload.

use std::sync::Arc;

use bytes::Bytes;
use firth_batch::{Batch, Batches};
use firth_log::file::recorder::{All, FlushKind, FlushSite, Kind, Operation, Recorder};
use firth_log::{Direct, Durability, Engine, Options};
use firth_sim::{Explorer, Model, Scale, Violation, Workload, environment, images_per_test, record, seed};

/// Everything happens often: files of the WAL are filled, sealed, freed and written over, and the catalog is committed.
fn tiny(direct: Direct) -> Options {
    Options {
        direct,
        wal_bytes_max: Some(256 * 1024),
        wal_file_bytes: 64 * 1024,
        segment_bytes: 24 * 1024,
        cache_bytes: 32 * 1024,
        ..Options::default()
    }
}

const SMALL: Scale = Scale {
    producers: 3,
    steps: 80,
    in_flight: 3,
    batch_bytes: 100..3000,
    readers: 0,
    compacts: false,
};

fn unwrap(result: Result<(), Violation>) {
    if let Err(violation) = result {
        panic!("{violation}");
    }
}

#[test]
fn a_power_failure_loses_nothing_acknowledged() {
    let seed = seed();
    for direct in [Direct::Always, Direct::Never] {
        println!("{direct:?}");
        let explorer = record(tiny(direct), &SMALL, seed, 0);
        println!("{} operations", explorer.journal.len());
        unwrap(explorer.run(images_per_test(600), seed));
    }
}

/// Segments are merged, what is left of others moves, and logs are compacted: each step of it is a moment too.
#[test]
fn a_power_failure_while_segments_are_rewritten_loses_nothing() {
    let seed = seed();
    for direct in [Direct::Always, Direct::Never] {
        println!("{direct:?}");
        let options = Options {
            segment_bytes: 6 * 1024,
            merge_segments: 2,
            ..tiny(direct)
        };
        let scale = Scale {
            compacts: true,
            ..SMALL
        };
        let explorer = record(options, &scale, seed, 0);
        let removed = |operation: &&Operation| matches!(operation, Operation::Remove { path, .. } if path.starts_with("segments/"));
        let removed = explorer.journal.operations().iter().filter(removed).count();
        assert!(removed > 3, "{removed} segments were made others of");
        unwrap(explorer.run(images_per_test(500), seed));
    }
}

#[test]
fn a_second_power_failure_takes_nothing_back_that_was_seen_after_the_first() {
    let seed = seed();
    for direct in [Direct::Always, Direct::Never] {
        println!("{direct:?}");
        let explorer = record(tiny(direct), &SMALL, seed, 0);
        let few = Scale {
            producers: 2,
            steps: 12,
            ..SMALL
        };
        let all = 0..=explorer.journal.len();
        let images = images_per_test(150);
        unwrap(explorer.each(images, seed, all, |survivor, seed| {
            let model = explorer.model.of_present(&survivor.present);
            let workload = Workload::new(survivor.engine.clone(), survivor.recorder.clone(), model);
            let model = workload.run(seed, &few);
            survivor.engine.close();
            let second = Explorer {
                journal: survivor.recorder.journal(),
                model,
                options: tiny(direct),
            };
            second.run(10, seed)
        }));
    }
}

/// Two writes to the WAL in flight, one on each lane: they may be there, or not, or torn, one without the other.
#[test]
fn blocks_that_both_lanes_were_writing_are_there_in_order_or_not_at_all() {
    let seed = seed();
    for direct in [Direct::Always, Direct::Never] {
        println!("{direct:?}");
        let options = Options {
            wal_bytes_max: Some(16 << 20),
            wal_file_bytes: 4 << 20,
            ..tiny(direct)
        };
        let recorder = Recorder::new();
        let engine =
            Engine::open(Arc::new(recorder.clone()), environment(), options.clone()).expect("it opens");
        let few = Scale {
            producers: 1,
            steps: 5,
            ..SMALL
        };
        let workload = Workload::new(engine.clone(), recorder.clone(), Model::default());
        workload.run(seed, &few);
        let hold = recorder.hold(Kind::Write, "wal/");
        let from = recorder.position();
        // One block on each lane.
        let large = Scale {
            producers: 4,
            steps: 3,
            in_flight: 3,
            batch_bytes: 400_000..500_000,
            readers: 0,
            compacts: false,
        };
        std::thread::scope(|scope| {
            let running = scope.spawn(|| workload.run(seed + 1, &large));
            hold.wait_for(2);
            drop(hold);
            let model = running.join().expect("the producers end");
            engine.close();
            let explorer = Explorer {
                journal: recorder.journal(),
                model,
                options,
            };
            let in_flight = from..=explorer.journal.len();
            unwrap(
                explorer.each(images_per_test(300), seed, in_flight, |survivor, _| {
                    survivor.engine.close();
                    Ok(())
                }),
            );
        });
    }
}

#[test]
fn a_process_that_ends_loses_nothing_that_was_given_to_the_system() {
    let seed = seed();
    let options = Options {
        durability: Durability::Os,
        ..tiny(Direct::Never)
    };
    let explorer = record(options, &SMALL, seed, 0);
    let mut replay = explorer.journal.replay();
    let stride = (explorer.journal.len() / images_per_test(150)).max(1);
    for position in (0..=explorer.journal.len()).step_by(stride) {
        replay.advance_to(position);
        match explorer.open(replay.image(&mut All), position) {
            Ok(survivor) => survivor.engine.close(),
            Err(what) => panic!("position {position}: {what}"),
        }
    }
}

/// Sites of flushes without which nothing is lost, and why they are there.
const REDUNDANT: [(FlushKind, &str, &str); 2] = [
    (
        FlushKind::Sync,
        "catalog.new",
        "The catalog is a checkpoint. Where its last commits are lost, the segments complete it, and where all of it is \
         lost they replace it; its flushes spare recovery that work. (A catalog is opened under this name when it is new.)",
    ),
    (
        FlushKind::Sync,
        "wal/*",
        "With direct writes only new files are flushed: so that their zeros are there, and no block changes the file's \
         metadata.",
    ),
];

#[test]
fn removing_any_flush_is_noticed() {
    let seed = seed();
    for direct in [Direct::Always, Direct::Never] {
        println!("{direct:?}");
        let explorer = record(tiny(direct), &SMALL, seed, 0);
        for site in explorer.journal.flush_sites().into_keys() {
            let mut is_redundant = REDUNDANT
                .iter()
                .any(|(kind, pattern, _)| site == FlushSite::new(*kind, pattern));
            // Without direct writes it is the flush of every block too.
            is_redundant &= !(direct == Direct::Never && site.pattern == "wal/*");
            let noticed = explorer
                .without(explorer.journal.without(&site))
                .run(images_per_test(400), seed);
            assert_eq!(noticed.is_ok(), is_redundant, "{site}: {noticed:?}");
        }
    }
}

/// That a segment's flushes are all needed is shown where it is written.
#[test]
fn removing_the_flush_of_one_block_is_noticed() {
    let seed = seed();
    for direct in [Direct::Always, Direct::Never] {
        println!("{direct:?}");
        // An acknowledgement follows its flush at once.
        let one_by_one = Scale {
            producers: 1,
            in_flight: 0,
            ..SMALL
        };
        let explorer = record(tiny(direct), &one_by_one, seed, 0);
        let operations = explorer.journal.operations();
        let sites = explorer.journal.flush_sites().into_keys();
        let mut removed = 0;
        for site in sites.filter(|site| site.pattern == "wal/*") {
            let entries: Vec<usize> = (0..operations.len())
                .filter(|entry| FlushSite::of(&operations[*entry]).as_ref() == Some(&site))
                .collect();
            for (nth, entry) in entries.into_iter().enumerate() {
                if !flushes_batches(operations, entry) || !is_acknowledged_at_once(operations, entry) {
                    continue;
                }
                let without = explorer.without(explorer.journal.without_nth(&site, nth));
                let soon = entry..=(entry + 30).min(operations.len());
                let noticed = without.each(30 * 5, seed, soon, |survivor, _| {
                    survivor.engine.close();
                    Ok(())
                });
                assert!(noticed.is_err(), "nothing fails without flush {nth} of {site}");
                removed += 1;
            }
        }
        assert!(removed > 20, "{removed} flushes were removed");
    }
}

/// Whether an acknowledgement is what follows. What else is between may do for both: another flush, or sealing.
fn is_acknowledged_at_once(operations: &[Operation], entry: usize) -> bool {
    let mut later = operations[entry + 1..].iter();
    let next = later.find(|operation| !matches!(operation, Operation::End { .. }));
    matches!(next, Some(Operation::Mark(_)))
}

/// Whether the block holds nothing but snapshots of the engine's own state, which are acknowledged to nobody: there are
/// batches of the meta log alone, and the first record of each is of type 4. See docs/formats.md.
fn is_snapshot(block: &[u8]) -> bool {
    let field =
        |at: usize| u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]) as usize;
    if field(64) != 1 || block[80..88] != [0; 8] {
        return false;
    }
    let (position, length) = (field(112), field(116));
    Batches::new(&block[position..position + length]).all(|batch| {
        let batch = batch.and_then(|(_, bytes)| Batch::stored(Bytes::copy_from_slice(bytes)));
        let records = batch.and_then(|batch| batch.records(length));
        let records = records.expect("the engine writes whole batches");
        let first = records.iter().next().and_then(Result::ok);
        first.is_some_and(|record| record.value.is_some_and(|value| value[0] == 4))
    })
}

/// Whether the flush is for a block with batches that somebody waits for: not for one that tells what is durable alone, nor
/// for the zeros of a new file. Nor beside the flush of the other lane, which puts both their blocks on the disk.
fn flushes_batches(operations: &[Operation], entry: usize) -> bool {
    let has_batches =
        |bytes: &[u8]| bytes.starts_with(b"FIRTHBLK") && bytes[64..68] != [0; 4] && !is_snapshot(bytes);
    match &operations[entry] {
        Operation::Write { bytes, .. } => has_batches(bytes),
        Operation::Sync { inode: synced, .. } => {
            let earlier = operations[..entry].iter().rev();
            let mut of_file = earlier.filter(|operation| match operation {
                Operation::Write { inode, .. } | Operation::Sync { inode, .. } => inode == synced,
                _ => false,
            });
            matches!(of_file.next(), Some(Operation::Write { bytes, .. }) if has_batches(bytes))
        }
        _ => false,
    }
}

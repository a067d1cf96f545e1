//! Random operations on a few files, judged by a second model that is too slow for anything else: for each byte
//! it lists the values that a power failure may leave, straight from the rules.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Write { file: usize, position: u64, len: usize },
    SetLen { file: usize, len: u64 },
    Sync { file: usize },
    SyncDir { dir: usize },
    Rename { from: usize, to: usize },
    Remove { file: usize },
}

const DIRECTORIES: [&str; 2] = ["", "d"];
const FILES: [&str; 4] = ["a", "b", "d/a", "d/c"];

fn content_step() -> impl Strategy<Value = Step> {
    let file = 0..FILES.len();
    prop_oneof![
        5 => (file.clone(), 0..3000_u64, 0..2000_usize).prop_map(|(file, position, len)| Step::Write { file, position, len }),
        1 => (file.clone(), 0..4000_u64).prop_map(|(file, len)| Step::SetLen { file, len }),
        2 => file.prop_map(|file| Step::Sync { file }),
        1 => (0..DIRECTORIES.len()).prop_map(|dir| Step::SyncDir { dir }),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let file = 0..FILES.len();
    prop_oneof![
        6 => content_step(),
        1 => (file.clone(), file.clone()).prop_map(|(from, to)| Step::Rename { from, to }),
        1 => file.prop_map(|file| Step::Remove { file }),
    ]
}

/// Runs the steps; what is missing is created, and what cannot be done is left out.
fn run(steps: &[Step], faults: &[Fault]) -> Recorder {
    let recorder = Recorder::new();
    recorder.create_dir("d").unwrap();
    recorder.sync_dir("").unwrap();
    for fault in faults {
        recorder.fail(fault.clone());
    }
    let open = |file: usize| recorder.open(FILES[file], Mode::Buffered, Existence::CreateIfMissing);
    for (n, step) in steps.iter().enumerate() {
        let _ = match step {
            // Every write has bytes of its own, so that a byte in an image tells where it came from.
            Step::Write { file, position, len } => {
                open(*file).and_then(|file| file.write_at(&vec![n as u8 + 1; *len], *position))
            }
            Step::SetLen { file, len } => open(*file).and_then(|file| file.set_len(*len)),
            Step::Sync { file } => open(*file).and_then(|file| file.sync()),
            Step::SyncDir { dir } => recorder.sync_dir(DIRECTORIES[*dir]),
            Step::Rename { from, to } => recorder.rename(FILES[*from], FILES[*to]),
            Step::Remove { file } => recorder.remove(FILES[*file]),
        };
    }
    recorder
}

/// The changes of one file before position `at`, each with whether it is durable: the rules, word by word.
fn changes(journal: &Journal, at: usize, of: &str) -> Vec<(Operation, bool)> {
    let operations = &journal.operations()[..at];
    let end_of = |entry: usize, good: bool| {
        operations.iter().position(
            |end| matches!(end, Operation::End { begin, succeeded } if *begin == entry && *succeeded == good),
        )
    };
    let is_sync =
        |entry: &usize| matches!(&operations[*entry], Operation::Sync { path, .. } if **path == *of);
    let mut changes = Vec::new();
    for (entry, operation) in operations.iter().enumerate() {
        let ended = match operation {
            Operation::Write { path, .. } if **path == *of => end_of(entry, true),
            Operation::SetLen { path, .. } if **path == *of => Some(entry),
            _ => continue,
        };
        let failed = (0..at)
            .filter(is_sync)
            .find_map(|sync| end_of(sync, false).filter(|end| *end > entry));
        let durable = (0..at).filter(is_sync).any(|sync| {
            let covers = ended.is_some_and(|ended| ended < sync);
            covers && end_of(sync, true).is_some_and(|end| failed.is_none_or(|failed| end < failed))
        });
        changes.push((operation.clone(), durable));
    }
    changes
}

/// What the byte at `position` can be, `None` standing for a file that ends before.
fn possible(changes: &[(Operation, bool)], position: u64) -> BTreeSet<Option<u8>> {
    let mut values = BTreeSet::from([None]);
    for (operation, durable) in changes {
        let (set, elsewhere) = match operation {
            // It lengthens nothing, wherever it is.
            Operation::Write { bytes, .. } if bytes.is_empty() => continue,
            Operation::Write {
                position: from,
                bytes,
                ..
            } => {
                let end = from + bytes.len() as u64;
                let covers = (*from..end).contains(&position);
                let set = covers.then(|| Some(bytes[(position - from) as usize]));
                // A longer file has zeros where nothing was written; a torn write may end anywhere.
                (set, position < end)
            }
            Operation::SetLen { len, .. } if position >= *len => (Some(None), false),
            Operation::SetLen { .. } => (None, true),
            _ => continue,
        };
        let before = values.clone();
        if let (Some(value), true) = (set, durable) {
            values = BTreeSet::from([value]);
            continue;
        }
        values.extend(set);
        if elsewhere && before.contains(&None) {
            values.insert(Some(0));
            if *durable {
                values.remove(&None);
            }
        }
    }
    values
}

/// Where a byte may differ from its neighbour, on both sides: each write has one value throughout.
fn edges(changes: &[(Operation, bool)], len: usize) -> BTreeSet<u64> {
    let ends = changes.iter().flat_map(|(operation, _)| match operation {
        Operation::Write { position, bytes, .. } => [*position, position + bytes.len() as u64],
        Operation::SetLen { len, .. } => [0, *len],
        _ => [0, 0],
    });
    let sectors = (0..6000).step_by(SECTOR_BYTES);
    let edges = ends.chain(sectors).chain([len as u64]);
    edges.flat_map(|edge| [edge.saturating_sub(1), edge]).collect()
}

fn files(image: &Image) -> BTreeSet<&str> {
    image.files().collect()
}

/// Every fault at some operation, or none.
fn fault() -> impl Strategy<Value = Vec<Fault>> {
    let kind = prop_oneof![Just(Kind::Write), Just(Kind::Sync), Just(Kind::SyncDir)];
    prop::collection::vec(
        (kind, 1..6_u64).prop_map(|(kind, nth)| Fault::once(kind, nth, Errno::IO)),
        0..3,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn with_everything_there_an_image_is_the_live_state(
        steps in prop::collection::vec(any_step(), 1..40),
        faults in fault(),
    ) {
        let recorder = run(&steps, &faults);
        let journal = recorder.journal();
        prop_assert_eq!(journal.image(journal.len(), &mut All), recorder.image());
    }

    #[test]
    fn every_image_holds_what_the_rules_allow_and_all_that_is_durable(
        steps in prop::collection::vec(content_step(), 1..30),
        faults in fault(),
        at in 0.0..=1.0,
        seed: u64,
    ) {
        let journal = run(&steps, &faults).journal();
        let at = (journal.len() as f64 * at) as usize;
        let mut replay = journal.replay();
        replay.advance_to(at / 2);
        replay.advance_to(at);
        let least = replay.image(&mut Nothing);
        for chooser in [&mut All as &mut dyn Chooser, &mut Nothing, &mut Seeded::new(seed)] {
            let image = replay.image(chooser);
            prop_assert!(files(&least).is_subset(&files(&image)));
            for path in files(&image) {
                let changes = changes(&journal, at, path);
                let bytes = image.read(path).unwrap();
                for position in edges(&changes, bytes.len()) {
                    let value = bytes.get(position as usize).copied();
                    let possible = possible(&changes, position);
                    prop_assert!(possible.contains(&value), "{path} {position}: {value:?} of {possible:?}");
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn a_file_with_a_durable_name_is_under_its_old_name_or_a_new_one(
        steps in prop::collection::vec(any_step(), 1..40).prop_map(without_losses),
        at in 0.0..=1.0,
        seed: u64,
    ) {
        let journal = run(&steps, &[]).journal();
        let at = (journal.len() as f64 * at) as usize;
        let least = journal.image(at, &mut Nothing);
        let image = journal.image(at, &mut Seeded::new(seed));
        prop_assert!(files(&least).len() <= files(&image).len(), "{least:?} {image:?}");
    }

    #[test]
    fn a_replay_in_steps_ends_where_a_direct_one_does(
        steps in prop::collection::vec(any_step(), 1..40),
        faults in fault(),
        seed: u64,
    ) {
        let journal = run(&steps, &faults).journal();
        let mut replay = journal.replay();
        for at in 0..=journal.len() {
            replay.advance_to(at);
            let image = replay.image(&mut Seeded::new(seed));
            prop_assert_eq!(image, journal.image(at, &mut Seeded::new(seed)));
        }
    }
}

/// Leaves out what takes a file away: removals, and renames over a file that may exist.
fn without_losses(steps: Vec<Step>) -> Vec<Step> {
    let mut used = BTreeSet::new();
    let touched = |step: &Step| match step {
        Step::Write { file, .. } | Step::SetLen { file, .. } | Step::Sync { file } => Some(*file),
        _ => None,
    };
    steps
        .into_iter()
        .filter(|step| {
            used.extend(touched(step));
            match step {
                Step::Remove { .. } => false,
                Step::Rename { to, .. } => used.insert(*to),
                _ => true,
            }
        })
        .collect()
}

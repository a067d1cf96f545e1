//! What a power failure, a failing disk or a missing flush leaves of a segment that is being written.

use super::tests::*;
use super::*;
use crate::file::recorder::{All, Chooser, Errno, Fault, Image, Journal, Nothing, Recorder, Seeded};
use crate::file::{Mode, Storage};

const SEEDS: u64 = 6;

/// What may be found under the name of the segment.
struct Allowed {
    nothing: bool,
    contents: Vec<Model>,
}

fn small(first_offset: i64) -> Model {
    let log = |log: i64, length| {
        (0..4)
            .map(|i| batch(first_offset + log + i * 2, 2, i, length))
            .collect()
    };
    Model::from([(1, log(1, 300)), (2, log(20, 5000))])
}

fn check(image: Image, allowed: &Allowed) -> Result<(), String> {
    let segment = match open(&Recorder::from_image(image)) {
        Ok(segment) => segment,
        Err(Error::Unfinished { .. }) if allowed.nothing => return Ok(()),
        Err(Error::Io { source, .. }) if allowed.nothing && source.kind() == io::ErrorKind::NotFound => {
            return Ok(());
        }
        Err(error) => return Err(error.to_string()),
    };
    if let Some(damage) = segment.verify().first() {
        return Err(damage.to_string());
    }
    let holds = |model: &Model| {
        model.iter().all(|(&log, batches)| {
            let expected: Vec<u8> = batches.iter().flat_map(|batch| batch.bytes.clone()).collect();
            let extent = segment.extent(log);
            extent.is_ok_and(|extent| {
                let Some(extent) = extent else { return false };
                segment
                    .read(&extent, i64::MIN, usize::MAX)
                    .is_ok_and(|bytes| bytes == expected)
            })
        })
    };
    match allowed.contents.iter().any(holds) {
        true => Ok(()),
        false => Err("it holds something else".to_owned()),
    }
}

/// Checks the images of every moment; `finished` is what has to be there at the end.
fn check_all(journal: &Journal, before: &Allowed, finished: &Model) -> Result<(), String> {
    let mut during = before.contents.clone();
    during.push(finished.clone());
    let during = Allowed {
        nothing: true,
        contents: during,
    };
    let after = Allowed {
        nothing: false,
        contents: vec![finished.clone()],
    };
    let mut replay = journal.replay();
    for at in 0..=journal.len() {
        replay.advance_to(at);
        let allowed = match at {
            0 => before,
            _ if at == journal.len() => &after,
            _ => &during,
        };
        let seeded =
            (0..SEEDS).map(|seed| Box::new(Seeded::new(seed * 1000 + at as u64)) as Box<dyn Chooser>);
        for mut chooser in [Box::new(All) as Box<dyn Chooser>, Box::new(Nothing)]
            .into_iter()
            .chain(seeded)
        {
            check(replay.image(&mut *chooser), allowed).map_err(|what| format!("position {at}: {what}"))?;
        }
    }
    Ok(())
}

/// A recording of writing a segment, and what was there before.
fn recordings() -> Vec<(Journal, Allowed, Model)> {
    let mut recordings = Vec::new();
    for mode in [Mode::Buffered, Mode::Direct] {
        let fresh = storage();
        let fresh = Recorder::from_image(fresh.image());
        write(&fresh, &small(100), mode, 1).unwrap();
        recordings.push((
            fresh.journal(),
            Allowed {
                nothing: true,
                contents: vec![],
            },
            small(100),
        ));

        // Over an older segment which is longer, so that all of its parts could be mistaken for new ones.
        let reused = storage();
        write(&reused, &example(), mode, 3).unwrap();
        let reused = Recorder::from_image(reused.image());
        write(&reused, &small(100), mode, 1).unwrap();
        recordings.push((
            reused.journal(),
            Allowed {
                nothing: false,
                contents: vec![example()],
            },
            small(100),
        ));
    }
    recordings
}

#[test]
fn a_power_failure_leaves_the_whole_segment_or_none() {
    for (journal, before, finished) in recordings() {
        check_all(&journal, &before, &finished).unwrap();
    }
}

#[test]
fn no_flush_can_be_left_out() {
    for (journal, before, finished) in recordings() {
        for (site, count) in journal.flush_sites() {
            for nth in 0..count {
                // The name of a file that was there before is durable without another flush.
                if site.pattern == DIRECTORY && !before.nothing {
                    continue;
                }
                let without = check_all(&journal.without_nth(&site, nth), &before, &finished);
                assert!(without.is_err(), "nothing fails without flush {nth} of {site}");
            }
        }
    }
}

#[test]
fn an_operation_that_fails_leaves_the_whole_segment_or_none() {
    for nth in 1.. {
        let storage = storage();
        write(&storage, &example(), Mode::Direct, 3).unwrap();
        let before = storage.operations(None);
        storage.fail(Fault::once(None, nth, Errno::IO));
        let written = write(&storage, &small(100), Mode::Direct, 1);
        let operations = storage.operations(None) - before;
        storage.clear_faults();
        let allowed = Allowed {
            nothing: written.is_err(),
            contents: vec![example(), small(100)],
        };
        check(storage.image(), &allowed).unwrap();
        if written.is_ok() {
            assert!(operations < nth, "a failure was not reported");
            break;
        }
    }
}

#[test]
fn a_full_disk_is_reported_and_leaves_no_segment() {
    let storage = storage();
    storage.set_total_bytes(100_000);
    let error = write(&storage, &example(), Mode::Direct, 3).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    storage.remove(&ID.path()).unwrap();
    storage.set_total_bytes(1 << 30);
    write(&storage, &example(), Mode::Direct, 3).unwrap();
    check(
        storage.image(),
        &Allowed {
            nothing: false,
            contents: vec![example()],
        },
    )
    .unwrap();
}

use std::collections::BTreeMap;

use super::*;
use crate::file::recorder::{All, Chooser, Errno, Fault, Image, Journal, Kind, Nothing, Recorder, Seeded};

type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

fn entries(catalog: &Catalog) -> Result<Entries, Error> {
    let mut entries = Entries::new();
    catalog.scan(b"", |key, value| {
        assert!(entries.insert(key.to_vec(), value.to_vec()).is_none());
    })?;
    Ok(entries)
}

/// Commits `changes` to both, a `None` being a deletion.
fn commit(
    catalog: &Catalog,
    model: &mut Entries,
    lsn: u64,
    changes: &[(String, Option<Vec<u8>>)],
) -> Result<(), Error> {
    let changes: Vec<Change<'_>> = changes
        .iter()
        .map(|(key, value)| match value {
            Some(value) => Change::Put {
                key: key.as_bytes(),
                value,
            },
            None => Change::Delete { key: key.as_bytes() },
        })
        .collect();
    catalog.commit(lsn, &changes)?;
    for change in changes {
        match change {
            Change::Put { key, value } => model.insert(key.to_vec(), value.to_vec()),
            Change::Delete { key } => model.remove(key),
        };
    }
    Ok(())
}

/// The changes that the commit of `lsn` makes: keys come, change, and go.
fn changes(lsn: u64, count: u64) -> Vec<(String, Option<Vec<u8>>)> {
    let change = |i: u64| {
        let key = format!("topic/{:03}", (lsn * 7 + i * 3) % 200);
        let value = vec![(lsn + i) as u8; (lsn * 31 + i * 17) as usize % 300];
        (key, (!(lsn + i).is_multiple_of(4)).then_some(value))
    };
    (0..count).map(change).collect()
}

/// A catalog with some history, and its contents after each commit under its LSN.
fn example(storage: &dyn Storage) -> (Catalog, BTreeMap<u64, Entries>) {
    let catalog = Catalog::open(storage).unwrap();
    let mut model = Entries::new();
    let mut states = BTreeMap::from([(0, model.clone())]);
    for lsn in [5, 6, 90] {
        commit(&catalog, &mut model, lsn, &changes(lsn, 60)).unwrap();
        states.insert(lsn, model.clone());
    }
    (catalog, states)
}

#[test]
fn commits_are_read_back_by_key_and_prefix_and_after_opening_again() {
    let storage = Recorder::new();
    let (catalog, states) = example(&storage);
    let model = &states[&90];
    assert!(model.len() > 50);
    for catalog in [catalog, Catalog::open(&storage).unwrap()] {
        assert_eq!(catalog.applied_lsn(), 90);
        assert_eq!(&entries(&catalog).unwrap(), model);
        for (key, value) in model {
            assert_eq!(catalog.get(key).unwrap().as_ref(), Some(value));
        }
        assert_eq!(catalog.get(b"topic").unwrap(), None);
        let mut under_prefix = Vec::new();
        catalog
            .scan(b"topic/01", |key, _| under_prefix.push(key.to_vec()))
            .unwrap();
        let expected: Vec<_> = model
            .keys()
            .filter(|key| key.starts_with(b"topic/01"))
            .cloned()
            .collect();
        assert_eq!(under_prefix, expected);
    }
}

#[test]
fn a_new_catalog_is_empty_and_says_so() {
    let catalog = Catalog::open(&Recorder::new()).unwrap();
    assert_eq!(
        (catalog.applied_lsn(), entries(&catalog).unwrap()),
        (0, Entries::new())
    );
}

#[test]
#[should_panic(expected = "no key of the catalog")]
fn the_catalogs_own_keys_are_out_of_reach() {
    let catalog = Catalog::open(&Recorder::new()).unwrap();
    let _ = catalog.commit(1, &[Change::Delete { key: APPLIED_LSN_KEY }]);
}

#[test]
fn a_panic_in_the_callers_closure_is_not_damage() {
    let (catalog, states) = example(&Recorder::new());
    let scanned = catch_unwind(AssertUnwindSafe(|| {
        catalog.scan(b"", |_, _| panic!("the caller's own"))
    }));
    assert!(scanned.is_err());
    assert_eq!(entries(&catalog).unwrap(), states[&90]);
}

/// What a look at the catalog shows, which must leave the image as it is.
fn peeked(image: &Image) -> Result<Option<(u64, Entries)>, String> {
    let storage = Recorder::from_image(image.clone());
    let peeked = Catalog::peek(&storage, |catalog| Ok((catalog.applied_lsn(), entries(catalog)?)));
    assert!(storage.image() == *image, "looking changed something");
    peeked.map_err(|error| error.to_string())
}

/// Checks that the catalog is one that was committed, not before `acknowledged`.
fn check(image: Image, states: &BTreeMap<u64, Entries>, acknowledged: u64) -> Result<(), String> {
    let peeked = peeked(&image)?;
    let catalog = Catalog::open(&Recorder::from_image(image)).map_err(|error| error.to_string())?;
    let lsn = catalog.applied_lsn();
    let found = entries(&catalog).map_err(|error| error.to_string())?;
    if let Some(peeked) = peeked {
        assert_eq!(peeked, (lsn, found.clone()), "a look shows what opening does");
    }
    match states.get(&lsn) {
        Some(state) if lsn >= acknowledged && *state == found => Ok(()),
        _ => Err(format!(
            "LSN {lsn} with {} entries after {acknowledged} was acknowledged",
            found.len()
        )),
    }
}

fn check_all(journal: &Journal, states: &BTreeMap<u64, Entries>) -> Result<(), String> {
    let mut replay = journal.replay();
    for at in 0..=journal.len() {
        replay.advance_to(at);
        let acknowledged = journal.marks_before(at).last().map_or(0, |(_, mark)| match mark {
            crate::file::recorder::Mark::Number(lsn) => *lsn,
            crate::file::recorder::Mark::Label(label) => panic!("{label}"),
        });
        let seeded = (0..4).map(|seed| Box::new(Seeded::new(seed * 1000 + at as u64)) as Box<dyn Chooser>);
        for mut chooser in [Box::new(All) as Box<dyn Chooser>, Box::new(Nothing)]
            .into_iter()
            .chain(seeded)
        {
            let image = replay.image(&mut *chooser);
            check(image, states, acknowledged).map_err(|what| format!("position {at}: {what}"))?;
        }
    }
    Ok(())
}

/// Creates a catalog, commits, opens it again, commits, and closes it.
fn recording() -> (Journal, BTreeMap<u64, Entries>) {
    let storage = Recorder::new();
    let mut model = Entries::new();
    let mut states = BTreeMap::from([(0, model.clone())]);
    for lsns in [1..3, 3..5] {
        let catalog = Catalog::open(&storage).unwrap();
        for lsn in lsns {
            commit(&catalog, &mut model, lsn, &changes(lsn, 8)).unwrap();
            states.insert(lsn, model.clone());
            storage.mark(lsn);
        }
    }
    (storage.journal(), states)
}

#[test]
fn a_power_failure_leaves_a_whole_commit() {
    let (journal, states) = recording();
    check_all(&journal, &states).unwrap();
}

#[test]
fn no_flush_can_be_left_out() {
    let (journal, states) = recording();
    let sites = journal.flush_sites();
    assert_eq!(
        sites.len(),
        3,
        "the new file, the directory, the file under its own name"
    );
    for site in sites.keys() {
        assert!(
            check_all(&journal.without(site), &states).is_err(),
            "nothing fails without {site}"
        );
    }
}

/// Damage that goes unnoticed may only ever bring back an earlier commit, which [`Catalog::applied_lsn`] shows.
fn check_damaged(image: Image, states: &BTreeMap<u64, Entries>) -> &'static str {
    match Catalog::open(&Recorder::from_image(image)) {
        Err(Error::Damaged { .. } | Error::DamagedValue { .. }) => "refused",
        Err(error) => panic!("{error}"),
        Ok(catalog) => match entries(&catalog) {
            Err(Error::Damaged { .. } | Error::DamagedValue { .. }) => "refused",
            Err(error) => panic!("{error}"),
            Ok(found) => {
                let lsn = catalog.applied_lsn();
                assert_eq!(states.get(&lsn), Some(&found), "LSN {lsn}");
                if lsn == 90 { "whole" } else { "earlier" }
            }
        },
    }
}

fn sampled(image: &Image) -> impl Iterator<Item = u64> + use<> {
    let length = image.len(PATH).unwrap();
    (0..640).chain((640..length).step_by(197))
}

#[test]
fn a_flipped_bit_is_never_read() {
    let storage = Recorder::new();
    let (catalog, states) = example(&storage);
    let unclean = storage.image();
    drop(catalog);
    for clean in [storage.image(), unclean] {
        let mut outcomes = BTreeMap::<_, usize>::new();
        for position in sampled(&clean) {
            let mut image = clean.clone();
            image.flip(PATH, position, position as u32 % 8);
            *outcomes.entry(check_damaged(image, &states)).or_default() += 1;
        }
        assert!(outcomes["refused"] > 20, "{outcomes:?}");
    }
}

#[test]
fn truncated_overwritten_and_foreign_files_are_damaged() {
    let storage = Recorder::new();
    let (catalog, states) = example(&storage);
    drop(catalog);
    let whole = storage.image();
    let length = whole.len(PATH).unwrap();
    for cut in (0..length).step_by(3001) {
        let mut image = whole.clone();
        image.set_len(PATH, cut);
        assert_eq!(check_damaged(image, &states), "refused", "cut at {cut}");
    }
    for position in (0..length).step_by(4096) {
        let mut image = whole.clone();
        image.write(PATH, position, &[0; 4096]);
        check_damaged(image, &states);
    }
    let mut image = Image::default();
    image.insert(PATH, b"not a database of any kind");
    assert_eq!(check_damaged(image, &states), "refused");
}

#[test]
fn a_damaged_catalog_is_moved_aside_and_kept() {
    let storage = Recorder::new();
    for number in 1..4 {
        let foreign = vec![number; 5000];
        let file = storage
            .open(PATH, Mode::Buffered, Existence::CreateIfMissing)
            .unwrap();
        file.set_len(0).unwrap();
        file.write_at(&foreign, 0).unwrap();
        assert!(matches!(Catalog::open(&storage), Err(Error::Damaged { .. })));

        let catalog = Catalog::replace(&storage).unwrap();
        assert_eq!(catalog.applied_lsn(), 0);
        catalog.commit(u64::from(number), &[]).unwrap();
        drop(catalog);
        assert_eq!(Catalog::open(&storage).unwrap().applied_lsn(), u64::from(number));
        assert_eq!(
            storage.image().read(&format!("{DAMAGED_PREFIX}{number}")),
            Some(foreign)
        );
    }
    assert_eq!(storage.image().files().count(), 4);
}

#[test]
fn an_interrupted_replacement_is_done_again() {
    let storage = Recorder::new();
    storage
        .open(NEW_PATH, Mode::Buffered, Existence::MustBeNew)
        .unwrap()
        .write_at(&[7; 9000], 0)
        .unwrap();
    let (catalog, states) = example(&storage);
    assert_eq!(entries(&catalog).unwrap(), states[&90]);
}

/// Writes to the table past the checksums.
fn put_raw(storage: &dyn Storage, key: &[u8], stored: &[u8]) {
    let file = storage.open(PATH, Mode::Buffered, Existence::MustExist).unwrap();
    let database = Database::builder()
        .create_with_backend(Backend::new(file))
        .unwrap();
    let transaction = database.begin_write().unwrap();
    transaction
        .open_table(TABLE)
        .unwrap()
        .insert(key, stored)
        .unwrap();
    transaction.commit().unwrap();
}

#[test]
fn a_value_that_does_not_match_its_key_is_damaged() {
    let storage = Recorder::new();
    let (catalog, states) = example(&storage);
    drop(catalog);
    let (key, value) = states[&90].first_key_value().unwrap();
    for stored in [value::encode(b"topic/other", value), vec![1, 2, 3], vec![]] {
        put_raw(&storage, key, &stored);
        let catalog = Catalog::open(&storage).unwrap();
        assert!(matches!(catalog.get(key), Err(Error::DamagedValue { key: named }) if named == *key));
        assert!(matches!(entries(&catalog), Err(Error::DamagedValue { .. })));
        assert!(
            catalog.get(b"topic/none").unwrap().is_none(),
            "the other keys can be read"
        );
    }
}

#[test]
fn a_newer_format_is_refused() {
    let storage = Recorder::new();
    drop(example(&storage));
    put_raw(
        &storage,
        FORMAT_KEY,
        &value::encode(FORMAT_KEY, &2u32.to_le_bytes()),
    );
    assert!(matches!(
        Catalog::open(&storage),
        Err(Error::UnsupportedVersion {
            version: 2,
            known: FORMAT_VERSION
        })
    ));
}

#[test]
fn a_failed_flush_fails_all_that_follows() {
    let storage = Recorder::new();
    let (catalog, states) = example(&storage);
    storage.fail(Fault::once(Kind::Sync, 1, Errno::IO));
    assert!(matches!(catalog.commit(91, &[]), Err(Error::Io(_))));
    assert!(matches!(catalog.commit(92, &[]), Err(Error::Io(_))));
    assert_eq!(catalog.applied_lsn(), 90);
    let before = storage.operations(Some(Kind::Sync));
    drop(catalog);
    assert_eq!(
        storage.operations(Some(Kind::Sync)),
        before,
        "a failed flush is not repeated"
    );
    assert_eq!(entries(&Catalog::open(&storage).unwrap()).unwrap(), states[&90]);
}

#[test]
fn a_full_disk_fails_the_commit_and_opening_again_goes_on() {
    let storage = Recorder::new();
    let (catalog, states) = example(&storage);
    storage.set_total_bytes(storage.image().len(PATH).unwrap());
    let value = vec![1; 500_000];
    let error = catalog
        .commit(
            91,
            &[Change::Put {
                key: b"large",
                value: &value,
            }],
        )
        .unwrap_err();
    assert!(matches!(error, Error::Io(error) if error.kind() == io::ErrorKind::StorageFull));
    drop(catalog);
    let catalog = Catalog::open(&storage).unwrap();
    assert_eq!(entries(&catalog).unwrap(), states[&90]);
    storage.set_total_bytes(1 << 30);
    catalog
        .commit(
            91,
            &[Change::Put {
                key: b"large",
                value: &value,
            }],
        )
        .unwrap();
    assert_eq!(catalog.get(b"large").unwrap().unwrap(), value);
}

/// redb checks its pages when it opens the file, and trusts them afterwards.
#[test]
fn damage_to_an_open_catalog_is_contained() {
    let storage = Recorder::new();
    let catalog = Catalog::open(&storage).unwrap();
    let mut model = Entries::new();
    // More than the cache holds.
    for lsn in 0..40 {
        let many = (0..200).map(|i| (format!("topic/{:05}", lsn * 200 + i), Some(vec![lsn as u8; 300])));
        commit(&catalog, &mut model, lsn, &many.collect::<Vec<_>>()).unwrap();
    }
    drop(catalog);
    let whole = storage.image();
    let mut contained = 0;
    for (position, garbage) in (4096..whole.len(PATH).unwrap())
        .step_by(4096 * 13)
        .zip([0u8, 1, 2, 0xff].into_iter().cycle())
    {
        let storage = Recorder::from_image(whole.clone());
        let catalog = Catalog::open(&storage).unwrap();
        storage
            .open(PATH, Mode::Buffered, Existence::MustExist)
            .unwrap()
            .write_at(&[garbage; 4096], position)
            .unwrap();
        match entries(&catalog) {
            Ok(found) => assert_eq!(found, model, "position {position}, {garbage:#x}"),
            Err(Error::Damaged { .. } | Error::DamagedValue { .. }) => contained += 1,
            Err(error) => panic!("{error}"),
        }
        let _ = catalog.commit(
            50,
            &[Change::Put {
                key: b"topic/00001",
                value: b"new",
            }],
        );
    }
    assert!(contained > 0);
}

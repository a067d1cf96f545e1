//! Which names a power failure leaves.

use super::*;

#[test]
fn names_are_durable_after_a_flush_of_their_directory() {
    let recorder = Recorder::new();
    recorder.create_dir("wal").unwrap();
    let file = create(&recorder, "wal/1");
    file.write_at(b"x", 0).unwrap();
    file.sync().unwrap();
    recorder.sync_dir("wal").unwrap();
    let journal = recorder.journal();
    let image = journal.image(journal.len(), &mut Nothing);
    assert_eq!(
        image,
        Image::default(),
        "the directory itself may vanish, and what is in it too"
    );
    recorder.sync_dir("").unwrap();
    let journal = recorder.journal();
    let image = journal.image(journal.len(), &mut Nothing);
    assert_eq!(image.read("wal/1").unwrap(), b"x");
    assert_eq!(image.directories().collect::<Vec<_>>(), ["wal"]);
}

#[test]
fn a_removal_that_is_not_durable_may_be_undone() {
    let recorder = Recorder::new();
    durable_file(&recorder, Mode::Buffered);
    recorder.remove("f").unwrap();
    assert_eq!(kept(&recorder).unwrap(), b"");
    recorder.sync_dir("").unwrap();
    assert_eq!(kept(&recorder), None);
}

#[test]
fn a_rename_leaves_the_old_name_or_the_new_one() {
    let mut image = Image::default();
    image.insert("f", b"old");
    let recorder = Recorder::from_image(image);
    let file = create(&recorder, "f.tmp");
    file.write_at(b"new", 0).unwrap();
    file.sync().unwrap();
    recorder.sync_dir("").unwrap();
    recorder.rename("f.tmp", "f").unwrap();
    let journal = recorder.journal();
    let old = journal.image(journal.len(), &mut Nothing);
    assert_eq!(
        (old.read("f").unwrap(), old.read("f.tmp").unwrap()),
        (b"old".to_vec(), b"new".to_vec())
    );
    let new = journal.image(journal.len(), &mut All);
    assert_eq!(
        (new.read("f").unwrap(), new.read("f.tmp")),
        (b"new".to_vec(), None)
    );
}

#[test]
fn a_rename_between_directories_takes_both_flushes_and_never_loses_the_file() {
    let recorder = Recorder::new();
    create(&recorder, "f");
    recorder.sync_dir("").unwrap();
    recorder.create_dir("quarantine").unwrap();
    recorder.rename("f", "quarantine/f").unwrap();
    recorder.sync_dir("quarantine").unwrap();
    let journal = recorder.journal();
    let files = |image: &Image| image.files().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(files(&journal.image(journal.len(), &mut Nothing)), ["f"]);
    for at in 3..=journal.len() {
        assert!(!can_leave(&journal, at, |image| files(image).len() != 1));
    }
    recorder.sync_dir("").unwrap();
    let journal = recorder.journal();
    assert_eq!(
        files(&journal.image(journal.len(), &mut Nothing)),
        ["quarantine/f"]
    );
}

#[test]
fn what_is_there_brings_the_history_of_its_names() {
    let recorder = Recorder::new();
    create(&recorder, "a");
    recorder.create_dir("d").unwrap();
    recorder.sync_dir("").unwrap();
    recorder.rename("a", "d/b").unwrap();
    create(&recorder, "a");
    // The new `a` is durable with this, the rename that freed its name waits for the other directory.
    recorder.sync_dir("").unwrap();
    let journal = recorder.journal();
    let image = journal.image(journal.len(), &mut Nothing);
    assert_eq!(image.files().collect::<Vec<_>>(), ["a", "d/b"]);
}

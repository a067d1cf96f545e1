//! Which names a power failure leaves.

use super::*;

fn files_kept(recorder: &Recorder) -> Vec<String> {
    let journal = recorder.journal();
    files(&journal.image(journal.len(), &mut Nothing))
}

fn files(image: &Image) -> Vec<String> {
    image.files().map(str::to_owned).collect()
}

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
    assert_eq!(files_kept(&recorder), ["f"]);
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
    assert_eq!(files_kept(&recorder), ["a", "d/b"]);
}

#[test]
fn a_name_that_changes_during_the_flush_of_its_directory_is_not_covered() {
    let recorder = Recorder::new();
    let hold = recorder.hold(Kind::SyncDir, "");
    thread::scope(|scope| {
        scope.spawn(|| recorder.sync_dir("").unwrap());
        hold.wait_for(1);
        create(&recorder, "f");
        drop(hold);
    });
    assert_eq!(kept(&recorder), None);
    recorder.sync_dir("").unwrap();
    assert_eq!(kept(&recorder).unwrap(), b"");
}

#[test]
fn a_name_whose_flush_failed_is_never_durable_again() {
    let recorder = Recorder::new();
    create(&recorder, "f");
    recorder.fail(Fault::once(Kind::SyncDir, 1, Errno::IO));
    recorder.sync_dir("").unwrap_err();
    recorder.sync_dir("").unwrap();
    assert_eq!(kept(&recorder), None);
}

#[test]
fn either_directory_of_a_rename_left_unflushed_may_undo_it() {
    for flushed in ["a", "b"] {
        let recorder = Recorder::new();
        recorder.create_dir("a").unwrap();
        recorder.create_dir("b").unwrap();
        recorder.sync_dir("").unwrap();
        create(&recorder, "a/f");
        recorder.sync_dir("a").unwrap();
        recorder.rename("a/f", "b/f").unwrap();
        recorder.sync_dir(flushed).unwrap();
        assert_eq!(files_kept(&recorder), ["a/f"]);
    }
}

#[test]
fn a_rename_into_a_directory_that_vanishes_is_undone() {
    let recorder = Recorder::new();
    recorder.create_dir("a").unwrap();
    recorder.create_dir("b").unwrap();
    create(&recorder, "a/f");
    recorder.sync_dir("").unwrap();
    recorder.sync_dir("a").unwrap();
    recorder.create_dir("b/new").unwrap();
    recorder.rename("a/f", "b/new/f").unwrap();
    recorder.sync_dir("a").unwrap();
    recorder.sync_dir("b/new").unwrap();
    assert_eq!(files_kept(&recorder), ["a/f"]);
    recorder.sync_dir("b").unwrap();
    assert_eq!(files_kept(&recorder), ["b/new/f"]);
}

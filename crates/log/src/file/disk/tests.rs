use std::cell::Cell;
use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn a_missing_directory_is_created_with_its_parents_for_the_owner_only() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("a/b/data");
    let disk = Disk::open(&dir).unwrap();
    disk.open("f", Mode::Buffered, Existence::MustBeNew).unwrap();
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(
        fs::metadata(dir.join("f")).unwrap().permissions().mode() & 0o777,
        0o600
    );
    Disk::open(&dir).unwrap();
}

#[test]
fn a_file_in_place_of_the_directory_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("data");
    fs::write(&path, "").unwrap();
    assert_eq!(
        Disk::open(&path).err().unwrap().kind(),
        io::ErrorKind::AlreadyExists
    );
}

#[test]
fn opening_leaves_no_trace_and_neither_does_the_trial_of_direct_io() {
    let temp = tempfile::tempdir().unwrap();
    let disk = Disk::open(temp.path()).unwrap();
    assert!(disk.list("").unwrap().is_empty());
    let works = disk.supports_direct();
    assert!(disk.list("").unwrap().is_empty());
    assert_eq!(
        disk.open("f", Mode::DirectSync, Existence::MustBeNew).is_ok(),
        works
    );
}

#[test]
fn a_second_lock_names_the_holder_until_the_first_is_dropped() {
    let temp = tempfile::tempdir().unwrap();
    let disk = Disk::open(temp.path()).unwrap();
    let held = disk.lock("LOCK").unwrap();
    let refused = Disk::open(temp.path()).unwrap().lock("LOCK").unwrap_err();
    let pid = std::process::id();
    assert_eq!(
        refused.to_string(),
        format!("another firth process (pid {pid}) uses this directory")
    );
    drop(held);
    disk.lock("LOCK").unwrap();
}

#[test]
fn a_lock_replaces_the_pid_of_a_dead_holder() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("LOCK"), "4194304123\n").unwrap();
    let _held = Disk::open(temp.path()).unwrap().lock("LOCK").unwrap();
    let noted = fs::read_to_string(temp.path().join("LOCK")).unwrap();
    assert_eq!(noted, format!("{}\n", std::process::id()));
}

/// Runs `transfer` of 8192 bytes against scripted results, and returns where each call began.
#[test]
fn who_only_looks_keeps_others_from_writing_and_writes_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let disk = Disk::open(temp.path()).unwrap();
    let look = Disk::look(temp.path()).unwrap();
    drop(look.lock("LOCK").unwrap());
    assert!(!temp.path().join("LOCK").exists());

    // A process that has ended.
    let mut ended = std::process::Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    fs::write(temp.path().join("LOCK"), format!("{}\n", ended.id())).unwrap();
    let looking = [look.lock("LOCK").unwrap(), look.lock("LOCK").unwrap()];
    assert_eq!(
        disk.lock("LOCK").unwrap_err().to_string(),
        "another firth process (its pid is not known) uses this directory"
    );
    drop(looking);
    let held = disk.lock("LOCK").unwrap();
    let refused = look.lock("LOCK").unwrap_err();
    assert!(
        refused
            .to_string()
            .contains(&format!("pid {}", std::process::id())),
        "{refused}"
    );
    drop(held);

    let read_only = io::ErrorKind::ReadOnlyFilesystem;
    for existence in [Existence::CreateIfMissing, Existence::MustBeNew] {
        let refused = look.open("new", Mode::Buffered, existence).err().unwrap();
        assert_eq!(refused.kind(), read_only);
    }
    let file = look.open("LOCK", Mode::Buffered, Existence::MustExist).unwrap();
    assert!(file.write_at(b"x", 0).is_err() && file.set_len(0).is_err());
    assert_eq!(look.create_dir("wal").unwrap_err().kind(), read_only);
    assert_eq!(look.rename("LOCK", "other").unwrap_err().kind(), read_only);
    assert_eq!(look.remove("LOCK").unwrap_err().kind(), read_only);
    assert!(!look.supports_direct());
    assert!(Disk::look(&temp.path().join("absent")).is_err());
}

fn scripted(unit: usize, results: Vec<io::Result<usize>>) -> (Vec<usize>, io::Result<()>) {
    let mut results = results.into_iter();
    let begins = Cell::new(Vec::new());
    let outcome = transfer(8192, unit, io::ErrorKind::WriteZero, |done| {
        let mut begun = begins.take();
        begun.push(done);
        begins.set(begun);
        results.next().unwrap()
    });
    (begins.take(), outcome)
}

fn interrupted() -> io::Result<usize> {
    Err(io::ErrorKind::Interrupted.into())
}

#[test]
fn short_and_interrupted_transfers_are_continued() {
    let (begins, outcome) = scripted(1, vec![Ok(10), interrupted(), Ok(8000), Ok(182)]);
    assert_eq!(begins, [0, 10, 10, 8010]);
    outcome.unwrap();
}

#[test]
fn a_direct_transfer_is_continued_at_an_aligned_position() {
    let (begins, outcome) = scripted(4096, vec![Ok(4608), interrupted(), Ok(4096)]);
    assert_eq!(begins, [0, 4096, 4096]);
    outcome.unwrap();
}

#[test]
fn a_transfer_without_progress_ends_with_the_reason() {
    let (_, outcome) = scripted(1, vec![Ok(5), Ok(0)]);
    assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::WriteZero);
    let (begins, outcome) = scripted(4096, vec![Ok(512), Err(io::ErrorKind::StorageFull.into())]);
    assert_eq!(
        (begins.len(), outcome.unwrap_err().kind()),
        (2, io::ErrorKind::StorageFull)
    );
    let (begins, outcome) = scripted(4096, (0..9).map(|_| Ok(512)).collect());
    assert_eq!(
        (begins.len(), outcome.unwrap_err().kind()),
        (4, io::ErrorKind::WriteZero)
    );
}

#[test]
fn a_direct_read_over_an_unaligned_end_is_the_end_of_the_file() {
    let temp = tempfile::tempdir().unwrap();
    let disk = Disk::open(temp.path()).unwrap();
    if !disk.supports_direct() {
        return;
    }
    fs::write(temp.path().join("f"), [1; 5000]).unwrap();
    let file = disk.open("f", Mode::Direct, Existence::MustExist).unwrap();
    let mut buffer = AlignedBuffer::default();
    buffer.resize_zeroed(8192);
    assert_eq!(
        file.read_at(buffer.as_mut_slice(), 0).unwrap_err().kind(),
        io::ErrorKind::UnexpectedEof
    );
    file.read_at(&mut buffer.as_mut_slice()[..4096], 0).unwrap();
    assert_eq!(buffer.as_slice()[..4096], [1; 4096]);
}

#[test]
fn each_mode_asks_the_kernel_for_what_it_promises() {
    let temp = tempfile::tempdir().unwrap();
    let disk = Disk::open(temp.path()).unwrap();
    if !disk.supports_direct() {
        return;
    }
    let asked = OFlags::DIRECT | OFlags::DSYNC;
    for (mode, expected) in [
        (Mode::Buffered, OFlags::empty()),
        (Mode::Direct, OFlags::DIRECT),
        (Mode::DirectSync, OFlags::DIRECT | OFlags::DSYNC),
    ] {
        let opened = disk.open_file("f", mode, Existence::CreateIfMissing).unwrap();
        assert_eq!(rustix::fs::fcntl_getfl(&opened.file).unwrap() & asked, expected);
    }
}

//! What every implementation of the seam does, run on each.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use super::aligned::AlignedBuffer;
use super::disk::Disk;
use super::recorder::Recorder;
use super::{ALIGNMENT, Existence, File, Mode, Storage};

fn on_both(check: impl Fn(&dyn Storage)) {
    let temp = tempfile::tempdir().unwrap();
    check(&Disk::open(temp.path()).unwrap());
    check(&Recorder::new());
}

fn open(storage: &dyn Storage, path: &str) -> Arc<dyn File> {
    storage
        .open(path, Mode::Buffered, Existence::CreateIfMissing)
        .unwrap()
}

fn content(storage: &dyn Storage, path: &str) -> Vec<u8> {
    let file = storage.open(path, Mode::Buffered, Existence::MustExist).unwrap();
    let mut bytes = vec![0xEE; file.len().unwrap() as usize];
    file.read_at(&mut bytes, 0).unwrap();
    bytes
}

#[track_caller]
fn fails<T>(result: io::Result<T>, kind: ErrorKind) {
    assert_eq!(result.map(drop).unwrap_err().kind(), kind);
}

#[test]
fn what_was_written_is_read() {
    on_both(|storage| {
        let file = open(storage, "f");
        assert_eq!(file.len().unwrap(), 0);
        file.write_at(b"world", 6).unwrap();
        file.write_at(b"hello", 0).unwrap();
        file.write_at(b"", 100).unwrap();
        assert_eq!(content(storage, "f"), b"hello\0world");
        let mut part = [0; 4];
        file.read_at(&mut part, 5).unwrap();
        assert_eq!(&part, b"\0wor");
        file.sync().unwrap();
    });
}

#[test]
fn a_read_that_does_not_wait_gives_what_was_written_or_nothing() {
    on_both(|storage| {
        for mode in [Mode::Buffered, Mode::DirectSync] {
            let file = match storage.open("f", mode, Existence::CreateIfMissing) {
                Ok(file) => file,
                // The file system has no direct I/O.
                Err(_) => continue,
            };
            if mode == Mode::Buffered {
                file.write_at(b"hello world", 0).unwrap();
            }
            file.will_need(0, 1 << 20);
            file.will_need(1 << 40, 1);
            let mut part = [0; 5];
            if file.read_cached_at(&mut part, 6).unwrap() {
                assert_eq!((mode, &part), (Mode::Buffered, b"world"));
            }
            assert!(
                !file.read_cached_at(&mut part, 7).unwrap(),
                "the file ends before"
            );
            assert!(!file.read_cached_at(&mut part, 1 << 40).unwrap());
        }
    });
}

#[test]
fn a_read_beyond_the_end_is_an_unexpected_end() {
    on_both(|storage| {
        let file = open(storage, "f");
        file.write_at(b"abc", 0).unwrap();
        fails(file.read_at(&mut [0; 4], 0), ErrorKind::UnexpectedEof);
        fails(file.read_at(&mut [0; 1], 3), ErrorKind::UnexpectedEof);
        fails(file.read_at(&mut [0; 1], 4000), ErrorKind::UnexpectedEof);
        file.read_at(&mut [], 4000).unwrap();
    });
}

#[test]
fn a_length_cuts_and_extends_with_zeros() {
    on_both(|storage| {
        let file = open(storage, "f");
        file.write_at(&[9; 5000], 0).unwrap();
        file.set_len(3).unwrap();
        assert_eq!(content(storage, "f"), [9, 9, 9]);
        file.set_len(5).unwrap();
        assert_eq!(content(storage, "f"), [9, 9, 9, 0, 0]);
        assert_eq!(file.len().unwrap(), 5);
    });
}

#[test]
fn an_open_finds_or_creates_as_it_was_told() {
    on_both(|storage| {
        fails(
            storage.open("f", Mode::Buffered, Existence::MustExist),
            ErrorKind::NotFound,
        );
        storage
            .open("f", Mode::Buffered, Existence::MustBeNew)
            .unwrap()
            .write_at(b"x", 0)
            .unwrap();
        fails(
            storage.open("f", Mode::Buffered, Existence::MustBeNew),
            ErrorKind::AlreadyExists,
        );
        storage
            .open("f", Mode::Buffered, Existence::CreateIfMissing)
            .unwrap();
        assert_eq!(content(storage, "f"), b"x");
        fails(
            storage.open("missing/f", Mode::Buffered, Existence::CreateIfMissing),
            ErrorKind::NotFound,
        );
        storage.create_dir("dir").unwrap();
        fails(
            storage.open("dir", Mode::Buffered, Existence::MustExist),
            ErrorKind::IsADirectory,
        );
    });
}

#[test]
fn names_are_listed_sorted_and_by_directory() {
    on_both(|storage| {
        assert!(storage.list("").unwrap().is_empty());
        storage.create_dir("wal").unwrap();
        storage.create_dir("wal").unwrap();
        storage.create_dir("wal/old").unwrap();
        for path in ["wal/2", "wal/10", "wal/1", "wall", "LOCK", "wal/old/3"] {
            open(storage, path);
        }
        assert_eq!(storage.list("").unwrap(), ["LOCK", "wal", "wall"]);
        assert_eq!(storage.list("wal").unwrap(), ["1", "10", "2", "old"]);
        assert_eq!(storage.list("wal/old").unwrap(), ["3"]);
        fails(storage.list("missing"), ErrorKind::NotFound);
        fails(storage.list("wall"), ErrorKind::NotADirectory);
        fails(storage.create_dir("wall"), ErrorKind::AlreadyExists);
        fails(storage.create_dir("missing/dir"), ErrorKind::NotFound);
    });
}

#[test]
fn a_rename_replaces_and_keeps_open_files_open() {
    on_both(|storage| {
        let old = open(storage, "catalog");
        old.write_at(b"old", 0).unwrap();
        let new = open(storage, "catalog.tmp");
        new.write_at(b"new", 0).unwrap();
        storage.rename("catalog.tmp", "catalog").unwrap();
        assert_eq!(storage.list("").unwrap(), ["catalog"]);
        new.write_at(b"er", 3).unwrap();
        assert_eq!(content(storage, "catalog"), b"newer");
        assert_eq!(
            old.len().unwrap(),
            3,
            "the replaced file lives on for whoever has it open"
        );
        storage.rename("catalog", "catalog").unwrap();
        storage.create_dir("kept").unwrap();
        storage.rename("catalog", "kept/catalog").unwrap();
        assert_eq!(content(storage, "kept/catalog"), b"newer");
        fails(storage.rename("missing", "x"), ErrorKind::NotFound);
        fails(storage.rename("kept/catalog", "missing/x"), ErrorKind::NotFound);
        storage.create_dir("other").unwrap();
        fails(storage.rename("kept/catalog", "other"), ErrorKind::IsADirectory);
    });
}

#[test]
fn a_removed_file_lives_on_for_whoever_has_it_open() {
    on_both(|storage| {
        let file = open(storage, "f");
        file.write_at(b"abc", 0).unwrap();
        storage.remove("f").unwrap();
        assert!(storage.list("").unwrap().is_empty());
        let mut bytes = [0; 3];
        file.read_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"abc");
        open(storage, "f");
        assert_eq!(content(storage, "f"), b"");
        fails(storage.remove("missing"), ErrorKind::NotFound);
        storage.create_dir("dir").unwrap();
        fails(storage.remove("dir"), ErrorKind::IsADirectory);
    });
}

#[test]
fn directories_are_flushed_and_nothing_else_is_one() {
    on_both(|storage| {
        storage.create_dir("wal").unwrap();
        open(storage, "f");
        storage.sync_dir("").unwrap();
        storage.sync_dir("wal").unwrap();
        fails(storage.sync_dir("missing"), ErrorKind::NotFound);
        fails(storage.sync_dir("f"), ErrorKind::NotADirectory);
    });
}

#[test]
fn direct_files_take_aligned_blocks_only() {
    on_both(|storage| {
        if !storage.supports_direct() {
            return;
        }
        let mut block = AlignedBuffer::default();
        block.resize_zeroed(2 * ALIGNMENT);
        block.as_mut_slice().fill(7);
        for mode in [Mode::Direct, Mode::DirectSync] {
            let file = storage.open("f", mode, Existence::CreateIfMissing).unwrap();
            file.write_at(block.as_slice(), ALIGNMENT as u64).unwrap();
            assert_eq!(file.len().unwrap(), 3 * ALIGNMENT as u64);
            let mut read = AlignedBuffer::default();
            read.resize_zeroed(ALIGNMENT);
            file.read_at(read.as_mut_slice(), ALIGNMENT as u64).unwrap();
            assert_eq!(read.as_slice(), &block.as_slice()[..ALIGNMENT]);
            fails(
                file.read_at(read.as_mut_slice(), 3 * ALIGNMENT as u64),
                ErrorKind::UnexpectedEof,
            );
            fails(file.write_at(block.as_slice(), 512), ErrorKind::InvalidInput);
            fails(
                file.write_at(&block.as_slice()[..512], 0),
                ErrorKind::InvalidInput,
            );
            fails(
                file.write_at(&block.as_slice()[512..512 + ALIGNMENT], 0),
                ErrorKind::InvalidInput,
            );
            fails(
                file.read_at(&mut read.as_mut_slice()[..100], 0),
                ErrorKind::InvalidInput,
            );
            file.sync().unwrap();
        }
    });
}

#[test]
fn space_is_reported_for_the_whole_file_system() {
    on_both(|storage| {
        let space = storage.space().unwrap();
        assert!(
            0 < space.free_bytes && space.free_bytes <= space.total_bytes,
            "{space:?}"
        );
    });
}

#[test]
fn several_threads_write_one_file() {
    on_both(|storage| {
        let file = open(storage, "f");
        std::thread::scope(|scope| {
            for thread in 0..4_u8 {
                let file = &file;
                scope.spawn(move || {
                    for block in 0..50 {
                        let position = (block * 4 + u64::from(thread)) * 100;
                        file.write_at(&[thread + 1; 100], position).unwrap();
                    }
                    file.sync().unwrap();
                });
            }
        });
        let bytes = content(storage, "f");
        assert_eq!(bytes.len(), 20_000);
        assert!(
            bytes
                .chunks(100)
                .zip([1, 2, 3, 4].into_iter().cycle())
                .all(|(block, of)| block == [of; 100])
        );
    });
}

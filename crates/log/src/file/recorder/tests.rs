mod faults;
mod names;

use std::io::ErrorKind;
use std::thread;

use super::super::aligned::AlignedBuffer;
use super::*;

const BLOCK: usize = 4096;

fn create(recorder: &Recorder, path: &str) -> Arc<dyn File> {
    recorder.open(path, Mode::Buffered, Existence::MustBeNew).unwrap()
}

fn block(byte: u8) -> AlignedBuffer {
    let mut block = AlignedBuffer::default();
    block.extend_from_slice(&[byte; BLOCK]);
    block
}

/// An empty file whose name is durable, opened in this mode.
fn durable_file(recorder: &Recorder, mode: Mode) -> Arc<dyn File> {
    let file = recorder.open("f", mode, Existence::MustBeNew).unwrap();
    recorder.sync_dir("").unwrap();
    file
}

/// The content of `f` after a power failure now, with only what is durable.
fn kept(recorder: &Recorder) -> Option<Vec<u8>> {
    let journal = recorder.journal();
    journal.image(journal.len(), &mut Nothing).read("f")
}

/// Whether a power failure now can leave this, judged by some hundred seeds.
fn can_leave(journal: &Journal, at: usize, expected: impl Fn(&Image) -> bool) -> bool {
    let mut replay = journal.replay();
    replay.advance_to(at);
    (0..400).any(|seed| expected(&replay.image(&mut Seeded::new(seed))))
}

#[test]
fn a_buffered_write_is_durable_after_a_sync_that_follows_it() {
    let recorder = Recorder::new();
    let file = durable_file(&recorder, Mode::Buffered);
    file.write_at(b"one", 0).unwrap();
    assert_eq!(kept(&recorder).unwrap(), b"");
    // Another description of the same file does as well.
    recorder
        .open("f", Mode::Buffered, Existence::MustExist)
        .unwrap()
        .sync()
        .unwrap();
    file.write_at(b"two", 3).unwrap();
    assert_eq!(kept(&recorder).unwrap(), b"one");
    file.set_len(1).unwrap();
    file.sync().unwrap();
    file.set_len(9).unwrap();
    assert_eq!(kept(&recorder).unwrap(), b"o");
}

#[test]
fn a_write_in_flight_when_the_sync_begins_is_not_covered() {
    let recorder = Recorder::new();
    let file = durable_file(&recorder, Mode::Buffered);
    let hold = recorder.hold(Kind::Write, "f");
    thread::scope(|scope| {
        scope.spawn(|| file.write_at(b"late", 0).unwrap());
        hold.wait_for(1);
        file.sync().unwrap();
        assert_eq!(kept(&recorder).unwrap(), b"");
        drop(hold);
    });
    assert_eq!(kept(&recorder).unwrap(), b"");
    file.sync().unwrap();
    assert_eq!(kept(&recorder).unwrap(), b"late");
}

#[test]
fn a_write_that_ends_during_a_sync_is_not_covered() {
    let recorder = Recorder::new();
    let file = durable_file(&recorder, Mode::Buffered);
    let syncing = recorder.hold(Kind::Sync, "f");
    let writing = recorder.hold(Kind::Write, "f");
    thread::scope(|scope| {
        let write = scope.spawn(|| file.write_at(b"late", 0).unwrap());
        writing.wait_for(1);
        let sync = scope.spawn(|| file.sync().unwrap());
        syncing.wait_for(1);
        drop(writing);
        write.join().unwrap();
        file.set_len(9).unwrap();
        drop(syncing);
        sync.join().unwrap();
    });
    assert_eq!(kept(&recorder).unwrap(), b"");
}

#[test]
fn a_sync_in_flight_makes_nothing_durable_yet() {
    let recorder = Recorder::new();
    let file = durable_file(&recorder, Mode::Buffered);
    file.write_at(b"x", 0).unwrap();
    let hold = recorder.hold(Kind::Sync, "f");
    thread::scope(|scope| {
        scope.spawn(|| file.sync().unwrap());
        hold.wait_for(1);
        assert_eq!(kept(&recorder).unwrap(), b"");
        drop(hold);
    });
    assert_eq!(kept(&recorder).unwrap(), b"x");
}

#[test]
fn a_direct_sync_write_is_durable_when_it_returns_and_torn_before() {
    let recorder = Recorder::new();
    let file = durable_file(&recorder, Mode::DirectSync);
    let begun = recorder.position();
    file.write_at(block(1).as_slice(), 0).unwrap();
    assert_eq!(kept(&recorder).unwrap(), [1; BLOCK]);

    let journal = recorder.journal();
    let in_flight = begun + 1;
    assert_eq!(journal.image(in_flight, &mut Nothing).read("f").unwrap(), b"");
    assert_eq!(journal.image(in_flight, &mut All).read("f").unwrap(), [1; BLOCK]);
    let leaves = |expected: &dyn Fn(&[u8]) -> bool| {
        can_leave(&journal, in_flight, |image| expected(&image.read("f").unwrap()))
    };
    assert!(
        leaves(&|bytes| bytes == [0; BLOCK]),
        "the length without the bytes"
    );
    assert!(
        leaves(&|bytes| !bytes.is_empty() && bytes.len() < BLOCK),
        "a part of the length"
    );
    assert!(
        leaves(&|bytes| bytes.first() == Some(&0) && bytes.ends_with(&[1])),
        "the end without the begin"
    );
    assert!(!leaves(&|bytes| bytes
        .chunks(SECTOR_BYTES)
        .any(|sector| sector.contains(&0) && sector.contains(&1))));
}

#[test]
fn a_write_is_torn_between_sectors_of_the_disk_only() {
    let recorder = Recorder::new();
    let file = durable_file(&recorder, Mode::Buffered);
    file.set_len(2000).unwrap();
    file.sync().unwrap();
    file.write_at(&[1; 1700], 300).unwrap();
    let journal = recorder.journal();
    let is_torn_within = |sector: &[u8]| sector.iter().any(|byte| *byte != sector[0]);
    assert!(!can_leave(&journal, journal.len(), |image| {
        let bytes = image.read("f").unwrap();
        is_torn_within(&bytes[300..512]) || bytes[512..].chunks(SECTOR_BYTES).any(is_torn_within)
    }));
    let leaves = |first: u8, last: u8| {
        can_leave(&journal, journal.len(), |image| {
            let bytes = image.read("f").unwrap();
            (bytes[300], bytes[1999]) == (first, last)
        })
    };
    assert!(leaves(0, 0) && leaves(0, 1) && leaves(1, 0) && leaves(1, 1));
}

#[test]
fn an_older_write_never_overtakes_a_newer_one() {
    let recorder = Recorder::new();
    let buffered = durable_file(&recorder, Mode::Buffered);
    let direct = recorder
        .open("f", Mode::DirectSync, Existence::MustExist)
        .unwrap();
    buffered.write_at(&[1; 2 * BLOCK], 0).unwrap();
    direct.write_at(block(2).as_slice(), 0).unwrap();
    let journal = recorder.journal();
    let newer_survives = |image: &Image| image.read("f").unwrap()[..BLOCK] == [2; BLOCK];
    assert!(!can_leave(&journal, journal.len(), |image| !newer_survives(
        image
    )));
}

#[test]
fn each_flush_can_be_left_out_of_the_recording() {
    let recorder = Recorder::new();
    recorder.create_dir("wal").unwrap();
    recorder.sync_dir("").unwrap();
    for path in ["wal/1", "wal/2"] {
        let file = recorder
            .open(path, Mode::DirectSync, Existence::MustBeNew)
            .unwrap();
        recorder.sync_dir("wal").unwrap();
        file.write_at(block(1).as_slice(), 0).unwrap();
        let zeros = recorder.open(path, Mode::Buffered, Existence::MustExist).unwrap();
        zeros.write_at(&[3], BLOCK as u64).unwrap();
        zeros.sync().unwrap();
    }
    let journal = recorder.journal();
    let survivors = |journal: &Journal| {
        let image = journal.image(journal.len(), &mut Nothing);
        image
            .files()
            .map(|path| image.len(path).unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(survivors(&journal), [4097, 4097]);
    let sites: Vec<_> = journal.flush_sites().into_iter().collect();
    let site = |kind, path| FlushSite::new(kind, path);
    assert_eq!(
        sites,
        [
            (site(FlushKind::Sync, "wal/0"), 2),
            (site(FlushKind::DirectSync, "wal/0"), 2),
            (site(FlushKind::SyncDir, ""), 1),
            (site(FlushKind::SyncDir, "wal"), 2),
        ]
    );
    assert_eq!(survivors(&journal.without(&site(FlushKind::SyncDir, ""))), [0; 0]);
    assert_eq!(
        survivors(&journal.without(&site(FlushKind::SyncDir, "wal"))),
        [0; 0]
    );
    assert_eq!(
        survivors(&journal.without_nth(&site(FlushKind::SyncDir, "wal"), 1)),
        [4097]
    );
    assert_eq!(
        survivors(&journal.without_nth(&site(FlushKind::Sync, "wal/0"), 0)),
        [4096, 4097]
    );
    let unflushed = journal
        .without(&site(FlushKind::DirectSync, "wal/0"))
        .without(&site(FlushKind::Sync, "wal/0"));
    assert_eq!(survivors(&unflushed), [0, 0]);
}

#[test]
fn marks_lie_between_the_operations() {
    let recorder = Recorder::new();
    recorder.mark("begin");
    let file = create(&recorder, "f");
    file.write_at(b"x", 0).unwrap();
    recorder.mark(7);
    let journal = recorder.journal();
    let label = Mark::from("begin");
    assert_eq!(journal.marks_before(4).collect::<Vec<_>>(), [(0, &label)]);
    assert_eq!(
        journal.marks_before(5).collect::<Vec<_>>(),
        [(0, &label), (4, &Mark::Number(7))]
    );
    assert_eq!(recorder.position(), 5);
}

#[test]
fn images_are_damaged_one_by_one_and_opened_again() {
    let mut image = Image::default();
    image.insert("segments/1", b"abc");
    let whole = image.clone();
    image.flip("segments/1", 1, 0);
    assert_eq!(image.read("segments/1").unwrap(), b"acc");
    image.set_len("segments/1", 2);
    image.write("segments/1", 4, b"z");
    let recorder = Recorder::from_image(image.clone());
    let file = recorder
        .open("segments/1", Mode::Buffered, Existence::MustExist)
        .unwrap();
    let mut bytes = [0; 5];
    file.read_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"ac\0\0z");
    assert_eq!(recorder.journal().image(0, &mut Nothing), image);
    assert_eq!(whole.read("segments/1").unwrap(), b"abc");
    image.remove("segments");
    assert_eq!(image, Image::default());
}

#[test]
fn every_prefix_of_a_long_recording_is_explored_cheaply() {
    // 20,000 entries with 100 MB of writes, and an image at every position.
    let recorder = Recorder::new();
    let file = durable_file(&recorder, Mode::DirectSync);
    let mut batch = AlignedBuffer::default();
    for n in 0..10_000_u64 {
        batch.clear();
        batch.extend_from_slice(&[n as u8 | 1; 3 * BLOCK]);
        let len = (1 + n as usize % 3 + usize::from(n % 2 == 0)).min(3) * BLOCK;
        file.write_at(&batch.as_slice()[..len], n * 3 * BLOCK as u64 % (64 << 20))
            .unwrap();
    }
    let journal = recorder.journal();
    let mut replay = journal.replay();
    let mut lengths = 0;
    for at in 0..=journal.len() {
        replay.advance_to(at);
        let image = replay.image(&mut Seeded::new(at as u64));
        lengths += image.len("f").unwrap_or_default();
    }
    assert!(journal.len() > 20_000 && lengths > 0);
    assert_eq!(replay.image(&mut Nothing), recorder.image());
}

//! Operations that fail.

use super::*;

#[test]
fn what_a_failed_sync_covered_is_never_durable_again() {
    let recorder = Recorder::new();
    let file = durable_file(&recorder, Mode::Buffered);
    file.write_at(b"lost?", 0).unwrap();
    recorder.fail(Fault::once(Kind::Sync, 1, Errno::IO));
    assert_eq!(
        file.sync().unwrap_err().raw_os_error(),
        Some(Errno::IO.raw_os_error())
    );
    file.sync().unwrap();
    assert_eq!(kept(&recorder).unwrap(), b"");
    file.write_at(b"k", 0).unwrap();
    file.sync().unwrap();
    assert_eq!(kept(&recorder).unwrap(), b"k");
    assert_eq!(
        recorder.image().read("f").unwrap(),
        b"kost?",
        "the process still sees it"
    );
}

#[test]
fn a_failed_write_may_be_there_for_good() {
    let recorder = Recorder::new();
    let file = durable_file(&recorder, Mode::DirectSync);
    recorder.fail(Fault::forever(Kind::Write, 2, Errno::NOSPC).at("f"));
    file.write_at(block(1).as_slice(), 0).unwrap();
    for position in [1, 2] {
        let error = file
            .write_at(block(2).as_slice(), position * BLOCK as u64)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
    }
    recorder.clear_faults();
    file.sync().unwrap();
    let journal = recorder.journal();
    assert_eq!(kept(&recorder).unwrap(), [1; BLOCK]);
    assert_eq!(
        journal.image(journal.len(), &mut All).len("f"),
        Some(3 * BLOCK as u64)
    );
}

#[test]
fn the_nth_operation_of_any_kind_fails() {
    let run = |recorder: &Recorder| -> io::Result<()> {
        recorder.create_dir("d")?;
        let file = recorder.open("d/f", Mode::Buffered, Existence::CreateIfMissing)?;
        file.write_at(b"abc", 0)?;
        file.read_at(&mut [0; 3], 0)?;
        file.set_len(2)?;
        file.sync()?;
        recorder.rename("d/f", "d/g")?;
        recorder.sync_dir("d")?;
        recorder.list("d")?;
        recorder.remove("d/g")
    };
    let recorder = Recorder::new();
    run(&recorder).unwrap();
    let operations = recorder.operations(None);
    assert_eq!((operations, recorder.operations(Some(Kind::Write))), (10, 1));
    for nth in 1..=operations {
        let recorder = Recorder::new();
        recorder.fail(Fault::once(None, nth, Errno::IO));
        assert_eq!(
            run(&recorder).unwrap_err().raw_os_error(),
            Some(Errno::IO.raw_os_error())
        );
        assert_eq!(recorder.operations(None), nth, "nothing ran after the failure");
    }
}

#[test]
fn a_full_disk_refuses_growth_until_something_is_removed() {
    let recorder = Recorder::new();
    recorder.set_total_bytes(1000);
    let file = create(&recorder, "f");
    file.write_at(&[1; 600], 0).unwrap();
    let other = create(&recorder, "g");
    assert_eq!(
        other.write_at(&[1; 401], 0).unwrap_err().kind(),
        ErrorKind::StorageFull
    );
    assert_eq!(other.set_len(401).unwrap_err().kind(), ErrorKind::StorageFull);
    file.write_at(&[2; 600], 0).unwrap();
    assert_eq!(
        recorder.space().unwrap(),
        Space {
            total_bytes: 1000,
            free_bytes: 400
        }
    );
    recorder.remove("f").unwrap();
    other.write_at(&[1; 1000], 0).unwrap();
}

#[test]
fn a_disk_without_direct_io_refuses_direct_files() {
    let recorder = Recorder::new();
    recorder.set_supports_direct(false);
    let refused = recorder.open("f", Mode::Direct, Existence::CreateIfMissing);
    assert_eq!(refused.err().unwrap().kind(), ErrorKind::InvalidInput);
    assert!(recorder.list("").unwrap().is_empty());
}

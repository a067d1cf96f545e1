use super::*;

type Files = Vec<(ArchivedFile, Vec<u8>)>;

fn is_file(name: &str) -> bool {
    name.starts_with("segments/")
}

/// Some files, none of whose lengths is a multiple of what is read at a time, but one.
fn files() -> Files {
    let lengths = [0, 1, 512, 700_001];
    let file = |(nth, length): (usize, usize)| {
        let name = format!("segments/{nth:016x}");
        let bytes = (0..length).map(|at| (at * 31 + nth) as u8).collect();
        let length = length as u64;
        (ArchivedFile { name, length }, bytes)
    };
    lengths.into_iter().enumerate().map(file).collect()
}

fn archive(files: &[(ArchivedFile, Vec<u8>)], damages: &[&str]) -> Vec<u8> {
    let manifest = Manifest {
        firth: "0.1.0".to_owned(),
        cluster_id: "AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        created_ms: 1_700_000_000_123,
        files: files.iter().map(|(file, _)| file.clone()).collect(),
    };
    let mut writer = Writer::begin(Vec::new(), manifest).unwrap();
    for (_, bytes) in files {
        let read = |position: u64, length: u64| {
            let at = usize::try_from(position).unwrap();
            Ok(bytes[at..at + usize::try_from(length).unwrap()].to_vec())
        };
        writer.file(read).unwrap();
    }
    writer
        .finish(damages.iter().map(|damage| (*damage).to_owned()).collect())
        .unwrap()
}

/// What an archive holds, if it is whole.
fn read(archive: &[u8]) -> Result<(Files, Vec<String>), Error> {
    let mut reader = Reader::open(archive, is_file)?;
    let mut files = Vec::new();
    while let Some(file) = reader.next().cloned() {
        let mut bytes = Vec::new();
        reader.file(|piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        files.push((file, bytes));
    }
    Ok((files, reader.finish()?))
}

#[test]
fn what_was_written_is_read() {
    for files in [files(), Vec::new()] {
        let archive = archive(&files, &["one", "two"]);
        let damages = vec!["one".to_owned(), "two".to_owned()];
        assert_eq!(read(&archive).unwrap(), (files, damages));
    }
}

#[test]
fn an_archive_that_ends_early_is_cut_off() {
    let archive = archive(&files(), &[]);
    let lengths = (0..archive.len()).step_by(997);
    for length in lengths.chain(archive.len() - 1100..archive.len()) {
        let error = read(&archive[..length]).unwrap_err();
        assert!(matches!(error, Error::CutOff(_)), "{length} bytes: {error}");
    }
    let longer = [&archive[..], b"\0"].concat();
    assert_eq!(
        read(&longer).unwrap_err().to_string(),
        "the backup is damaged: something follows its end"
    );
}

#[test]
fn no_byte_can_be_another() {
    let files = &files()[..3];
    let archive = archive(files, &["a sentence"]);
    for at in 0..archive.len() {
        for bit in [0, 5] {
            let mut damaged = archive.clone();
            damaged[at] ^= 1 << bit;
            assert!(read(&damaged).is_err(), "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn a_damaged_file_is_named() {
    let mut archive = archive(&files(), &[]);
    let at = archive.len() - 100_000;
    archive[at] ^= 1;
    assert_eq!(
        read(&archive).unwrap_err().to_string(),
        "the backup is damaged: the checksum of segments/0000000000000003 does not match"
    );
}

#[test]
fn names_that_have_no_place_are_refused() {
    let named = |names: &[&str]| -> Vec<_> {
        let file = |name: &&str| (*name).to_owned();
        let file = |name| {
            (
                ArchivedFile {
                    name: file(name),
                    length: 0,
                },
                Vec::new(),
            )
        };
        names.iter().map(file).collect()
    };
    for names in [
        &["../segments/1"][..],
        &["/etc/passwd"],
        &["LOCK"],
        &["segments/1", "segments/1"],
        &["segments/2", "segments/1"],
    ] {
        let error = read(&archive(&named(names), &[])).unwrap_err().to_string();
        assert!(error.contains("which has no place"), "{names:?}: {error}");
    }
}

#[test]
fn an_archive_of_another_kind_or_time_is_refused() {
    for other in [&b""[..], b"\x1f\x8b\x08\0", &[0; 4096], b"manifest"] {
        let error = read(other).unwrap_err();
        assert!(matches!(error, Error::NoBackup | Error::CutOff(_)), "{error}");
    }
    let mut archive = archive(&[], &[]);
    let at = archive
        .windows(10)
        .position(|window| window == b"\"format\":1")
        .unwrap();
    archive[at + 9] = b'2';
    assert_eq!(
        read(&archive).unwrap_err().to_string(),
        "the backup has format version 2, this Firth reads up to 1: use a newer one"
    );
}

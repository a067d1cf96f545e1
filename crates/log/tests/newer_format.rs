//! What a newer Firth wrote is refused, and not one byte of the directory is changed: the newer one can still use it.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its engine has failed"
)]

mod support;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use firth_batch::{Batch, Builder, Compression, crc32c};
use firth_log::file::recorder::{Image, Recorder};
use firth_log::{Direct, Engine, Frame, LogId, OpenError, Options};
use redb::{ReadableTable, TableDefinition};
use support::{NOW_MS, environment, until};

const CATALOG: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("catalog");
const WAL: &str = "wal/00000000";

fn options(direct: Direct) -> Options {
    Options {
        direct,
        wal_bytes_max: Some(1024 * 1024),
        wal_file_bytes: 64 * 1024,
        segment_bytes: 4096,
        // Rewriting would put what was appended into the catalog, where no record tells its version.
        merge_segments: 0,
        ..Options::default()
    }
}

fn open(recorder: &Recorder, direct: Direct) -> Result<Engine, OpenError> {
    Engine::open(Arc::new(recorder.clone()), environment(), options(direct))
}

/// The golden directory of this version.
fn golden() -> Image {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v2");
    let mut image = Image::default();
    for directory in ["", "segments", "wal"] {
        for entry in fs::read_dir(root.join(directory)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
                image.insert(name, &fs::read(&path).unwrap());
            }
        }
    }
    image
}

/// Opens the image and finds it refused, and as it was.
fn assert_refused(image: &Image, what: &str) {
    for direct in [Direct::Always, Direct::Never] {
        let recorder = Recorder::from_image(image.clone());
        match open(&recorder, direct) {
            Err(OpenError::NewerFormat(message)) => assert!(message.contains("use a newer one"), "{message}"),
            Err(error) => panic!("{what}: {error}"),
            Ok(_) => panic!("{what}: it was opened"),
        }
        let after = recorder.image();
        let changed = |path: &&str| image.read(path) != after.read(path);
        let changed: Vec<&str> = after.files().chain(image.files()).filter(changed).collect();
        assert_eq!(changed, [""; 0], "{what}: files that were changed");
        assert!(*image == after, "{what}: directories were changed");
    }
}

/// Overwrites the format version at 8 of a header, and makes the checksum right that covers it up to `checksum`.
fn make_newer(image: &mut Image, path: &str, checksum: usize) {
    let mut header = image.read(path).unwrap()[..checksum].to_vec();
    header[8..12].copy_from_slice(&9_u32.to_le_bytes());
    image.write(path, 0, &header);
    image.write(path, checksum as u64, &crc32c(&header).to_le_bytes());
}

/// A segment that has producers' windows, and where its header tells of them.
fn with_windows(image: &Image) -> (String, usize) {
    const PRODUCERS: u32 = 3;
    let segments = image.files().filter(|path| path.starts_with("segments/"));
    let found = segments.filter_map(|path| {
        let bytes = image.read(path).unwrap();
        let field = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let mut sections = (0..field(12) as usize).map(|nth| 32 + nth * 24);
        let section = sections.find(|at| field(*at) == PRODUCERS && field(at + 16) > 0)?;
        Some((path.to_owned(), section))
    });
    found.last().unwrap()
}

#[test]
fn a_newer_segment_is_refused() {
    let mut image = golden();
    let (segment, _) = with_windows(&image);
    make_newer(&mut image, &segment, 508);
    assert_refused(&image, "a segment");
    image.remove("catalog");
    assert_refused(&image, "a segment, without a catalog");
}

#[test]
fn newer_producers_windows_are_refused() {
    let mut image = golden();
    let (path, section) = with_windows(&image);
    let mut segment = image.read(&path).unwrap();
    let field = |at: usize| u64::from_le_bytes(segment[at..at + 8].try_into().unwrap()) as usize;
    let (start, length) = (field(section + 8), field(section + 16));
    let body = start..start + length;
    segment[body.start + 12] = 2;
    let checksum = crc32c(&segment[body]);
    segment[section + 4..section + 8].copy_from_slice(&checksum.to_le_bytes());
    let checksum = crc32c(&segment[..508]);
    segment[508..512].copy_from_slice(&checksum.to_le_bytes());
    image.insert(&path, &segment);
    assert_refused(&image, "producers' windows");
    image.remove("catalog");
    assert_refused(&image, "producers' windows, without a catalog");
}

#[test]
fn a_newer_wal_is_refused() {
    let mut image = golden();
    make_newer(&mut image, WAL, 76);
    assert_refused(&image, "a WAL file");
    image.remove("catalog");
    assert_refused(&image, "a WAL file, without a catalog");
}

/// Changes one value of the catalog, as a newer version would write it.
fn with_catalog_value(key: &[u8], change: impl Fn(&mut Vec<u8>)) -> Image {
    let mut image = golden();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("catalog");
    fs::write(&path, image.read("catalog").unwrap()).unwrap();
    let database = redb::Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut table = transaction.open_table(CATALOG).unwrap();
        let mut content = table.get(key).unwrap().unwrap().value()[4..].to_vec();
        change(&mut content);
        let mut value = crc32c(&[key, &content].concat()).to_le_bytes().to_vec();
        value.extend_from_slice(&content);
        table.insert(key, value.as_slice()).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    image.insert("catalog", &fs::read(&path).unwrap());
    image
}

#[test]
fn a_newer_catalog_is_refused() {
    let image = with_catalog_value(b"\0format", |version| {
        *version = 2_u32.to_le_bytes().to_vec();
    });
    assert_refused(&image, "a catalog");
}

#[test]
fn a_newer_value_of_the_catalog_is_refused() {
    let image = with_catalog_value(b"engine", |value| {
        value[0] = 3;
        value.push(0);
    });
    assert_refused(&image, "the engine's value");
}

fn raw_record(value: &[u8]) -> Batch {
    let mut builder = Builder::new(Compression::None);
    builder.push(NOW_MS, None, Some(value), &[]);
    builder.build()
}

/// Puts a record of the engine's own log into the golden directory, as a newer Firth would have written it.
fn with_meta_record(record: &[u8], in_segment: bool) -> Image {
    let recorder = Recorder::from_image(golden());
    let engine = open(&recorder, Direct::Never).unwrap();
    let append = |log, value: &[u8]| {
        let appended = engine.append(Frame::batch(log, raw_record(value))).unwrap();
        appended.commit.wait().unwrap();
    };
    append(LogId::META, record);
    if in_segment {
        append(LogId::DEFINITIONS, &[b'x'; 5000]);
        until("it is sealed", || engine.stats().unsealed_bytes < 5000);
    }
    engine.close();
    recorder.image()
}

const NEWER_RECORDS: [&[u8]; 3] = [
    // Another type, another version of a type that is known, and a longer body.
    &[6, 1, 0, 0, 0, 0, 0, 0, 0, 0],
    &[1, 2, 40, 0, 0, 0, 0, 0, 0, 0],
    &[1, 1, 40, 0, 0, 0, 0, 0, 0, 0, 0],
];

#[test]
fn a_newer_record_in_the_wal_is_refused() {
    for record in NEWER_RECORDS {
        let mut image = with_meta_record(record, false);
        assert_refused(&image, "a record in the WAL");
        image.remove("catalog");
        assert_refused(&image, "a record in the WAL, without a catalog");
    }
}

#[test]
fn a_newer_record_in_a_segment_is_refused() {
    for record in NEWER_RECORDS {
        let mut image = with_meta_record(record, true);
        image.remove("catalog");
        assert_refused(&image, "a record in a segment, without a catalog");
        image.insert("catalog", b"damaged");
        assert_refused(&image, "a record in a segment, with a damaged catalog");
    }
}

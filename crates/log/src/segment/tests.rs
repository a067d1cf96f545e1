use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use firth_batch::{Attributes, HEADER_LEN as BATCH_HEADER_LEN, Header as BatchHeader, LOG_OVERHEAD, crc32c};
use proptest::collection::vec;
use proptest::prelude::*;

use super::header::HEADER_LEN;
use super::sections::CHUNK_LEN;
use super::*;
use crate::file::aligned::BufferPool;
use crate::file::disk::Disk;
use crate::file::recorder::Recorder;
use crate::file::{Existence, Mode, Storage};

pub(super) const ID: SegmentId = SegmentId(0x2a);
pub(super) const SOURCE: Source = Source {
    first_lsn: 7,
    last_lsn: 900,
};

/// What a segment should hold: the batches of each log.
pub(super) type Model = BTreeMap<u64, Vec<ModelBatch>>;

#[derive(Clone, Debug)]
pub(super) struct ModelBatch {
    base_offset: i64,
    last_offset: i64,
    max_timestamp: i64,
    pub(super) bytes: Vec<u8>,
}

/// A batch whose records are noise: a segment looks at headers alone.
pub(super) fn batch(base_offset: i64, offsets: i32, max_timestamp: i64, length: usize) -> ModelBatch {
    let length = length.max(BATCH_HEADER_LEN);
    let mut header = BatchHeader {
        base_offset,
        batch_length: (length - LOG_OVERHEAD) as i32,
        partition_leader_epoch: 3,
        magic: 2,
        crc: 0,
        attributes: Attributes(0),
        last_offset_delta: offsets - 1,
        base_timestamp: 0,
        max_timestamp,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        record_count: offsets,
    };
    let mut bytes = vec![0; length];
    header.encode(bytes.first_chunk_mut().unwrap());
    let mut noise = base_offset as u32 ^ length as u32;
    for byte in &mut bytes[BATCH_HEADER_LEN..] {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = (noise >> 24) as u8;
    }
    header.crc = crc32c(&bytes[21..]);
    header.encode(bytes.first_chunk_mut().unwrap());
    ModelBatch {
        base_offset,
        last_offset: header.last_offset(),
        max_timestamp,
        bytes,
    }
}

pub(super) fn storage() -> Recorder {
    let storage = Recorder::new();
    storage.create_dir(DIRECTORY).unwrap();
    storage.sync_dir("").unwrap();
    storage
}

/// Writes `model`, `batches_per_push` at a time, with some bytes as the producers of every log.
pub(super) fn write(
    storage: &dyn Storage,
    model: &Model,
    mode: Mode,
    batches_per_push: usize,
) -> io::Result<Footer> {
    let mut writer = Writer::create(storage, ID, mode)?;
    for (&log, batches) in model {
        writer.begin_extent(log);
        for group in batches.chunks(batches_per_push) {
            let bytes: Vec<u8> = group.iter().flat_map(|batch| batch.bytes.clone()).collect();
            writer.push(&bytes)?;
        }
        writer.producers(log, &windows(log));
    }
    writer.finish(SOURCE, 0, Losses::default(), &Names::default())
}

#[test]
fn an_extent_without_batches_takes_nothing_from_the_next_one() {
    let storage = storage();
    let mut writer = Writer::create(&storage, ID, Mode::Buffered).unwrap();
    writer.begin_extent(0);
    writer.cover(0..28, 0);
    writer.begin_extent(1);
    let kept = batch(24, 8, 5, 400);
    writer.push(&kept.bytes).unwrap();
    writer
        .finish(SOURCE, 0, Losses::default(), &Names::default())
        .unwrap();
    let segment = open(&storage).unwrap();
    let extents = segment.extents().unwrap();
    assert_eq!(segment.read(&extents[0], 0, usize::MAX).unwrap(), Bytes::new());
    assert_eq!(segment.read(&extents[1], 24, usize::MAX).unwrap(), kept.bytes);
    assert_eq!(segment.read(&extents[0], 0, usize::MAX).unwrap(), Bytes::new());
}

fn windows(log: u64) -> Vec<u8> {
    vec![log as u8; 10 + log as usize % 30]
}

pub(super) fn open(storage: &dyn Storage) -> Result<Segment, Error> {
    Segment::open(
        storage,
        ID,
        FooterCache::new(64 * 1024),
        BufferPool::new(1024 * 1024),
    )
}

/// Reads all of one log, skipping what is damaged, and checks every byte of it against the model. Gives what was
/// damaged as ranges of offsets.
pub(super) fn read_all(
    segment: &Segment,
    extent: &Extent,
    batches: &[ModelBatch],
    max_bytes: usize,
) -> Vec<(i64, i64)> {
    let mut damages = Vec::new();
    let mut next = 0;
    while next < batches.len() {
        match segment.read(extent, batches[next].base_offset, max_bytes) {
            Ok(bytes) => {
                assert!(!bytes.is_empty());
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    rest = rest
                        .strip_prefix(&batches[next].bytes[..])
                        .expect("the bytes that were written");
                    next += 1;
                }
            }
            Err(Error::Damaged {
                log,
                first_offset,
                next_offset,
                ..
            }) => {
                assert_eq!(log, extent.log);
                assert!(first_offset <= batches[next].base_offset && batches[next].last_offset < next_offset);
                damages.push((first_offset, next_offset));
                next += batches[next..]
                    .iter()
                    .take_while(|batch| batch.base_offset < next_offset)
                    .count();
            }
            Err(error) => panic!("{error}"),
        }
    }
    damages
}

fn check_read(
    segment: &Segment,
    extent: &Extent,
    batches: &[ModelBatch],
    from_offset: i64,
    max_bytes: usize,
) {
    let bytes = segment.read(extent, from_offset, max_bytes).unwrap();
    let expected = batches.iter().skip_while(|batch| batch.last_offset < from_offset);
    let mut rest = &bytes[..];
    let mut count = 0;
    for batch in expected.clone() {
        let Some(behind) = rest.strip_prefix(&batch.bytes[..]) else {
            break;
        };
        rest = behind;
        count += 1;
    }
    assert!(rest.is_empty(), "whole batches from offset {from_offset}");
    assert_eq!(
        count == 0,
        expected.count() == 0,
        "at least one batch where there is one"
    );
    assert!(
        count <= 1 || bytes.len() <= max_bytes,
        "{} of {max_bytes} bytes",
        bytes.len()
    );
}

fn check_find(segment: &Segment, extent: &Extent, batches: &[ModelBatch], timestamp: i64) {
    let found = segment.find(extent, timestamp).unwrap();
    let expected = batches.iter().find(|batch| batch.max_timestamp >= timestamp);
    assert_eq!(
        found.as_deref(),
        expected.map(|batch| &batch.bytes[..]),
        "timestamp {timestamp}"
    );
}

fn any_log() -> impl Strategy<Value = Vec<ModelBatch>> {
    let length = prop_oneof![8 => 61..2000usize, 3 => 2000..40_000usize, 1 => 60_000..150_000usize];
    let any_batch = (
        length,
        1..6i32,
        prop_oneof![3 => Just(0i64), 1 => 1..9i64],
        -1..60i64,
    );
    (vec(any_batch, 0..40), 0..1000i64).prop_map(|(batches, mut offset)| {
        let mut log = Vec::new();
        for (length, offsets, hole, max_timestamp) in batches {
            log.push(batch(offset + hole, offsets, max_timestamp, length));
            offset += hole + i64::from(offsets);
        }
        log
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn batches_are_read_back_at_every_offset_and_time(
        logs in vec((1..5u64, any_log()), 0..5), direct: bool, batches_per_push in 1..9usize,
    ) {
        let mut log_id = 0;
        let model: Model = logs.into_iter().map(|(gap, log)| { log_id += gap; (log_id, log) }).collect();
        let storage = storage();
        let mode = if direct { Mode::Direct } else { Mode::Buffered };
        let written = write(&storage, &model, mode, batches_per_push).unwrap();
        let segment = open(&storage).unwrap();
        prop_assert_eq!(segment.summary(), &written.summary);
        prop_assert_eq!(&*segment.extents().unwrap(), &*written.extents);
        prop_assert_eq!(written.extents.len(), model.values().filter(|log| !log.is_empty()).count());
        prop_assert!(segment.verify().is_empty());
        for (log, windows_read) in segment.producers().unwrap() {
            prop_assert_eq!(windows_read, windows(log));
        }
        for extent in &*segment.extents().unwrap() {
            let batches = &model[&extent.log];
            prop_assert_eq!(segment.extent(extent.log).unwrap(), Some(*extent));
            prop_assert_eq!(extent.batch_count as usize, batches.len());
            for from_offset in extent.first_offset - 2..extent.next_offset + 2 {
                for max_bytes in [0, 3000, 70_000, usize::MAX] {
                    check_read(&segment, extent, batches, from_offset, max_bytes);
                }
            }
            for timestamp in -2..62 {
                check_find(&segment, extent, batches, timestamp);
            }
            for max_bytes in [1, 100_000, 1 << 20] {
                prop_assert!(read_all(&segment, extent, batches, max_bytes).is_empty());
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..9000)) {
        exercise(&bytes);
    }

    /// Checksums stop a reader early, so here they are computed again after the damage.
    #[test]
    fn hostile_sections_with_matching_checksums_never_panic(
        damages in vec((hostile_position(), any::<u8>()), 1..4), forge_index: bool,
    ) {
        let mut bytes = example_bytes();
        for (position, value) in damages {
            bytes[position] = value;
        }
        forge_checksums(&mut bytes, forge_index);
        exercise(&bytes);
    }
}

/// Three logs of several chunks each, one with holes, a large batch in the middle.
pub(super) fn example() -> Model {
    let log = |holes: i64, lengths: &[usize]| {
        let batches = lengths.iter().enumerate();
        batches
            .map(|(i, &length)| batch(100 + i as i64 * (3 + holes), 3, i as i64 % 5, length))
            .collect()
    };
    BTreeMap::from([
        (3, log(0, &[9000; 12])),
        (4, log(2, &[200; 5])),
        (9, log(1, &[30_000, 40_000, 120_000, 61, 7000])),
    ])
}

fn example_bytes() -> Vec<u8> {
    let storage = storage();
    write(&storage, &example(), Mode::Direct, 3).unwrap();
    contents(&storage)
}

fn contents(storage: &dyn Storage) -> Vec<u8> {
    let file = storage
        .open(&ID.path(), Mode::Buffered, Existence::MustExist)
        .unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(&mut bytes, 0).unwrap();
    bytes
}

fn storage_with(bytes: &[u8]) -> Recorder {
    let storage = storage();
    storage
        .open(&ID.path(), Mode::Buffered, Existence::MustBeNew)
        .unwrap()
        .write_at(bytes, 0)
        .unwrap();
    storage
}

/// Calls everything that reads a segment, on whatever file.
fn exercise(bytes: &[u8]) {
    let storage = storage_with(bytes);
    let Ok(segment) = open(&storage) else { return };
    segment.verify();
    let _ = segment.producers();
    for extent in &*segment.extents().unwrap() {
        for offset in [
            i64::MIN,
            extent.first_offset,
            extent.next_offset - 1,
            extent.next_offset,
            i64::MAX,
        ] {
            for max_bytes in [0, 100_000, usize::MAX] {
                let read = segment
                    .read(extent, offset, max_bytes)
                    .map_or(0, |bytes| bytes.len());
                assert!(read <= bytes.len());
            }
        }
        for timestamp in [i64::MIN, 0, 3, extent.max_timestamp, i64::MAX] {
            let _ = segment.find(extent, timestamp);
        }
    }
}

fn field(bytes: &[u8], at: usize) -> usize {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize
}

fn footer_position(bytes: &[u8]) -> usize {
    field(bytes, 32 + 8)
}

fn set_checksum(bytes: &mut [u8], at: usize, of: std::ops::Range<usize>) {
    if let Some(covered) = bytes.get(of) {
        let checksum = crc32c(covered);
        bytes[at..at + 4].copy_from_slice(&checksum.to_le_bytes());
    }
}

/// Of a byte in the header, the sections of the footer, or the header of the first batch of an extent.
fn hostile_position() -> impl Strategy<Value = usize> {
    let bytes = example_bytes();
    let footer = footer_position(&bytes)..bytes.len();
    let first_batches: Vec<usize> = (0..3)
        .map(|i| field(&bytes, footer.start + i * 68 + 24))
        .collect();
    prop_oneof![
        0..144usize,
        footer,
        (0..BATCH_HEADER_LEN, prop::sample::select(first_batches)).prop_map(|(at, batch)| batch + at),
    ]
}

/// Makes every checksum match, of what the other fields say it covers.
fn forge_checksums(bytes: &mut [u8], forge_index: bool) {
    let (extents, mut chunk_at) = (field(bytes, 40), field(bytes, 64));
    for extent_at in (0..3).map(|extent| extents.saturating_add(extent * 60)) {
        if !forge_index || bytes.len() < chunk_at || bytes.len() < extent_at.saturating_add(60) {
            break;
        }
        let extent_end = field(bytes, extent_at + 24).saturating_add(field(bytes, extent_at + 32));
        let count = u32::from_le_bytes(bytes[extent_at + 52..extent_at + 56].try_into().unwrap()) as usize;
        let index = chunk_at..chunk_at.saturating_add(count * CHUNK_LEN).min(bytes.len());
        for at in index
            .clone()
            .step_by(CHUNK_LEN)
            .filter(|at| at + CHUNK_LEN <= index.end)
        {
            let last = at + 2 * CHUNK_LEN > index.end;
            let end = if last {
                extent_end
            } else {
                field(bytes, at + CHUNK_LEN + 8)
            };
            set_checksum(bytes, at + 24, field(bytes, at + 8)..end);
        }
        chunk_at = index.end;
        set_checksum(bytes, extent_at + 56, index);
    }
    for section in (0..4).map(|section| 32 + section * 24) {
        let position = field(bytes, section + 8);
        set_checksum(
            bytes,
            section + 4,
            position..position.saturating_add(field(bytes, section + 16)),
        );
    }
    set_checksum(bytes, 508, 0..508);
}

#[test]
fn a_flipped_bit_is_never_served() {
    let model = example();
    let clean = example_bytes();
    let footer_at = footer_position(&clean);
    let footer_end = field(&clean, 32 + 3 * 24 + 8) + field(&clean, 32 + 3 * 24 + 16);
    let header = (0..200).chain(500..512);
    for position in header
        .chain((HEADER_LEN..footer_at).step_by(1009))
        .chain(footer_at..footer_end)
    {
        let mut bytes = clean.clone();
        bytes[position] ^= 1 << (position % 8);
        let Ok(segment) = open(&storage_with(&bytes)) else {
            assert!(
                !(HEADER_LEN..footer_at).contains(&position),
                "byte {position} is in one chunk"
            );
            continue;
        };
        let reported = segment.verify();
        assert_eq!(reported.len(), 1, "byte {position}: {reported:?}");
        let mut damages = Vec::new();
        for extent in &*segment.extents().unwrap() {
            for damage in read_all(&segment, extent, &model[&extent.log], 150_000) {
                let within = extent.position as usize..(extent.position + extent.length) as usize;
                assert!(position >= footer_at || within.contains(&position));
                damages.push((extent.log, damage));
            }
        }
        if let [
            Error::Damaged {
                log,
                first_offset,
                next_offset,
                ..
            },
        ] = reported[..]
        {
            assert_eq!(damages, [(log, (first_offset, next_offset))], "byte {position}");
        } else {
            assert!(
                damages.is_empty() && position >= footer_at,
                "byte {position}: {damages:?}"
            );
        }
    }
}

#[test]
fn a_file_system_gives_back_what_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::open(dir.path()).unwrap();
    disk.create_dir(DIRECTORY).unwrap();
    let modes = if disk.supports_direct() {
        &[Mode::Buffered, Mode::Direct][..]
    } else {
        &[Mode::Buffered]
    };
    for &mode in modes {
        write(&disk, &example(), mode, 2).unwrap();
        let segment = open(&disk).unwrap();
        assert!(segment.verify().is_empty());
        for extent in &*segment.extents().unwrap() {
            assert!(read_all(&segment, extent, &example()[&extent.log], 100_000).is_empty());
        }
    }
}

#[test]
fn a_truncated_file_is_not_opened() {
    let clean = example_bytes();
    for length in (0..HEADER_LEN)
        .step_by(512)
        .chain((HEADER_LEN..clean.len()).step_by(4099))
    {
        let error = open(&storage_with(&clean[..length])).err().unwrap();
        match error {
            Error::Unfinished { .. } => assert!(length < HEADER_LEN),
            Error::DamagedFooter { .. } => assert!(length >= HEADER_LEN),
            other => panic!("{length}: {other}"),
        }
    }
}

#[test]
fn what_is_lost_while_it_is_open_is_damage_and_the_rest_is_served() {
    let (storage, model) = (storage(), example());
    write(&storage, &model, Mode::Buffered, 3).unwrap();
    let segment = open(&storage).unwrap();
    let extent = segment.extent(3).unwrap().unwrap();
    assert!(read_all(&segment, &extent, &model[&3], 10_000).is_empty());
    let file = storage
        .open(&ID.path(), Mode::Buffered, Existence::MustExist)
        .unwrap();
    // The second chunk begins with the ninth batch.
    file.set_len(extent.position + 80_000).unwrap();
    assert_eq!(
        read_all(&segment, &extent, &model[&3], usize::MAX),
        [(124, extent.next_offset)]
    );
}

#[test]
fn a_file_without_a_header_is_no_segment() {
    let mut bytes = example_bytes();
    bytes[..HEADER_LEN].fill(0);
    assert!(matches!(
        open(&storage_with(&bytes)).err(),
        Some(Error::Unfinished { segment: ID })
    ));
    let missing = open(&storage()).err();
    assert!(matches!(missing, Some(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound));
}

#[test]
fn a_newer_format_is_refused() {
    let mut bytes = example_bytes();
    bytes[8] = 3;
    set_checksum(&mut bytes, 508, 0..508);
    assert!(matches!(
        open(&storage_with(&bytes)).err(),
        Some(Error::UnsupportedVersion { version: 3, .. })
    ));
}

#[test]
fn a_segment_under_another_name_is_refused() {
    let storage = storage();
    write(&storage, &example(), Mode::Buffered, 3).unwrap();
    storage.rename(&ID.path(), &SegmentId(1).path()).unwrap();
    let opened = Segment::open(&storage, SegmentId(1), FooterCache::new(0), BufferPool::new(0));
    assert!(matches!(opened.err(), Some(Error::DamagedFooter { .. })));
}

#[test]
fn sections_of_unknown_types_are_skipped() {
    let mut bytes = example_bytes();
    // The section of producers becomes one that nobody knows.
    bytes[32 + 2 * 24] = 77;
    set_checksum(&mut bytes, 508, 0..508);
    let segment = open(&storage_with(&bytes)).unwrap();
    assert_eq!(segment.producers().unwrap(), []);
    assert!(segment.verify().is_empty());
}

#[test]
fn a_file_that_is_written_again_stops_being_a_segment_first() {
    let storage = storage();
    write(&storage, &example(), Mode::Direct, 3).unwrap();
    let mut writer = Writer::create(&storage, ID, Mode::Direct).unwrap();
    assert!(matches!(open(&storage).err(), Some(Error::Unfinished { .. })));
    let batch = batch(5, 1, 1, 500);
    writer.begin_extent(1);
    writer.push(&batch.bytes).unwrap();
    let footer = writer
        .finish(SOURCE, 0, Losses::default(), &Names::default())
        .unwrap();
    assert_eq!(
        contents(&storage).len() as u64,
        footer.summary.length,
        "nothing of the longer one is left"
    );
    let segment = open(&storage).unwrap();
    assert_eq!(
        segment.read(&segment.extents().unwrap()[0], 5, 0).unwrap(),
        batch.bytes
    );
}

#[test]
fn chunks_are_neither_small_nor_large() {
    let storage = storage();
    let lengths = [1000, 70_000, 65_536, 100, 30_000, 40_000, 200_000, 61];
    let log: Vec<_> = (0..)
        .zip(lengths)
        .map(|(i, length)| batch(i, 1, i, length))
        .collect();
    write(&storage, &Model::from([(1, log.clone())]), Mode::Buffered, 3).unwrap();
    let segment = open(&storage).unwrap();
    // A read of one byte is one chunk, cut; the chunks show in how many batches a read of its size gives.
    let extent = &segment.extents().unwrap()[0];
    assert_eq!(extent.index.count, 6);
    assert_eq!(segment.read(extent, 3, 70_100).unwrap().len(), 70_100);
}

#[test]
#[should_panic(expected = "log 1: offset 4 is below 6")]
fn descending_offsets_are_a_broken_invariant() {
    let storage = storage();
    let mut writer = Writer::create(&storage, ID, Mode::Buffered).unwrap();
    writer.begin_extent(1);
    writer.push(&batch(4, 2, 0, 100).bytes).unwrap();
    writer.push(&batch(4, 2, 0, 100).bytes).unwrap();
}

#[test]
fn names_are_sixteen_hex_digits() {
    assert_eq!(ID.path(), "segments/000000000000002a");
    assert_eq!(SegmentId::parse("000000000000002a"), Some(ID));
    for name in [
        "2a",
        "000000000000002A",
        "+00000000000002a",
        "000000000000002a.tmp",
        "",
    ] {
        assert_eq!(SegmentId::parse(name), None, "{name}");
    }
}

#[test]
fn a_read_uses_the_index_that_is_cached() {
    let storage = storage();
    write(&storage, &example(), Mode::Buffered, 3).unwrap();
    let cache = FooterCache::new(64 * 1024);
    let segment = Segment::open(&storage, ID, Arc::clone(&cache), BufferPool::new(0)).unwrap();
    let opened_bytes = cache.bytes();
    for extent in &*segment.extents().unwrap() {
        segment.read(extent, extent.first_offset, 1).unwrap();
    }
    assert!(cache.bytes() > opened_bytes, "indexes are read on demand");
    drop(segment);
    assert_eq!(cache.bytes(), 0);
}

fn losses() -> Losses {
    let hole = |log, first_offset, next_offset| Hole {
        log,
        first_offset,
        next_offset,
    };
    let span = |first_lsn, last_lsn| Source { first_lsn, last_lsn };
    Losses {
        holes: vec![hole(1, 0, 5), hole(1, 9, 10), hole(7, 1 << 40, (1 << 40) + 1)],
        blocks: vec![span(8, 8), span(20, 31)],
    }
}

#[test]
fn losses_are_read_back_also_without_batches() {
    let storage = storage();
    let writer = Writer::create(&storage, ID, Mode::Buffered).unwrap();
    let footer = writer.finish(SOURCE, 0, losses(), &Names::default()).unwrap();
    let segment = open(&storage).unwrap();
    assert_eq!(segment.summary(), &footer.summary);
    assert_eq!(segment.summary().losses, losses());
    assert!(segment.extents().unwrap().is_empty());
    assert!(segment.verify().is_empty());
}

/// Nothing else tells what is lost, so a segment that cannot say it is not served as if nothing were.
#[test]
fn damaged_losses_are_a_damaged_footer() {
    let storage = storage();
    let writer = Writer::create(&storage, ID, Mode::Buffered).unwrap();
    writer.finish(SOURCE, 0, losses(), &Names::default()).unwrap();
    // The footer is all that there is behind the header: extents and chunks are empty, the source is before the losses.
    let source_end = HEADER_LEN as u64 + 16;
    for position in [0, 24, 3 * 24, 3 * 24 + 31] {
        let mut image = storage.image();
        image.flip(&ID.path(), source_end + position, 0);
        let opened = open(&Recorder::from_image(image));
        assert!(
            matches!(opened.err(), Some(Error::DamagedFooter { .. })),
            "byte {position}"
        );
    }
}

use firth_batch::{Batch, Batches, Builder, Compression, crc32c};
use proptest::prelude::*;

use crate::block::{self, ENTRY_BYTES, Entry, HEADER_BYTES, Header, Incarnation, Item, NotABlock};
use crate::file::ALIGNMENT;
use crate::file::aligned::AlignedBuffer;
use crate::frame::LogId;

const INCARNATION: Incarnation = Incarnation {
    id: [0xA5; 16],
    number: 3,
    first_lsn: 40,
};

/// One batch that is appended: its log, the offsets that are skipped before it, its records and their timestamp.
#[derive(Clone, Debug)]
struct Given {
    log: u64,
    skipped: i64,
    values: Vec<Vec<u8>>,
    timestamp: i64,
}

fn given() -> impl Strategy<Value = Given> {
    let values = proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..4);
    (0..5_u64, 0..3_i64, values, 0..1_000_i64).prop_map(|(log, skipped, values, timestamp)| Given {
        log,
        skipped,
        values,
        timestamp,
    })
}

fn build(given: &Given) -> Batch {
    let mut builder = Builder::new(Compression::None);
    for value in &given.values {
        builder.push(given.timestamp, None, Some(value), &[]);
    }
    builder.build()
}

/// What the sequencer would hand over: offsets ascend within each log.
fn items(given: &[Given]) -> Vec<Item> {
    let mut next_offsets = [0; 5];
    let item = |given: &Given| {
        let next_offset = &mut next_offsets[given.log as usize];
        let base_offset = *next_offset + given.skipped;
        let batch = build(given);
        *next_offset = base_offset + given.values.len() as i64;
        Item {
            log: LogId(given.log),
            base_offset,
            leader_epoch: 7,
            batch,
        }
    };
    given.iter().map(item).collect()
}

fn assemble(items: &mut [Item]) -> (Vec<u8>, Vec<Entry>) {
    let mut buffer = AlignedBuffer::default();
    // What a buffer from the pool held before must not be seen.
    buffer.extend_from_slice(&[0xEE; 10_000]);
    let entries = block::assemble(&mut buffer, items, INCARNATION, 42, 41);
    (buffer.as_slice().to_vec(), entries)
}

/// The parts of a block that are whole: the header, then the directory, then the batches of each log.
fn parts(bytes: &[u8]) -> (Option<Header>, Option<Vec<Entry>>, Vec<LogId>) {
    let Ok(header) = block::decode_header(bytes) else {
        return (None, None, Vec::new());
    };
    let Some(entries) = block::decode_directory(&header, bytes) else {
        return (Some(header), None, Vec::new());
    };
    let whole = entries
        .iter()
        .filter(|entry| block::payload(entry, bytes).is_some());
    let whole = whole.map(|entry| entry.log).collect();
    (Some(header), Some(entries), whole)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_block_gives_back_what_was_put_in(given in proptest::collection::vec(given(), 0..12)) {
        let mut assembled = items(&given);
        let batch_bytes: usize = assembled.iter().map(|item| item.batch.len()).sum();
        let (bytes, written) = assemble(&mut assembled);
        let header = block::decode_header(&bytes).unwrap();
        prop_assert_eq!(header.incarnation, INCARNATION);
        prop_assert_eq!((header.lsn, header.durable_lsn), (42, 41));
        prop_assert_eq!(bytes.len(), block::padded(header.total_bytes as usize));
        prop_assert!(bytes[header.total_bytes as usize..].iter().all(|byte| *byte == 0));
        let bound = block::padded(block::bytes_bound(given.len(), batch_bytes));
        prop_assert_eq!(header.file_bytes as usize, bound);
        prop_assert!(bound >= bytes.len() && bound.is_multiple_of(ALIGNMENT));

        let entries = block::decode_directory(&header, &bytes).unwrap();
        prop_assert_eq!(&entries, &written);
        prop_assert!(entries.windows(2).all(|pair| pair[0].log < pair[1].log));
        let mut expected = items(&given);
        for entry in &entries {
            let slice = block::payload(entry, &bytes).unwrap();
            prop_assert_eq!(slice, block::slice(entry, &bytes));
            let (of_log, others) = expected.into_iter().partition(|item| item.log == entry.log);
            check_slice(entry, slice, of_log)?;
            expected = others;
        }
        prop_assert!(expected.is_empty());
    }

    #[test]
    fn a_flipped_bit_is_noticed_and_costs_no_more_than_its_part(
        given in proptest::collection::vec(given(), 1..6),
        positions in proptest::collection::vec((any::<proptest::sample::Index>(), 0..8_u32), 1..40),
    ) {
        let (bytes, entries) = assemble(&mut items(&given));
        let directory_end = HEADER_BYTES + entries.len() * ENTRY_BYTES;
        let total_bytes = block::decode_header(&bytes).unwrap().total_bytes as usize;
        // Headers are few among so many bytes, so half of the flips are there.
        for (nth, (position, bit)) in positions.iter().enumerate() {
            let position = position.index(if nth % 2 == 0 { directory_end } else { total_bytes });
            let mut damaged = bytes.clone();
            damaged[position] ^= 1 << bit;
            let (header, directory, whole) = parts(&damaged);
            prop_assert_eq!(header.is_some(), position >= HEADER_BYTES, "byte {}", position);
            prop_assert_eq!(directory.is_some(), position >= directory_end, "byte {}", position);
            if let Some(directory) = directory {
                let hit = |entry: &&Entry| {
                    (entry.position as usize..(entry.position + entry.length) as usize).contains(&position)
                };
                let spared: Vec<LogId> = directory.iter().filter(|entry| !hit(entry)).map(|entry| entry.log).collect();
                prop_assert_eq!(whole, spared, "byte {}", position);
                prop_assert_eq!(directory.iter().filter(hit).count(), 1);
            }
        }
    }

    /// Sizes are believed only where they are bounded, so that a header alone never makes anybody reserve memory.
    #[test]
    fn what_a_header_says_is_bounded(fields in proptest::collection::vec(any::<u64>(), 8), shift in 0..64_u32) {
        let (mut bytes, _) = assemble(&mut []);
        for (field, out) in fields.iter().zip(bytes[12..76].chunks_exact_mut(8)) {
            out.copy_from_slice(&(field >> shift).to_le_bytes());
        }
        let checksum = crc32c(&bytes[..76]);
        bytes[76..80].copy_from_slice(&checksum.to_le_bytes());
        if let Ok(header) = block::decode_header(&bytes) {
            prop_assert!(header.total_bytes <= header.file_bytes);
            prop_assert!(header.file_bytes as usize <= block::BLOCK_BYTES_MAX);
            prop_assert!(HEADER_BYTES + header.entry_count as usize * ENTRY_BYTES <= header.total_bytes as usize);
            prop_assert!(header.durable_lsn < header.lsn && header.incarnation.first_lsn <= header.lsn);
            prop_assert!(header.lsn <= 1 << 62);
            block::decode_directory(&header, &bytes);
        }
    }
}

/// The batches as they came, but for their base offsets and leader epochs.
fn check_slice(entry: &Entry, slice: &[u8], items: Vec<Item>) -> Result<(), TestCaseError> {
    prop_assert_eq!(entry.first_offset, items[0].base_offset);
    let mut next_offset = 0;
    let mut walk = Batches::new(slice);
    for item in &items {
        let (header, bytes) = walk.next().unwrap().unwrap();
        prop_assert_eq!(header.base_offset, item.base_offset);
        prop_assert_eq!(header.partition_leader_epoch, 7);
        prop_assert_eq!(&bytes[16..], &item.batch.bytes()[16..]);
        next_offset = header.next_offset();
    }
    prop_assert!(walk.next().is_none());
    prop_assert_eq!(entry.next_offset, next_offset);
    let timestamps = items.iter().map(|item| item.batch.header().max_timestamp);
    prop_assert_eq!(Some(entry.max_timestamp), timestamps.max());
    Ok(())
}

/// Every byte of a block, as docs/formats.md describes it.
#[test]
fn a_block_of_version_1_looks_like_this() {
    let given = Given {
        log: 2,
        skipped: 5,
        values: vec![b"v".to_vec()],
        timestamp: 1000,
    };
    let (bytes, _) = assemble(&mut items(std::slice::from_ref(&given)));
    let mut batch = build(&given).bytes().to_vec();
    firth_batch::assign(&mut batch, 5, 7);

    let mut directory = Vec::new();
    directory.extend_from_slice(&2_u64.to_le_bytes());
    directory.extend_from_slice(&5_i64.to_le_bytes());
    directory.extend_from_slice(&6_i64.to_le_bytes());
    directory.extend_from_slice(&1000_i64.to_le_bytes());
    directory.extend_from_slice(&128_u32.to_le_bytes());
    directory.extend_from_slice(&(batch.len() as u32).to_le_bytes());
    directory.extend_from_slice(&crc32c(&batch).to_le_bytes());
    directory.extend_from_slice(&[0; 4]);

    let mut expected = b"FIRTHBLK".to_vec();
    expected.extend_from_slice(&1_u32.to_le_bytes());
    expected.extend_from_slice(&(128 + batch.len() as u32).to_le_bytes());
    expected.extend_from_slice(&[0xA5; 16]);
    for field in [3_u64, 40, 42, 41] {
        expected.extend_from_slice(&field.to_le_bytes());
    }
    for field in [1, crc32c(&directory), 4096] {
        expected.extend_from_slice(&field.to_le_bytes());
    }
    expected.extend_from_slice(&crc32c(&expected).to_le_bytes());
    assert_eq!(expected.len(), 80);
    expected.extend_from_slice(&directory);
    expected.extend_from_slice(&batch);
    expected.resize(4096, 0);
    assert_eq!(bytes, expected);
}

#[test]
fn a_block_of_another_version_is_told_from_no_block() {
    let (bytes, _) = assemble(&mut []);
    let with_version = |version: u32| {
        let mut bytes = bytes.clone();
        bytes[8..12].copy_from_slice(&version.to_le_bytes());
        let checksum = crc32c(&bytes[..76]);
        bytes[76..80].copy_from_slice(&checksum.to_le_bytes());
        block::decode_header(&bytes)
    };
    assert!(with_version(1).is_ok());
    assert_eq!(with_version(2), Err(NotABlock::Version(2)));
    assert_eq!(block::decode_header(&[0; 4096]), Err(NotABlock::Absent));
    assert_eq!(block::decode_header(&bytes[..79]), Err(NotABlock::Absent));
}

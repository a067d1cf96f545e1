//! Reading any bytes as a commit block: what it holds lies within it, and so do the engine's own records. Done once as it is
//! and once with checksums that match, which hardly any mutation has.

use firth_batch::crc32c;
use firth_log::LogId;
use firth_log::fuzzing;

const HEADER_BYTES: usize = 80;
const ENTRY_BYTES: usize = 48;

pub fn run(bytes: &[u8]) {
    read(bytes);
    read(&forged(bytes));
    if let Some(encoded) = fuzzing::windows(bytes) {
        let again = fuzzing::windows(&encoded);
        assert_eq!(again.as_ref(), Some(&encoded));
        assert!(encoded.len() <= bytes.len());
    }
}

fn read(bytes: &[u8]) {
    let Some((total_bytes, slices)) = fuzzing::block(bytes) else {
        return;
    };
    assert!(total_bytes <= 40 * 1024 * 1024, "a block has a limit");
    assert!(HEADER_BYTES + slices.len() * ENTRY_BYTES <= total_bytes);
    for slice in slices {
        assert!(0 <= slice.first_offset && slice.first_offset < slice.next_offset);
        let Some(batches) = slice.batches else { continue };
        assert!(batches.len() <= total_bytes.min(bytes.len()));
        if slice.log == LogId::META {
            let records = fuzzing::meta_records(batches).unwrap_or(0);
            assert!(records <= batches.len());
        }
    }
}

/// The bytes as a block of version 1 with every checksum made right: of each slice, of the directory, of the header. See
/// docs/formats.md for the positions.
pub(crate) fn forged(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if bytes.len() < HEADER_BYTES {
        return bytes;
    }
    let count = (field(&bytes, 64) as usize).min((bytes.len() - HEADER_BYTES) / ENTRY_BYTES);
    let directory = HEADER_BYTES..HEADER_BYTES + count * ENTRY_BYTES;
    for entry in directory.clone().step_by(ENTRY_BYTES) {
        let start = field(&bytes, entry + 32) as usize;
        let end = start.saturating_add(field(&bytes, entry + 36) as usize);
        if let Some(checksum) = bytes.get(start..end).map(crc32c) {
            bytes[entry + 40..entry + 44].copy_from_slice(&checksum.to_le_bytes());
        }
    }
    let checksum = crc32c(&bytes[directory]);
    bytes[68..72].copy_from_slice(&checksum.to_le_bytes());
    bytes[..8].copy_from_slice(b"FIRTHBLK");
    let checksum = crc32c(&bytes[..76]);
    bytes[76..80].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

fn field(bytes: &[u8], at: usize) -> u32 {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk());
    field.map_or(0, |field| u32::from_le_bytes(*field))
}

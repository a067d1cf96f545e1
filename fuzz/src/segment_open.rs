//! Opening any bytes as a segment and reading all of it: what is read are batches of the file, and no read is longer than
//! the file. Done once as it is and once with checksums that match, which hardly any mutation has.

use bytes::Bytes;
use firth_batch::{Batches, crc32c};
use firth_log::file::aligned::BufferPool;
use firth_log::file::recorder::{Image, Recorder};
use firth_log::segment::{Extent, FooterCache, Segment, SegmentId};

const ID: SegmentId = SegmentId(1);

pub fn run(bytes: &[u8]) {
    read(bytes);
    read(&forged(bytes));
}

fn read(bytes: &[u8]) {
    let mut image = Image::default();
    image.insert(&ID.path(), bytes);
    let cache = FooterCache::new(4096);
    let Ok(segment) = Segment::open(&Recorder::from_image(image), ID, cache, BufferPool::new(0)) else {
        return;
    };
    segment.verify();
    let producers = segment.producers().unwrap_or_default();
    assert!(producers.iter().map(|(_, windows)| windows.len()).sum::<usize>() <= bytes.len());
    for extent in &*segment.extents().unwrap_or_default() {
        let position = usize::try_from(extent.position).expect("an extent lies within the file");
        let length = usize::try_from(extent.length).expect("an extent lies within the file");
        read_extent(&segment, extent, &bytes[position..position + length]);
        for timestamp in [i64::MIN, 0, extent.max_timestamp, i64::MAX] {
            if let Ok(Some(batch)) = segment.find(extent, timestamp) {
                let (header, found) = Batches::new(&batch)
                    .next()
                    .expect("a batch")
                    .expect("a whole one");
                assert!(header.max_timestamp >= timestamp && found.len() == batch.len());
            }
        }
    }
}

fn read_extent(segment: &Segment, extent: &Extent, content: &[u8]) {
    for from_offset in [
        i64::MIN,
        extent.first_offset,
        extent.next_offset.saturating_sub(1),
        i64::MAX,
    ] {
        for max_bytes in [0, 300, usize::MAX] {
            let batches: Bytes = segment.read(extent, from_offset, max_bytes).unwrap_or_default();
            assert!(batches.is_empty() || content.windows(batches.len()).any(|part| part == batches));
            if let Some(Ok((header, first))) = Batches::new(&batches).next() {
                assert!(header.next_offset() > from_offset);
                assert!(batches.len() <= max_bytes || batches.len() == first.len());
            }
        }
    }
}

/// The bytes with every checksum made right: of each chunk, of each extent's index, of each section, of the header.
/// See docs/formats.md for the positions.
pub(crate) fn forged(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let (extents, mut chunk) = (field(&bytes, 40), field(&bytes, 64));
    for extent in (0..4).map(|nth| extents.saturating_add(nth * 60)) {
        let end =
            field(&bytes, extent.saturating_add(24)).saturating_add(field(&bytes, extent.saturating_add(32)));
        let count = field(&bytes, extent.saturating_add(52)) & 0xff;
        let index = chunk..chunk.saturating_add(count * 28).min(bytes.len());
        for at in index.clone().step_by(28) {
            let last = at + 2 * 28 > index.end;
            let chunk_end = if last { end } else { field(&bytes, at + 28 + 8) };
            let chunk_start = field(&bytes, at + 8);
            set_checksum(&mut bytes, at + 24, chunk_start..chunk_end);
        }
        chunk = index.end.max(chunk);
        set_checksum(&mut bytes, extent.saturating_add(56), index);
    }
    for section in (0..4).map(|nth| 32 + nth * 24) {
        let position = field(&bytes, section + 8);
        let length = field(&bytes, section + 16);
        set_checksum(&mut bytes, section + 4, position..position.saturating_add(length));
    }
    set_checksum(&mut bytes, 508, 0..508);
    bytes
}

fn field(bytes: &[u8], at: usize) -> usize {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk());
    usize::try_from(field.map_or(0, |field| u64::from_le_bytes(*field))).unwrap_or(usize::MAX)
}

fn set_checksum(bytes: &mut [u8], at: usize, covered: std::ops::Range<usize>) {
    let Some(checksum) = bytes.get(covered).map(crc32c) else {
        return;
    };
    if let Some(place) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *place = checksum.to_le_bytes();
    }
}

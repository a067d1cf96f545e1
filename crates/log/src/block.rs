//! The commit block: what one flush makes durable, laid out like a small segment.
//!
//! All integers are little-endian. A block starts and ends on a multiple of 4 KiB.
//!
//! ```text
//! 0    magic            8  "FIRTHBLK"
//! 8    version          u32
//! 12   total_bytes      u32   header, directory and payload, without the padding
//! 16   incarnation      16    random, drawn each time the WAL is opened for writing
//! 32   number           u64   of the incarnation, ascending
//! 40   first_lsn        u64   of the incarnation: blocks of older ones from there on are void
//! 48   lsn              u64
//! 56   durable_lsn      u64   what was known to be durable when this block was submitted
//! 64   entry_count      u32
//! 68   directory_crc    u32   CRC-32C of the directory
//! 72   file_bytes       u32   what the block takes in the file; the next one follows
//! 76   header_crc       u32   CRC-32C of bytes 0..76
//! 80   directory        48 each, ascending by log, each log once:
//!        log u64, first_offset i64, next_offset i64, max_timestamp i64, position u32, length u32, crc u32, zero u32
//! ...  payload          each entry's batches, whole and in order of their offsets, at `position` from the block's start
//! ```
//!
//! A block without entries carries its `durable_lsn` alone.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

use firth_batch::{Batch, Crc32c, assign, crc32c};

use crate::file::ALIGNMENT;
use crate::file::aligned::AlignedBuffer;
use crate::frame::{FRAME_BYTES_MAX, LogId};
use crate::producers::Reader;

pub(crate) const MAGIC: [u8; 8] = *b"FIRTHBLK";
pub(crate) const VERSION: u32 = 1;
pub(crate) const HEADER_BYTES: usize = 80;
pub(crate) const ENTRY_BYTES: usize = 48;
/// No LSN, log id or incarnation is larger: what is added to one does not overflow.
pub(crate) const NUMBER_MAX: u64 = 1 << 62;
/// A frame, with room for its directory.
pub(crate) const BLOCK_BYTES_MAX: usize = FRAME_BYTES_MAX + 8 * 1024 * 1024;

/// Who wrote a block: one opening of the WAL for writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Incarnation {
    /// 128 random bits, so that no payload can pass for a block.
    pub(crate) id: [u8; 16],
    pub(crate) number: u64,
    pub(crate) first_lsn: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) incarnation: Incarnation,
    pub(crate) lsn: u64,
    pub(crate) durable_lsn: u64,
    pub(crate) total_bytes: u32,
    pub(crate) entry_count: u32,
    pub(crate) directory_crc: u32,
    pub(crate) file_bytes: u32,
}

/// One log's batches in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) log: LogId,
    pub(crate) first_offset: i64,
    pub(crate) next_offset: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) position: u32,
    pub(crate) length: u32,
    pub(crate) crc: u32,
}

/// A batch with its final offset, waiting to be written.
pub(crate) struct Item {
    pub(crate) log: LogId,
    pub(crate) base_offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) batch: Batch,
}

/// The bytes that a block takes in the file.
pub(crate) fn padded(total_bytes: usize) -> usize {
    total_bytes.next_multiple_of(ALIGNMENT)
}

/// An upper bound for the unpadded size of a block of these items.
pub(crate) fn bytes_bound(item_count: usize, batch_bytes: usize) -> usize {
    HEADER_BYTES + item_count * ENTRY_BYTES + batch_bytes
}

/// Lays a block out in `buffer`: items sorted by log, offsets and epochs patched, checksums made.
///
/// `items` keep their order within a log, which is the order of their offsets.
#[expect(
    clippy::indexing_slicing,
    reason = "the buffer was made for what is put there"
)]
pub(crate) fn assemble(
    buffer: &mut AlignedBuffer,
    items: &mut [Item],
    incarnation: Incarnation,
    lsn: u64,
    durable_lsn: u64,
) -> Vec<Entry> {
    let file_bytes = padded(bytes_bound(
        items.len(),
        items.iter().map(|item| item.batch.len()).sum(),
    ));
    items.sort_by_key(|item| item.log);
    let groups = || items.chunk_by(|a, b| a.log == b.log);
    let directory_bytes = groups().count() * ENTRY_BYTES;
    buffer.clear();
    buffer.resize_for_overwrite(HEADER_BYTES + directory_bytes);
    let mut entries = Vec::with_capacity(directory_bytes / ENTRY_BYTES);
    for group in groups() {
        entries.push(append_group(buffer, group));
    }
    let total_bytes = buffer.len();
    buffer.resize_zeroed(padded(total_bytes));

    let bytes = buffer.as_mut_slice();
    for (entry, out) in entries
        .iter()
        .zip(bytes[HEADER_BYTES..].chunks_exact_mut(ENTRY_BYTES))
    {
        encode_entry(entry, out);
    }
    let header = Header {
        incarnation,
        lsn,
        durable_lsn,
        total_bytes: total_bytes as u32,
        entry_count: entries.len() as u32,
        directory_crc: crc32c(&bytes[HEADER_BYTES..HEADER_BYTES + directory_bytes]),
        file_bytes: file_bytes as u32,
    };
    encode_header(&header, bytes);
    entries
}

#[expect(
    clippy::indexing_slicing,
    reason = "a group has an item, and the buffer what was just put there"
)]
fn append_group(buffer: &mut AlignedBuffer, group: &[Item]) -> Entry {
    let position = buffer.len();
    let mut next_offset = 0;
    let mut max_timestamp = i64::MIN;
    let mut crc = Crc32c::new();
    for item in group {
        let at = buffer.len();
        buffer.extend_from_slice(item.batch.bytes());
        let batch = &mut buffer.as_mut_slice()[at..];
        assign(batch, item.base_offset, item.leader_epoch);
        crc.update_batch(batch);
        next_offset = item.base_offset + i64::from(item.batch.header().last_offset_delta) + 1;
        max_timestamp = max_timestamp.max(item.batch.header().max_timestamp);
    }
    Entry {
        log: group[0].log,
        first_offset: group[0].base_offset,
        next_offset,
        max_timestamp,
        position: position as u32,
        length: (buffer.len() - position) as u32,
        crc: crc.value(),
    }
}

#[expect(clippy::indexing_slicing, reason = "the buffer begins with a header's room")]
fn encode_header(header: &Header, out: &mut [u8]) {
    out[0..8].copy_from_slice(&MAGIC);
    out[8..12].copy_from_slice(&VERSION.to_le_bytes());
    out[12..16].copy_from_slice(&header.total_bytes.to_le_bytes());
    out[16..32].copy_from_slice(&header.incarnation.id);
    out[32..40].copy_from_slice(&header.incarnation.number.to_le_bytes());
    out[40..48].copy_from_slice(&header.incarnation.first_lsn.to_le_bytes());
    out[48..56].copy_from_slice(&header.lsn.to_le_bytes());
    out[56..64].copy_from_slice(&header.durable_lsn.to_le_bytes());
    out[64..68].copy_from_slice(&header.entry_count.to_le_bytes());
    out[68..72].copy_from_slice(&header.directory_crc.to_le_bytes());
    out[72..76].copy_from_slice(&header.file_bytes.to_le_bytes());
    let crc = crc32c(&out[..76]);
    out[76..80].copy_from_slice(&crc.to_le_bytes());
}

#[expect(clippy::indexing_slicing, reason = "the chunk is of an entry's size")]
fn encode_entry(entry: &Entry, out: &mut [u8]) {
    out[0..8].copy_from_slice(&entry.log.0.to_le_bytes());
    out[8..16].copy_from_slice(&entry.first_offset.to_le_bytes());
    out[16..24].copy_from_slice(&entry.next_offset.to_le_bytes());
    out[24..32].copy_from_slice(&entry.max_timestamp.to_le_bytes());
    out[32..36].copy_from_slice(&entry.position.to_le_bytes());
    out[36..40].copy_from_slice(&entry.length.to_le_bytes());
    out[40..44].copy_from_slice(&entry.crc.to_le_bytes());
    out[44..48].fill(0);
}

/// Why bytes are not a block's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotABlock {
    /// No block was written here, or its header was damaged.
    Absent,
    /// A block of a format that this version does not know.
    Version(u32),
}

/// Reads a header. What it says about sizes is bounded, but the payload is not verified.
pub(crate) fn decode_header(bytes: &[u8]) -> Result<Header, NotABlock> {
    decode_checked(bytes).ok_or(NotABlock::Absent)?
}

fn decode_checked(bytes: &[u8]) -> Option<Result<Header, NotABlock>> {
    let bytes = bytes.get(..HEADER_BYTES)?;
    let (checked, crc) = bytes.split_at_checked(76)?;
    if checked.get(..8)? != MAGIC || crc.get(..4)? != crc32c(checked).to_le_bytes() {
        return None;
    }
    let mut fields = Reader {
        bytes: checked.get(8..)?,
    };
    let version = u32::from_le_bytes(fields.take()?);
    if version != VERSION {
        return Some(Err(NotABlock::Version(version)));
    }
    let total_bytes = u32::from_le_bytes(fields.take()?);
    let header = Header {
        total_bytes,
        incarnation: Incarnation {
            id: fields.take()?,
            number: u64::from_le_bytes(fields.take()?),
            first_lsn: u64::from_le_bytes(fields.take()?),
        },
        lsn: u64::from_le_bytes(fields.take()?),
        durable_lsn: u64::from_le_bytes(fields.take()?),
        entry_count: u32::from_le_bytes(fields.take()?),
        directory_crc: u32::from_le_bytes(fields.take()?),
        file_bytes: u32::from_le_bytes(fields.take()?),
    };
    let directory = (header.entry_count as usize)
        .checked_mul(ENTRY_BYTES)?
        .checked_add(HEADER_BYTES)?;
    let bounded = directory <= total_bytes as usize
        && total_bytes <= header.file_bytes
        && header.file_bytes as usize <= BLOCK_BYTES_MAX
        && (header.file_bytes as usize).is_multiple_of(ALIGNMENT);
    let numbered = header.durable_lsn < header.lsn
        && header.incarnation.first_lsn <= header.lsn
        && header.lsn <= NUMBER_MAX
        && header.incarnation.number <= NUMBER_MAX;
    (bounded && numbered).then_some(Ok(header))
}

/// Reads the directory of a block whose bytes these are. `None` where it is damaged.
pub(crate) fn decode_directory(header: &Header, bytes: &[u8]) -> Option<Vec<Entry>> {
    let directory = bytes.get(HEADER_BYTES..HEADER_BYTES + header.entry_count as usize * ENTRY_BYTES)?;
    if crc32c(directory) != header.directory_crc {
        return None;
    }
    directory
        .chunks_exact(ENTRY_BYTES)
        .map(|entry| decode_entry(header, entry))
        .collect()
}

fn decode_entry(header: &Header, bytes: &[u8]) -> Option<Entry> {
    let mut fields = Reader { bytes };
    let entry = Entry {
        log: LogId(u64::from_le_bytes(fields.take()?)),
        first_offset: i64::from_le_bytes(fields.take()?),
        next_offset: i64::from_le_bytes(fields.take()?),
        max_timestamp: i64::from_le_bytes(fields.take()?),
        position: u32::from_le_bytes(fields.take()?),
        length: u32::from_le_bytes(fields.take()?),
        crc: u32::from_le_bytes(fields.take()?),
    };
    let end = entry.position.checked_add(entry.length)?;
    let bounded = end <= header.total_bytes
        && (0..entry.next_offset).contains(&entry.first_offset)
        && entry.log.0 <= NUMBER_MAX;
    bounded.then_some(entry)
}

/// The entry's batches in a block that is known to be as it was written.
#[expect(
    clippy::indexing_slicing,
    reason = "the block is known to be as it was written"
)]
pub(crate) fn slice<'a>(entry: &Entry, block: &'a [u8]) -> &'a [u8] {
    &block[entry.position as usize..(entry.position + entry.length) as usize]
}

/// The entry's batches, where their checksum is right.
pub(crate) fn payload<'a>(entry: &Entry, block: &'a [u8]) -> Option<&'a [u8]> {
    let slice =
        block.get(entry.position as usize..(entry.position as usize).checked_add(entry.length as usize)?)?;
    (crc32c(slice) == entry.crc).then_some(slice)
}

//! The header block of a segment.
//!
//! ```text
//! position  size
//!        0     8  magic "FIRTHSEG"
//!        8     4  format version
//!       12     4  number of sections
//!       16     8  segment id, as in the file's name
//!       24     8  length of the segment, this block and the padding at the end included
//!       32  n*24  sections, in the order of their positions, of which each has:
//!                     0  4  type (sections.rs)
//!                     4  4  CRC32C of the section's bytes
//!                     8  8  position in the file
//!                    16  8  length
//!      ...        zeros
//!      508     4  CRC32C of the 508 bytes before
//!      512        zeros to the end of the block
//! ```
//!
//! The magic, the format version and the checksum keep their place in every version. All of it lies in the first
//! sector, which a disk writes at once or not at all, so a power failure leaves the header or what was there before.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

use bytes::{Buf, BufMut};
use firth_batch::crc32c;

use super::{Error, FORMAT_VERSION, FORMAT_VERSION_MIN, SegmentId};

/// Length of the header block, and position of the first extent.
pub(super) const HEADER_LEN: usize = 4096;

const MAGIC: &[u8; 8] = b"FIRTHSEG";
const SECTOR_LEN: usize = 512;
const CHECKSUM_POSITION: usize = SECTOR_LEN - 4;
const SECTIONS_POSITION: usize = 32;
const SECTION_LEN: usize = 24;
const SECTIONS_MAX: usize = (CHECKSUM_POSITION - SECTIONS_POSITION) / SECTION_LEN;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) version: u32,
    pub(super) id: SegmentId,
    pub(super) length: u64,
    pub(super) sections: Vec<Section>,
}

/// Where the body of one section is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) kind: u32,
    pub(super) crc32c: u32,
    pub(super) position: u64,
    pub(super) length: u64,
}

impl Section {
    /// Position of the first byte behind it; `None` if that is no position in any file.
    pub(super) fn end(&self) -> Option<u64> {
        self.position.checked_add(self.length)
    }
}

impl Header {
    pub(super) fn section(&self, kind: u32) -> Option<Section> {
        let mut sections = self.sections.iter();
        sections.find(|section| section.kind == kind).copied()
    }

    /// Fills `block`, which has [`HEADER_LEN`] bytes.
    pub(super) fn encode(&self, block: &mut [u8]) {
        assert!(block.len() == HEADER_LEN && self.sections.len() <= SECTIONS_MAX);
        block.fill(0);
        let (covered, mut checksum) = block.split_at_mut(CHECKSUM_POSITION);
        let mut fields = &mut *covered;
        fields.put_slice(MAGIC);
        fields.put_u32_le(self.version);
        fields.put_u32_le(self.sections.len() as u32);
        fields.put_u64_le(self.id.0);
        fields.put_u64_le(self.length);
        for section in &self.sections {
            fields.put_u32_le(section.kind);
            fields.put_u32_le(section.crc32c);
            fields.put_u64_le(section.position);
            fields.put_u64_le(section.length);
        }
        checksum.put_u32_le(crc32c(covered));
    }

    /// Reads the header of `segment` from its first [`HEADER_LEN`] bytes; `file_length` bounds what it may name.
    pub(super) fn decode(segment: SegmentId, block: &[u8], file_length: u64) -> Result<Header, Error> {
        let damaged = |what| Error::DamagedFooter { segment, what };
        let Some((mut fields, mut checksum)) = block.split_at_checked(CHECKSUM_POSITION) else {
            return Err(Error::Unfinished { segment });
        };
        if fields.iter().all(|&byte| byte == 0) {
            return Err(Error::Unfinished { segment });
        }
        if !fields.starts_with(MAGIC) {
            return Err(damaged("the header does not begin with FIRTHSEG"));
        }
        if checksum.try_get_u32_le() != Ok(crc32c(fields)) {
            return Err(damaged("the header's checksum does not match"));
        }
        fields.advance(MAGIC.len());
        let version = fields
            .try_get_u32_le()
            .map_err(|_| damaged("the header is short"))?;
        if !(FORMAT_VERSION_MIN..=FORMAT_VERSION).contains(&version) {
            return Err(Error::UnsupportedVersion { segment, version });
        }
        let header = Self::decode_fields(version, fields).ok_or(damaged("the header is malformed"))?;
        if header.id != segment {
            return Err(damaged("the header names another segment"));
        }
        if header.length > file_length {
            return Err(damaged("the file is shorter than its header says"));
        }
        if !header.sections_are_in_order() {
            return Err(damaged("the sections overlap or lie outside of the segment"));
        }
        Ok(header)
    }

    fn decode_fields(version: u32, mut fields: &[u8]) -> Option<Header> {
        let section_count = usize::try_from(fields.try_get_u32_le().ok()?).ok()?;
        let id = SegmentId(fields.try_get_u64_le().ok()?);
        let length = fields.try_get_u64_le().ok()?;
        if section_count > SECTIONS_MAX {
            return None;
        }
        let mut sections = Vec::with_capacity(section_count);
        for _ in 0..section_count {
            sections.push(Section {
                kind: fields.try_get_u32_le().ok()?,
                crc32c: fields.try_get_u32_le().ok()?,
                position: fields.try_get_u64_le().ok()?,
                length: fields.try_get_u64_le().ok()?,
            });
        }
        Some(Header {
            version,
            id,
            length,
            sections,
        })
    }

    fn sections_are_in_order(&self) -> bool {
        let mut free_from = HEADER_LEN as u64;
        for section in &self.sections {
            match section.end() {
                Some(end) if section.position >= free_from && end <= self.length => free_from = end,
                _ => return false,
            }
        }
        true
    }
}

//! Where in a data directory which structure lies, as docs/formats.md has it and the files themselves say. It reads what
//! the engine wrote and nobody damaged yet.

use std::ops::Range;

use firth_batch::crc32c;
use firth_log::LogId;
use firth_log::file::recorder::Image;

const BLOCK_ALIGNMENT: usize = 4096;
const BLOCK_HEADER_BYTES: usize = 80;
const BLOCK_ENTRY_BYTES: usize = 48;
const SEGMENT_HEADER_BYTES: usize = 512;
const SEGMENT_SECTION_BYTES: usize = 24;
const EXTENT_BYTES: usize = 68;
const CHUNK_BYTES: usize = 28;

/// The sections of a segment's footer, by their types.
const SECTIONS: [(u32, &str); 7] = [
    (1, "segment: EXTENTS"),
    (2, "segment: CHUNKS"),
    (3, "segment: PRODUCERS"),
    (4, "segment: SOURCE"),
    (5, "segment: HOLES"),
    (6, "segment: LOST_BLOCKS"),
    (7, "segment: GENERATION"),
];

/// Bytes of a file that belong to one structure.
#[derive(Clone, Debug)]
pub(crate) struct Stretch {
    pub(crate) structure: &'static str,
    pub(crate) path: String,
    pub(crate) bytes: Range<u64>,
    /// Where it is of one extent of a segment alone: the log, and behind which offset the extent ends.
    pub(crate) extent: Option<(LogId, i64)>,
}

/// What belongs to one structure, and to one extent.
type Part = (&'static str, Range<usize>, Option<(LogId, i64)>);

/// A commit block, by the positions in its file.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) path: String,
    pub(crate) lsn: u64,
    pub(crate) position: usize,
    pub(crate) directory: Range<usize>,
    pub(crate) payload: Range<usize>,
    /// Where the next one follows.
    pub(crate) end: usize,
    incarnation: [u8; 16],
}

/// All bytes of WAL, segments and catalog.
pub(crate) fn stretches(image: &Image) -> Vec<Stretch> {
    let mut found = Vec::new();
    for path in image.files() {
        let bytes = image.read(path).expect("a file of the image");
        let parts = if path.starts_with("wal/") {
            of_wal(path, &bytes)
        } else if path.starts_with("segments/") {
            of_segment(&bytes)
        } else if path == "catalog" {
            vec![("catalog", 0..bytes.len(), None)]
        } else {
            Vec::new()
        };
        let stretches = parts.into_iter().filter(|(_, bytes, _)| !bytes.is_empty());
        found.extend(stretches.map(|(structure, bytes, extent)| Stretch {
            structure,
            path: path.to_owned(),
            bytes: bytes.start as u64..bytes.end as u64,
            extent,
        }));
    }
    found
}

/// The blocks of which nothing has been written over, in the order of their LSNs.
pub(crate) fn blocks(image: &Image) -> Vec<Block> {
    let files = image.files().filter(|path| path.starts_with("wal/"));
    let mut blocks: Vec<Block> = files
        .flat_map(|path| blocks_of(path, &image.read(path).expect("a file of the image")))
        .collect();
    blocks.sort_by_key(|block| block.lsn);
    blocks
}

/// The last LSN that a segment holds.
pub(crate) fn sealed_lsn(image: &Image) -> u64 {
    let source = |stretch: &Stretch| {
        let bytes = image.read(&stretch.path).expect("a file of the image");
        u64_at(&bytes, stretch.bytes.start as usize + 8)
    };
    let stretches = stretches(image);
    let sources = stretches
        .iter()
        .filter(|stretch| stretch.structure == "segment: SOURCE");
    sources.map(source).max().unwrap_or(0)
}

fn of_wal(path: &str, bytes: &[u8]) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut at = 0;
    for block in blocks_of(path, bytes) {
        parts.push(("wal: block header", block.position..block.directory.start, None));
        parts.push(("wal: block directory", block.directory.clone(), None));
        parts.push(("wal: payload", block.payload.clone(), None));
        parts.push(("wal: behind a block", block.payload.end..block.end, None));
        at = block.end;
    }
    parts.push(("wal: behind the blocks", at..bytes.len(), None));
    parts
}

/// The blocks of the first one's incarnation, for as long as their LSNs ascend.
fn blocks_of(path: &str, bytes: &[u8]) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut at = 0;
    while let Some(block) = block_at(path, bytes, at) {
        let follows = |last: &Block| last.incarnation == block.incarnation && last.lsn < block.lsn;
        if !blocks.last().is_none_or(follows) {
            break;
        }
        at = block.end;
        blocks.push(block);
    }
    blocks
}

fn block_at(path: &str, bytes: &[u8], at: usize) -> Option<Block> {
    let header = bytes.get(at..at + BLOCK_HEADER_BYTES)?;
    if !header.starts_with(b"FIRTHBLK") || crc32c(&header[..76]) != u32_at(header, 76) {
        return None;
    }
    let payload_at = at + BLOCK_HEADER_BYTES + u32_at(header, 64) as usize * BLOCK_ENTRY_BYTES;
    let end = at + u32_at(header, 72) as usize;
    assert!(
        end > at && end.is_multiple_of(BLOCK_ALIGNMENT),
        "{path}: a block at {at} ends at {end}"
    );
    Some(Block {
        path: path.to_owned(),
        lsn: u64_at(header, 48),
        position: at,
        directory: at + BLOCK_HEADER_BYTES..payload_at,
        payload: payload_at..at + u32_at(header, 12) as usize,
        end,
        incarnation: header[16..32].try_into().expect("16 bytes"),
    })
}

fn of_segment(bytes: &[u8]) -> Vec<Part> {
    let count = u32_at(bytes, 12) as usize;
    let headers = (0..count).map(|nth| SEGMENT_SECTION_BYTES * nth + 32);
    let sections = headers.map(|header| {
        let position = u64_at(bytes, header + 8) as usize;
        let section = position..position + u64_at(bytes, header + 16) as usize;
        (u32_at(bytes, header), section)
    });
    let sections: Vec<_> = sections.collect();
    let (_, extents) = &sections[0];
    let end = sections.last().map_or(bytes.len(), |(_, section)| section.end);
    let mut parts = vec![
        ("segment: header", 0..SEGMENT_HEADER_BYTES, None),
        (
            "segment: behind the header",
            SEGMENT_HEADER_BYTES..BLOCK_ALIGNMENT,
            None,
        ),
    ];
    for (kind, section) in &sections {
        let known = SECTIONS.iter().find(|(known, _)| known == kind);
        let (_, structure) = known.expect("a section that docs/formats.md describes");
        if *structure == "segment: CHUNKS" {
            parts.extend(of_extents(bytes, extents.clone(), section.start));
        } else {
            parts.push((structure, section.clone(), None));
        }
    }
    parts.push(("segment: behind the footer", end..bytes.len(), None));
    parts
}

/// The batches of each extent, and its entries in CHUNKS.
fn of_extents(bytes: &[u8], extents: Range<usize>, mut chunks_at: usize) -> Vec<Part> {
    let mut parts = Vec::new();
    for entry in extents.step_by(EXTENT_BYTES) {
        let log = LogId(u64_at(bytes, entry));
        let extent = Some((log, u64_at(bytes, entry + 16) as i64));
        let batches_at = u64_at(bytes, entry + 24) as usize;
        let batches = batches_at..batches_at + u64_at(bytes, entry + 32) as usize;
        parts.push(("segment: batches", batches, extent));
        let chunks = chunks_at..chunks_at + u32_at(bytes, entry + 52) as usize * CHUNK_BYTES;
        chunks_at = chunks.end;
        parts.push(("segment: CHUNKS", chunks, extent));
    }
    parts
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
}

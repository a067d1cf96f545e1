//! Writing a segment.

use std::io;
use std::ops::Range;

use firth_batch::{Batches, Crc32c, Header as BatchHeader, crc32c};

use super::header::{HEADER_LEN, Header, Section};
use super::sections::{self, Chunk};
use super::staging::Staging;
use super::{
    CHUNK_BYTES_MIN, ChunkRange, Extent, FORMAT_VERSION, Footer, Losses, Names, SegmentId, Source, Summary,
};
use crate::file::{Existence, Mode, Storage};

/// Writes one segment, log by log in ascending order of log ids. It touches the bytes of large batches once, to
/// copy them: a chunk's checksum is made of those that they carry. A writer that is dropped unfinished leaves a file that
/// is no segment.
///
/// ```text
/// create, (begin_extent [cover], push...)..., producers..., finish
/// ```
///
/// After an error the writer is of no use, and what became durable is unknown; a failed flush is never repeated.
pub struct Writer<'a> {
    storage: &'a dyn Storage,
    id: SegmentId,
    staging: Staging,
    extents: Vec<Extent>,
    /// Offsets that the last extent answers for, whatever is pushed.
    covered: Option<Range<i64>>,
    /// Of all extents, the open chunk of the last one excepted.
    chunks: Vec<Chunk>,
    open_chunk: Option<OpenChunk>,
    producers: Vec<u8>,
    last_producers_log: Option<u64>,
}

/// The chunk that is being filled.
struct OpenChunk {
    first_offset: i64,
    position: u64,
    length: u64,
    crc: Crc32c,
}

impl<'a> Writer<'a> {
    /// Begins a segment in the directory [`DIRECTORY`], which exists. A file of that name, be it an unfinished
    /// segment or one that is not needed any more, is written over; it stops being a segment before that.
    pub fn create(storage: &'a dyn Storage, id: SegmentId, mode: Mode) -> io::Result<Writer<'a>> {
        let file = storage.open(&id.path(), mode, Existence::CreateIfMissing)?;
        let mut staging = Staging::new(file);
        if staging.file.len()? > 0 {
            staging.write_header(None)?;
        }
        Ok(Writer {
            storage,
            id,
            staging,
            extents: Vec::new(),
            covered: None,
            chunks: Vec::new(),
            open_chunk: None,
            producers: Vec::new(),
            last_producers_log: None,
        })
    }

    /// Takes space for so many bytes of batches at once. Writes that extend a file one by one wait for each other.
    pub fn reserve(&mut self, bytes: u64) -> io::Result<()> {
        self.staging.file.set_len(HEADER_LEN as u64 + bytes)
    }

    /// Begins the batches of `log`. A log without batches gets no extent unless it covers offsets.
    pub fn begin_extent(&mut self, log: u64) {
        self.end_extent();
        assert!(
            self.extents.last().is_none_or(|before| before.log < log),
            "log {log} is out of order"
        );
        self.extents.push(Extent {
            log,
            first_offset: 0,
            next_offset: i64::MIN,
            position: self.staging.position(),
            length: 0,
            max_timestamp: i64::MIN,
            batch_count: 0,
            compacted_to: 0,
            index: ChunkRange {
                first: self.chunks.len() as u32,
                count: 0,
                crc32c: 0,
            },
        });
    }

    /// The extent that was begun last answers for these offsets, also where no batch is pushed for them, and was compacted
    /// up to an offset.
    pub fn cover(&mut self, offsets: Range<i64>, compacted_to: i64) {
        assert!(offsets.start < offsets.end, "an extent covers offsets");
        let extent = self
            .extents
            .last_mut()
            .expect("an extent was begun before it covers offsets");
        extent.compacted_to = compacted_to;
        self.covered = Some(offsets);
    }

    /// Appends whole batches to the extent that was begun last. Offsets ascend, and may leave holes.
    pub fn push(&mut self, batches: &[u8]) -> io::Result<()> {
        for batch in Batches::new(batches) {
            let (header, batch) =
                batch.expect("a writer is given whole batches, which were validated when they came");
            if self.chunk_is_full_before(batch) {
                self.close_chunk();
            }
            self.count(&header, batch);
        }
        self.staging.put(batches)
    }

    /// Stores the idempotent producers' windows of `log` as of the end of its extent; the bytes are their owner's.
    /// Log ids ascend. It may be called at any time, and for logs without an extent.
    pub fn producers(&mut self, log: u64, windows: &[u8]) {
        assert!(
            self.last_producers_log.is_none_or(|before| before < log),
            "log {log} is out of order"
        );
        self.last_producers_log = Some(log);
        sections::encode_producers(&mut self.producers, log, windows);
    }

    /// Writes the footer, which names what is lost, makes everything durable, then the header, and makes that and the
    /// name durable too. The segment exists when this returns; if the power fails before, it may or may not.
    pub fn finish(
        mut self,
        source: Source,
        generation: u32,
        losses: Losses,
        names: &Names,
    ) -> io::Result<Footer> {
        self.end_extent();
        let mut bodies = vec![
            (sections::EXTENTS, sections::encode_extents(&self.extents)),
            (sections::CHUNKS, sections::encode_chunks(&self.chunks)),
            (sections::PRODUCERS, self.producers),
            (sections::SOURCE, sections::encode_spans(&[source])),
        ];
        if generation > 0 {
            bodies.push((sections::GENERATION, generation.to_le_bytes().to_vec()));
        }
        if !losses.is_empty() {
            bodies.push((sections::HOLES, sections::encode_holes(&losses.holes)));
            bodies.push((sections::LOST_BLOCKS, sections::encode_spans(&losses.blocks)));
        }
        let mut named = Vec::with_capacity(bodies.len());
        for (kind, body) in bodies {
            let position = self.staging.position();
            named.push(Section {
                kind,
                crc32c: crc32c(&body),
                position,
                length: body.len() as u64,
            });
            self.staging.put(&body)?;
        }
        let length = self.staging.flush()?;
        if self.staging.file.len()? > length {
            self.staging.file.set_len(length)?;
        }
        self.staging.file.sync()?;

        self.staging.write_header(Some(&Header {
            version: FORMAT_VERSION,
            id: self.id,
            length,
            sections: named,
        }))?;
        names.sync(self.storage)?;
        Ok(Footer {
            summary: Summary {
                id: self.id,
                length,
                source,
                generation,
                extent_count: self.extents.len(),
                data_bytes: self.extents.iter().map(|extent| extent.length).sum(),
                losses,
            },
            extents: self.extents,
        })
    }

    fn chunk_is_full_before(&self, batch: &[u8]) -> bool {
        let large = batch.len() as u64 >= CHUNK_BYTES_MIN;
        self.open_chunk
            .as_ref()
            .is_some_and(|chunk| large || chunk.length >= CHUNK_BYTES_MIN)
    }

    /// Takes a batch into account that is put behind those before it.
    fn count(&mut self, header: &BatchHeader, batch: &[u8]) {
        let extent = self
            .extents
            .last_mut()
            .expect("an extent was begun before batches are pushed");
        let (log, offset) = (extent.log, header.base_offset);
        assert!(
            offset >= extent.next_offset,
            "log {log}: offset {offset} is below {}",
            extent.next_offset
        );
        if extent.batch_count == 0 {
            extent.first_offset = offset;
        }
        let chunk = self.open_chunk.get_or_insert_with(|| OpenChunk {
            first_offset: offset,
            position: extent.position + extent.length,
            length: 0,
            crc: Crc32c::new(),
        });
        chunk.length += batch.len() as u64;
        chunk.crc.update_batch(batch);
        extent.length += batch.len() as u64;
        extent.next_offset = header.next_offset();
        extent.max_timestamp = extent.max_timestamp.max(header.max_timestamp);
        extent.batch_count += 1;
    }

    fn close_chunk(&mut self) {
        if let (Some(chunk), Some(extent)) = (self.open_chunk.take(), self.extents.last()) {
            self.chunks.push(Chunk {
                first_offset: chunk.first_offset,
                position: chunk.position,
                max_timestamp: extent.max_timestamp,
                crc32c: chunk.crc.value(),
            });
        }
    }

    fn end_extent(&mut self) {
        self.close_chunk();
        match (self.covered.take(), self.extents.last_mut()) {
            (Some(covered), Some(extent)) => {
                assert!(
                    extent.batch_count == 0
                        || (covered.start <= extent.first_offset && extent.next_offset <= covered.end),
                    "log {}: batches from {} to {} in an extent for {covered:?}",
                    extent.log,
                    extent.first_offset,
                    extent.next_offset,
                );
                (extent.first_offset, extent.next_offset) = (covered.start, covered.end);
            }
            _ => drop(self.extents.pop_if(|extent| extent.batch_count == 0)),
        }
        if let Some(extent) = self.extents.last_mut() {
            let chunks = &self.chunks[extent.index.first as usize..];
            extent.index.count = chunks.len() as u32;
            extent.index.crc32c = crc32c(&sections::encode_chunks(chunks));
        }
    }
}

//! Reading a segment. Nothing that a file holds makes this panic, or allocate more than a few times its length.

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

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use firth_batch::{Batches, crc32c};

use super::cache::{Entries, OpenId, Part};
use super::header::{HEADER_LEN, Header, Section};
use super::run::{ChunkRun, cut};
use super::sections::{self, CHUNK_LEN, Chunk};
use super::uncached::Uncached;
use super::{CHUNK_BYTES_MIN, Error, Extent, FooterCache, Losses, SegmentId, Summary};
use crate::file::aligned::{AlignedBuffer, BufferPool};
use crate::file::{ALIGNMENT, Existence, File, Mode, Storage};

/// Batches that a read gave.
pub(crate) struct Piece {
    pub(crate) batches: Bytes,
    /// Nothing else of the extent lies before this offset and behind these batches.
    pub(crate) next_offset: i64,
}

/// An open segment. Only its summary stays in memory; the list of extents and their sparse indexes are in the
/// [`FooterCache`] while they are used.
pub struct Segment {
    file: Arc<dyn File>,
    header: Header,
    summary: Summary,
    extents: Section,
    chunks: Section,
    cache: Arc<FooterCache>,
    open_id: OpenId,
    buffers: BufferPool,
}

impl Segment {
    /// Opens a finished segment and verifies its header and its list of extents.
    ///
    /// [`Error::Unfinished`] means that there is no segment in this file; whether there should be one is known to
    /// whoever recorded it as finished.
    pub fn open(
        storage: &dyn Storage,
        id: SegmentId,
        cache: Arc<FooterCache>,
        buffers: BufferPool,
    ) -> Result<Segment, Error> {
        let io = |source| Error::Io { segment: id, source };
        let damaged = |what| Error::DamagedFooter { segment: id, what };
        let file = storage
            .open(&id.path(), Mode::Buffered, Existence::MustExist)
            .map_err(io)?;
        let header = read_header(&*file, id)?;

        let extents = header
            .section(sections::EXTENTS)
            .ok_or(damaged("it has no section of extents"))?;
        let chunks = header
            .section(sections::CHUNKS)
            .ok_or(damaged("it has no section of chunks"))?;
        let source = header
            .section(sections::SOURCE)
            .ok_or(damaged("it has no section of its source"))?;

        let source = match sections::decode_spans(&read_section(&*file, id, &source)?).as_deref() {
            Some([source]) => *source,
            _ => return Err(damaged("its source is malformed")),
        };
        let generation = match read_optional(&*file, &header, sections::GENERATION)?.as_slice() {
            [] => 0,
            bytes => bytes
                .try_into()
                .map(u32::from_le_bytes)
                .map_err(|_| damaged("its generation is malformed"))?,
        };
        let open_id = cache.open();
        let mut segment = Segment {
            summary: Summary {
                id,
                length: header.length,
                source,
                generation,
                extent_count: 0,
                data_bytes: 0,
                losses: read_losses(&*file, &header)?,
            },
            file,
            header,
            extents,
            chunks,
            cache,
            open_id,
            buffers,
        };
        let extents = segment.extents()?;
        segment.summary.extent_count = extents.len();
        let lengths = extents.iter().map(|extent| extent.length);
        segment.summary.data_bytes = lengths.fold(0, u64::saturating_add);
        Ok(segment)
    }

    pub(crate) fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    pub fn id(&self) -> SegmentId {
        self.summary.id
    }

    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// All extents, in ascending order of log ids.
    pub fn extents(&self) -> Result<Arc<[Extent]>, Error> {
        if let Some(Entries::Extents(extents)) = self.cache.get(self.open_id, Part::Extents) {
            return Ok(extents);
        }
        let sections = &self.header.sections;
        let extents_end = sections
            .first()
            .map_or(self.header.length, |first| first.position);
        let chunk_count = self.chunks.length.div_euclid(CHUNK_LEN as u64);
        let body = read_section(&*self.file, self.id(), &self.extents)?;
        let extents = sections::decode_extents(self.header.version, &body, extents_end, chunk_count);
        let extents: Arc<[Extent]> = extents
            .ok_or(Error::DamagedFooter {
                segment: self.id(),
                what: "its list of extents is malformed",
            })?
            .into();
        let entries = Entries::Extents(extents.clone());
        self.cache.insert(self.open_id, Part::Extents, entries);
        Ok(extents)
    }

    /// Whether looking for an extent needs no wait for the disk.
    pub(crate) fn has_extents_at_hand(&self) -> bool {
        self.cache.get(self.open_id, Part::Extents).is_some()
    }

    /// The extent of one log.
    pub fn extent(&self, log: u64) -> Result<Option<Extent>, Error> {
        let extents = self.extents()?;
        let index = extents.binary_search_by_key(&log, |extent| extent.log);
        Ok(index.ok().and_then(|index| extents.get(index)).copied())
    }

    /// The batches of `extent`, which is one of [`Segment::extents`], from the one that holds `from_offset`, or the
    /// first one after it. Whole batches, at most `max_bytes`, but at least one; empty behind the extent's end.
    ///
    /// One read of whole chunks, each verified. The result ends with a chunk where `max_bytes` allows, so that
    /// reading on from there reads no byte again; it ends before a damaged chunk, which the next read then reports.
    pub fn read(&self, extent: &Extent, from_offset: i64, max_bytes: usize) -> Result<Bytes, Error> {
        let piece = self.read_from(&*self.file, extent, from_offset, max_bytes)?;
        Ok(piece.batches)
    }

    /// The same, and where reading goes on.
    pub(crate) fn read_piece(
        &self,
        extent: &Extent,
        from_offset: i64,
        max_bytes: usize,
    ) -> Result<Piece, Error> {
        self.read_from(&*self.file, extent, from_offset, max_bytes)
    }

    /// The batches alone, and past the page cache.
    pub(crate) fn read_uncached(
        &self,
        file: &Uncached,
        extent: &Extent,
        from_offset: i64,
        max_bytes: usize,
    ) -> Result<Bytes, Error> {
        let piece = self.read_from(file, extent, from_offset, max_bytes)?;
        Ok(piece.batches)
    }

    /// The same, or `None` if something of it is not in the page cache. Does not wait for the disk.
    pub(crate) fn read_cached(
        &self,
        extent: &Extent,
        from_offset: i64,
        max_bytes: usize,
    ) -> Result<Option<Piece>, Error> {
        match self.read_from(&Cached(&*self.file), extent, from_offset, max_bytes) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::WouldBlock => Ok(None),
            piece => piece.map(Some),
        }
    }

    /// Where the batches from an offset on are in the file: from their chunk on, if the index is at hand, else from the
    /// beginning of the extent.
    pub(crate) fn positions(&self, extent: &Extent, from_offset: i64) -> Range<u64> {
        let start = self
            .chunk_at(extent, from_offset)
            .map_or(extent.position, |chunk| chunk.start);
        start..extent.position.saturating_add(extent.length)
    }

    /// The least that a read from an offset has to fetch, in bytes; a guess if the index is not at hand.
    pub(crate) fn chunk_bytes(&self, extent: &Extent, from_offset: i64) -> u64 {
        match self.chunk_at(extent, from_offset) {
            Some(chunk) => chunk.end.saturating_sub(chunk.start),
            None => extent.length.min(CHUNK_BYTES_MIN),
        }
    }

    /// Where the chunk of an offset is, if the index is at hand.
    fn chunk_at(&self, extent: &Extent, offset: i64) -> Option<Range<u64>> {
        let Some(Entries::Chunks(chunks)) = self.cache.get(self.open_id, Part::Chunks(extent.log)) else {
            return None;
        };
        let behind = chunks.partition_point(|chunk| chunk.first_offset <= offset);
        let index = behind.saturating_sub(1);
        let start = chunks.get(index)?.position;
        let end = match chunks.get(index.saturating_add(1)) {
            Some(next) => next.position,
            None => extent.position.saturating_add(extent.length),
        };
        Some(start..end)
    }

    /// Whether a byte of the file is in the page cache.
    pub(crate) fn is_cached(&self, position: u64) -> bool {
        matches!(self.file.read_cached_at(&mut [0], position), Ok(true))
    }

    /// Asks for a part of an extent to be read into the page cache, and for the index that leads to it.
    pub(crate) fn will_need(&self, extent: &Extent, positions: &Range<u64>) {
        let index = self.index_of(extent);
        self.file.will_need(index.position, index.length);
        let length = positions.end.saturating_sub(positions.start);
        self.file.will_need(positions.start, length);
    }

    fn read_from(
        &self,
        file: &dyn File,
        extent: &Extent,
        from_offset: i64,
        max_bytes: usize,
    ) -> Result<Piece, Error> {
        let nothing = Piece {
            batches: Bytes::new(),
            next_offset: extent.next_offset,
        };
        if from_offset >= extent.next_offset {
            return Ok(nothing);
        }
        let chunks = self.chunks_of(file, extent)?;
        let behind = chunks.partition_point(|chunk| chunk.first_offset <= from_offset);
        let mut first = behind.saturating_sub(1);
        while first < chunks.len() {
            let run = ChunkRun::fitting(extent, &chunks, first, max_bytes);
            let (bytes, next_offset) = self.read_run(file, &run)?;
            match cut(&bytes, from_offset, max_bytes) {
                Ok(Some((batches, None))) => return Ok(Piece { batches, next_offset }),
                Ok(Some((batches, Some(next_offset)))) => return Ok(Piece { batches, next_offset }),
                Ok(None) => {}
                Err(_) => return Err(self.damaged(extent, run.offsets(), "it does not hold whole batches")),
            }
            // `from_offset` lies in a hole behind the last batch of these chunks.
            first = chunks
                .partition_point(|chunk| chunk.position < run.position.saturating_add(bytes.len() as u64));
        }
        Ok(nothing)
    }

    /// The first batch of `extent` whose maximum timestamp is `timestamp` or later.
    pub fn find(&self, extent: &Extent, timestamp: i64) -> Result<Option<Bytes>, Error> {
        if extent.max_timestamp < timestamp || extent.batch_count == 0 {
            return Ok(None);
        }
        let chunks = self.chunks_of(&*self.file, extent)?;
        let index = chunks.partition_point(|chunk| chunk.max_timestamp < timestamp);
        let run = ChunkRun::fitting(extent, &chunks, index, 0);
        let (bytes, _) = self.read_run(&*self.file, &run)?;
        let found = Batches::new(&bytes)
            .map_while(Result::ok)
            .find(|(header, _)| header.max_timestamp >= timestamp)
            .map(|(_, batch)| bytes.slice_ref(batch));
        match found {
            Some(batch) => Ok(Some(batch)),
            None => Err(self.damaged(extent, run.offsets(), "its index of timestamps is wrong")),
        }
    }

    /// The fewest whole chunks at the end of `extent` that have at least `bytes` bytes, and none before the one of the offset
    /// `start`: the first offset of the first, and their bytes.
    pub(crate) fn newest(&self, extent: &Extent, start: i64, bytes: u64) -> Result<(i64, u64), Error> {
        let chunks = self.chunks_of(&*self.file, extent)?;
        let end = extent.position.saturating_add(extent.length);
        let bytes_from = |chunk: &Chunk| end.saturating_sub(chunk.position);
        let enough = chunks.partition_point(|chunk| bytes_from(chunk) >= bytes);
        let kept = chunks.partition_point(|chunk| chunk.first_offset <= start);
        let first = chunks.get(enough.max(kept).saturating_sub(1));
        Ok(first.map_or((extent.first_offset, extent.length), |chunk| {
            (chunk.first_offset, bytes_from(chunk))
        }))
    }

    /// The idempotent producers' windows of each log as they were handed to the writer, in ascending order of log ids.
    pub fn producers(&self) -> Result<Vec<(u64, Bytes)>, Error> {
        let body = read_optional(&*self.file, &self.header, sections::PRODUCERS)?;
        sections::decode_producers(body.into()).ok_or(Error::DamagedFooter {
            segment: self.id(),
            what: "its section of producers is malformed",
        })
    }

    /// A part of the file as it is, for a copy.
    pub fn contents(&self, position: u64, length: u64) -> io::Result<Vec<u8>> {
        let length = usize::try_from(length).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let mut bytes = vec![0; length];
        self.file.read_at(&mut bytes, position)?;
        Ok(bytes)
    }

    /// Reads the whole file and gives everything that is damaged, in the order of the file.
    pub fn verify(&self) -> Vec<Error> {
        self.verify_pieces(|_, _| true)
    }

    /// As [`Segment::verify`], from the medium and not from the page cache, and without leaving anything there. `go_on`
    /// is told after each piece how many bytes it had, and says whether to go on.
    pub(crate) fn verify_on_medium(&self, mut go_on: impl FnMut(u64) -> bool) -> Vec<Error> {
        self.file.forget(0, self.summary.length);
        self.verify_pieces(|position, length| {
            // Whole pages, of which the piece before has the first too.
            let in_page = position.checked_rem(ALIGNMENT as u64).unwrap_or(0);
            self.file
                .forget(position.saturating_sub(in_page), length.saturating_add(in_page));
            go_on(length)
        })
    }

    /// `go_on` is told the position and the length of each piece that was read.
    fn verify_pieces(&self, mut go_on: impl FnMut(u64, u64) -> bool) -> Vec<Error> {
        let mut damages = Vec::new();
        match read_header(&*self.file, self.id()) {
            Ok(header) if header == self.header => {}
            Ok(_) => damages.push(Error::DamagedFooter {
                segment: self.id(),
                what: "its header has changed",
            }),
            Err(error) => damages.push(error),
        }
        match self.extents() {
            Ok(extents) => {
                for extent in &*extents {
                    if !self.verify_extent(extent, &mut damages, &mut go_on) {
                        return damages;
                    }
                }
            }
            Err(error) => damages.push(error),
        }
        // The chunks' section is verified extent by extent above, which says what is lost.
        for section in self
            .header
            .sections
            .iter()
            .filter(|section| section.kind != sections::CHUNKS)
        {
            damages.extend(read_section(&*self.file, self.id(), section).err());
        }
        damages
    }

    /// False where `go_on` said so.
    fn verify_extent(
        &self,
        extent: &Extent,
        damages: &mut Vec<Error>,
        go_on: &mut impl FnMut(u64, u64) -> bool,
    ) -> bool {
        let all = extent.first_offset..extent.next_offset;
        let unreadable = "the file cannot be read there";
        let chunks = match self.read_chunk_index(&*self.file, extent) {
            Ok(chunks) => chunks,
            Err(Error::Io { .. }) => {
                damages.push(self.damaged(extent, all, unreadable));
                return true;
            }
            Err(error) => {
                damages.push(error);
                return true;
            }
        };
        for index in 0..chunks.len() {
            let run = ChunkRun::fitting(extent, &chunks, index, 0);
            match self.read_run(&*self.file, &run) {
                Ok(_) => {}
                Err(Error::Io { .. }) => damages.push(self.damaged(extent, run.offsets(), unreadable)),
                Err(error) => damages.push(error),
            }
            if !go_on(run.position, run.length()) {
                return false;
            }
        }
        true
    }

    fn chunks_of(&self, file: &dyn File, extent: &Extent) -> Result<Arc<[Chunk]>, Error> {
        let part = Part::Chunks(extent.log);
        if let Some(Entries::Chunks(chunks)) = self.cache.get(self.open_id, part) {
            return Ok(chunks);
        }
        let chunks: Arc<[Chunk]> = self.read_chunk_index(file, extent)?.into();
        let entries = Entries::Chunks(chunks.clone());
        self.cache.insert(self.open_id, part, entries);
        Ok(chunks)
    }

    /// Where the index of an extent's chunks is.
    fn index_of(&self, extent: &Extent) -> Section {
        let entries_before = u64::from(extent.index.first).saturating_mul(CHUNK_LEN as u64);
        Section {
            kind: sections::CHUNKS,
            crc32c: extent.index.crc32c,
            position: self.chunks.position.saturating_add(entries_before),
            length: u64::from(extent.index.count).saturating_mul(CHUNK_LEN as u64),
        }
    }

    fn read_chunk_index(&self, file: &dyn File, extent: &Extent) -> Result<Vec<Chunk>, Error> {
        let all = extent.first_offset..extent.next_offset;
        match read_section(file, self.id(), &self.index_of(extent)) {
            Ok(body) => sections::decode_chunks(&body, extent)
                .ok_or_else(|| self.damaged(extent, all, "its index is malformed")),
            Err(Error::DamagedFooter { .. }) => Err(self.damaged(extent, all, "its index is damaged")),
            Err(error) => Err(error),
        }
    }

    /// Reads the chunks of `run` up to the first one that is damaged, and fails if that is the first of all. Gives the
    /// offset behind them too.
    fn read_run(&self, file: &dyn File, run: &ChunkRun<'_>) -> Result<(Bytes, i64), Error> {
        let buffer = match self.read_bytes(file, run) {
            Ok(buffer) => buffer,
            // What precedes a bad sector, or a lost end of the file, is still served.
            Err(error) if run.chunks.len() > 1 && error.kind() != io::ErrorKind::WouldBlock => {
                return self.read_run(file, &run.first_chunk());
            }
            Err(source) if source.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(self.damaged(run.extent, run.offsets(), "the file ends before"));
            }
            Err(source) => {
                return Err(Error::Io {
                    segment: self.id(),
                    source,
                });
            }
        };
        let mut verified = 0usize;
        let mut next_offset = run.offsets().end;
        for (index, entry) in run.chunks.iter().enumerate() {
            let chunk = run.bytes_of(index, buffer.as_slice());
            if crc32c(chunk) != entry.crc32c {
                next_offset = entry.first_offset;
                break;
            }
            verified = verified.saturating_add(chunk.len());
        }
        if verified == 0 {
            let offsets = run.first_chunk().offsets();
            return Err(self.damaged(run.extent, offsets, "the chunk's checksum does not match"));
        }
        let mut bytes = buffer.freeze();
        bytes.truncate(verified);
        Ok((bytes, next_offset))
    }

    fn read_bytes(&self, file: &dyn File, run: &ChunkRun<'_>) -> io::Result<AlignedBuffer> {
        let length = usize::try_from(run.length()).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let mut buffer = self.buffers.take(length);
        buffer.resize_for_overwrite(length);
        file.read_at(buffer.as_mut_slice(), run.position)?;
        Ok(buffer)
    }

    fn damaged(&self, extent: &Extent, offsets: Range<i64>, what: &'static str) -> Error {
        Error::Damaged {
            segment: self.id(),
            log: extent.log,
            first_offset: offsets.start,
            next_offset: offsets.end,
            what,
        }
    }
}

/// A file as far as it is in the page cache: a read that would have to wait fails with `WouldBlock`.
struct Cached<'a>(&'a dyn File);

impl File for Cached<'_> {
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<()> {
        match self.0.read_cached_at(buf, position)? {
            true => Ok(()),
            false => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn write_at(&self, buf: &[u8], position: u64) -> io::Result<()> {
        self.0.write_at(buf, position)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        self.cache.close(self.open_id);
    }
}

fn read_header(file: &dyn File, segment: SegmentId) -> Result<Header, Error> {
    let io = |source| Error::Io { segment, source };
    let length = file.len().map_err(io)?;
    if length < HEADER_LEN as u64 {
        return Err(Error::Unfinished { segment });
    }
    let mut block = [0; HEADER_LEN];
    file.read_at(&mut block, 0).map_err(io)?;
    Header::decode(segment, &block, length)
}

/// What the footer names as lost. Where that cannot be read, nothing else tells it, so the footer is damaged.
fn read_losses(file: &dyn File, header: &Header) -> Result<Losses, Error> {
    let damaged = Error::DamagedFooter {
        segment: header.id,
        what: "its list of losses is malformed",
    };
    let holes = sections::decode_holes(&read_optional(file, header, sections::HOLES)?);
    let blocks = sections::decode_spans(&read_optional(file, header, sections::LOST_BLOCKS)?);
    match (holes, blocks) {
        (Some(holes), Some(blocks)) => Ok(Losses { holes, blocks }),
        _ => Err(damaged),
    }
}

/// The body of a section, which is empty where there is none.
fn read_optional(file: &dyn File, header: &Header, kind: u32) -> Result<Vec<u8>, Error> {
    match header.section(kind) {
        Some(section) => read_section(file, header.id, &section),
        None => Ok(Vec::new()),
    }
}

/// Reads and verifies the body of one section. The header was checked against the file's length, which bounds it.
fn read_section(file: &dyn File, segment: SegmentId, section: &Section) -> Result<Vec<u8>, Error> {
    let damaged = |what| Error::DamagedFooter { segment, what };
    let length = usize::try_from(section.length).map_err(|_| damaged("a section is larger than memory"))?;
    let mut body = vec![0; length];
    match file.read_at(&mut body, section.position) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(damaged("the file ends before a section of its footer"));
        }
        Err(source) => return Err(Error::Io { segment, source }),
    }
    match crc32c(&body) == section.crc32c {
        true => Ok(body),
        false => Err(damaged("the checksum of a section of its footer does not match")),
    }
}

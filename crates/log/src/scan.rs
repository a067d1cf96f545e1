//! Finding the blocks of the WAL: what is whole, what is a torn tail, what is damage.
//!
//! A file holds blocks of one incarnation from its start; behind them lies what an earlier use left. The blocks of an
//! incarnation are numbered without gaps, across files. Where the next block cannot be read, it either was never
//! acknowledged (the torn tail, where the incarnation ends), or a later block, or a later incarnation, says that it was
//! durable: then acknowledged data is damaged, and reading goes on behind it.

use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;

use crate::block::{self, Entry, Header, Incarnation, NotABlock};
use crate::file::ALIGNMENT;
use crate::stored::{Place, StoredBlock};
use crate::wal::WalFile;

/// What is read from a file at once.
const READ_BYTES: usize = 4 * 1024 * 1024;

/// A block that was found whole.
pub(crate) struct Found {
    pub(crate) header: Header,
    pub(crate) entries: Vec<Entry>,
    pub(crate) file: Arc<WalFile>,
    pub(crate) position: u64,
    /// All of the block, the padding aside.
    pub(crate) bytes: Bytes,
}

/// Acknowledged data that is not there as it was written.
pub(crate) struct Damage {
    pub(crate) file: Arc<WalFile>,
    pub(crate) what: DamagedPart,
    lsn: u64,
}

pub(crate) enum DamagedPart {
    /// Blocks of which nothing is left that could be trusted.
    Blocks(RangeInclusive<u64>),
    /// A log's slice of a block.
    Slice(Entry),
}

impl Damage {
    fn blocks(file: &Arc<WalFile>, lsns: RangeInclusive<u64>) -> Damage {
        Damage {
            file: file.clone(),
            lsn: *lsns.start(),
            what: DamagedPart::Blocks(lsns),
        }
    }

    /// The first block that is damaged.
    pub(crate) fn lsn(&self) -> u64 {
        self.lsn
    }
}

impl Found {
    pub(crate) fn payload(&self, entry: &Entry) -> Option<&[u8]> {
        let start = entry.position as usize;
        self.bytes.get(start..start + entry.length as usize)
    }

    /// Without its bytes, which are read again when they are wanted.
    pub(crate) fn into_stored(self) -> (Arc<StoredBlock>, Arc<WalFile>) {
        let place = Place {
            file: self.file.clone(),
            position: self.position,
        };
        (
            Arc::new(StoredBlock::on_disk(self.header.lsn, self.entries, place, None)),
            self.file,
        )
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "{path}: format version {version} is newer than this Firth reads ({}): use a newer one",
        block::VERSION
    )]
    UnsupportedVersion { path: String, version: u32 },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A file and the block at its start.
struct Start {
    file: Arc<WalFile>,
    first: Header,
}

pub(crate) struct Scan {
    /// Ascending by incarnation and first LSN.
    starts: Vec<Start>,
    /// Files with nothing that is needed: never used, or all of it sealed.
    idle: Vec<Arc<WalFile>>,
    from_lsn: u64,
    /// The largest number of an incarnation.
    pub(crate) number_max: u64,
}

impl Scan {
    /// Looks at the start of every file. Blocks before `from_lsn` are of no interest.
    pub(crate) fn begin(files: Vec<Arc<WalFile>>, from_lsn: u64) -> Result<Scan, Error> {
        let mut scan = Scan {
            starts: Vec::new(),
            idle: Vec::new(),
            from_lsn,
            number_max: 0,
        };
        for file in files {
            match first_block(&file)? {
                Some(first) => scan.starts.push(Start { file, first }),
                None => scan.idle.push(file),
            }
        }
        scan.starts
            .sort_by_key(|start| (start.first.incarnation.number, start.first.lsn));
        scan.number_max = scan
            .starts
            .iter()
            .map(|start| start.first.incarnation.number)
            .max()
            .unwrap_or(0);
        scan.drop_what_is_done();
        Ok(scan)
    }

    /// Whether the files reach back to `from_lsn`, or hold nothing at all behind it.
    pub(crate) fn reaches_back(&self) -> bool {
        self.starts
            .iter()
            .map(|start| start.first.lsn)
            .min()
            .is_none_or(|first| first <= self.from_lsn)
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &Arc<WalFile>> {
        self.starts.iter().map(|start| &start.file).chain(&self.idle)
    }

    /// A file is done where the one after it in the chain begins at or before `from_lsn`.
    fn drop_what_is_done(&mut self) {
        let next_lsns: Vec<Option<u64>> = (0..self.starts.len())
            .map(|at| self.starts.get(at + 1).map(|next| next.first.lsn))
            .collect();
        let starts = std::mem::take(&mut self.starts);
        for (start, next_lsn) in starts.into_iter().zip(next_lsns) {
            if next_lsn.is_some_and(|next| next <= self.from_lsn && next > start.first.lsn) {
                self.idle.push(start.file);
            } else {
                self.starts.push(start);
            }
        }
    }

    /// Visits every whole block from `from_lsn` on, and everything that is damaged. Returns the last LSN of the log, 0
    /// where there is none.
    pub(crate) fn run(
        &self,
        mut block: impl FnMut(Found),
        mut damage: impl FnMut(Damage),
    ) -> Result<u64, Error> {
        let mut expected: Option<u64> = None;
        for (at, start) in self.starts.iter().enumerate() {
            let limit = self.void_from(start.first.incarnation);
            if start.first.lsn >= limit {
                continue;
            }
            if let Some(lsn) = expected.filter(|lsn| *lsn < start.first.lsn) {
                // The chain broke before this file. If it was the incarnation's torn tail, nothing of it follows.
                if !self.is_acknowledged(lsn, at, start.first.incarnation) {
                    continue;
                }
                damage(Damage::blocks(&start.file, lsn..=start.first.lsn - 1));
            }
            expected = Some(self.run_file(at, limit, &mut block, &mut damage)?);
        }
        Ok(expected.map_or(0, |lsn| lsn - 1))
    }

    /// Later incarnations say from where on the blocks of this one are void.
    fn void_from(&self, incarnation: Incarnation) -> u64 {
        let later = |start: &&Start| start.first.incarnation.number > incarnation.number;
        self.starts
            .iter()
            .filter(later)
            .map(|start| start.first.incarnation.first_lsn)
            .min()
            .unwrap_or(u64::MAX)
    }

    /// Whether a block of the incarnation, or the beginning of a later one, in the files from `at` on says that `lsn` was
    /// durable.
    fn is_acknowledged(&self, lsn: u64, at: usize, incarnation: Incarnation) -> bool {
        self.starts.iter().skip(at).any(|start| {
            let first = &start.first;
            if first.incarnation.number > incarnation.number {
                return first.incarnation.first_lsn > lsn;
            }
            first.durable_lsn >= lsn || self.claims(start, lsn).unwrap_or(false)
        })
    }

    /// Whether any block of a file says that `lsn` was durable.
    fn claims(&self, start: &Start, lsn: u64) -> io::Result<bool> {
        let mut reader = Blocks::new(&start.file, Some(start.first.incarnation), 0);
        while let Some((_, header)) = reader.next_header()? {
            if header.durable_lsn >= lsn {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Visits the blocks of one file. Returns the LSN that is expected after it.
    fn run_file(
        &self,
        at: usize,
        limit: u64,
        block: &mut impl FnMut(Found),
        damage: &mut impl FnMut(Damage),
    ) -> Result<u64, Error> {
        let start = &self.starts[at];
        let mut reader = Blocks::new(&start.file, Some(start.first.incarnation), 0);
        let mut expected = start.first.lsn;
        while let Some((position, header)) = reader.next_header()? {
            if header.lsn < expected || header.lsn >= limit {
                break;
            }
            if header.lsn > expected {
                if !self.is_acknowledged_within(
                    &start.file,
                    position,
                    expected,
                    at,
                    start.first.incarnation,
                )? {
                    break;
                }
                damage(Damage::blocks(&start.file, expected..=header.lsn - 1));
            }
            expected = header.lsn + 1;
            if header.lsn < self.from_lsn {
                continue;
            }
            let bytes = reader.block(position, &header)?;
            let found = Found {
                header,
                entries: Vec::new(),
                file: start.file.clone(),
                position,
                bytes,
            };
            match verified(found, damage) {
                Some(found) => block(found),
                // Its directory is damaged. Whether it was acknowledged is told by what follows.
                None => {
                    let next = position + u64::from(header.file_bytes);
                    if !self.is_acknowledged_within(
                        &start.file,
                        next,
                        header.lsn,
                        at,
                        start.first.incarnation,
                    )? {
                        return Ok(header.lsn);
                    }
                    damage(Damage::blocks(&start.file, header.lsn..=header.lsn));
                }
            }
        }
        Ok(expected)
    }

    /// As `is_acknowledged`, for what follows `position` in the file and the files behind it.
    fn is_acknowledged_within(
        &self,
        file: &Arc<WalFile>,
        position: u64,
        lsn: u64,
        at: usize,
        incarnation: Incarnation,
    ) -> io::Result<bool> {
        let mut reader = Blocks::new(file, Some(incarnation), position);
        while let Some((_, header)) = reader.next_header()? {
            if header.lsn > lsn && header.durable_lsn >= lsn {
                return Ok(true);
            }
        }
        Ok(self.is_acknowledged(lsn, at + 1, incarnation))
    }
}

/// Reads the directory and checks every slice. A damaged slice is named and left out; `None` where the directory is.
fn verified(mut found: Found, damage: &mut impl FnMut(Damage)) -> Option<Found> {
    let entries = block::decode_directory(&found.header, &found.bytes)?;
    for entry in entries {
        if block::payload(&entry, &found.bytes).is_some() {
            found.entries.push(entry);
        } else {
            let what = DamagedPart::Slice(entry);
            damage(Damage {
                file: found.file.clone(),
                lsn: found.header.lsn,
                what,
            });
        }
    }
    Some(found)
}

/// The first block in a file: at its start, unless that one is damaged or the file was never used.
fn first_block(file: &Arc<WalFile>) -> Result<Option<Header>, Error> {
    let mut blocks = Blocks::new(file, None, 0);
    let first = blocks.next_header()?;
    match blocks.newer_version {
        Some(version) => Err(Error::UnsupportedVersion {
            path: crate::wal::path(file.slot),
            version,
        }),
        None => Ok(first.map(|(_, header)| header)),
    }
}

/// Walks a file's blocks, of one incarnation or of any, stepping over what is no block.
struct Blocks<'a> {
    file: &'a WalFile,
    incarnation: Option<Incarnation>,
    position: u64,
    window: Bytes,
    window_position: u64,
    newer_version: Option<u32>,
}

impl<'a> Blocks<'a> {
    fn new(file: &'a WalFile, incarnation: Option<Incarnation>, position: u64) -> Blocks<'a> {
        Blocks {
            file,
            incarnation,
            position,
            window: Bytes::new(),
            window_position: 0,
            newer_version: None,
        }
    }

    /// The next valid header at or behind the current position.
    fn next_header(&mut self) -> io::Result<Option<(u64, Header)>> {
        while self.position + ALIGNMENT as u64 <= self.file.bytes {
            let position = self.position;
            let head = self.bytes(position, block::HEADER_BYTES)?;
            match block::decode_header(&head) {
                Ok(header) if self.is_wanted(&header) && self.fits(position, &header) => {
                    self.position = position + u64::from(header.file_bytes);
                    return Ok(Some((position, header)));
                }
                Err(NotABlock::Version(version)) => {
                    self.newer_version = Some(version);
                    return Ok(None);
                }
                _ => self.position += ALIGNMENT as u64,
            }
        }
        Ok(None)
    }

    fn is_wanted(&self, header: &Header) -> bool {
        self.incarnation
            .is_none_or(|incarnation| incarnation == header.incarnation)
    }

    fn fits(&self, position: u64, header: &Header) -> bool {
        position + u64::from(header.file_bytes) <= self.file.bytes
    }

    fn block(&mut self, position: u64, header: &Header) -> io::Result<Bytes> {
        self.bytes(position, header.total_bytes as usize)
    }

    fn bytes(&mut self, position: u64, length: usize) -> io::Result<Bytes> {
        let within = position >= self.window_position
            && position + length as u64 <= self.window_position + self.window.len() as u64;
        if !within {
            let rest = (self.file.bytes - position) as usize;
            self.window = self.file.read(position, rest.min(READ_BYTES.max(length)))?;
            self.window_position = position;
        }
        let start = (position - self.window_position) as usize;
        Ok(self.window.slice(start..start + length))
    }
}

//! Finding the blocks of the WAL: what is whole, what is a torn tail, what is damage.
//!
//! A file holds blocks of one incarnation from its start; behind them lies what an earlier use left. The blocks of an
//! incarnation are numbered without gaps, across files. Where the next block cannot be read, it either was never
//! acknowledged (the torn tail, where the incarnation ends), or a later block, or a later incarnation, says that it was
//! durable: then acknowledged data is damaged, and reading goes on behind it.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use firth_batch::Batches;

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
    pub(crate) what: DamagedPart,
    /// The first block that is damaged.
    pub(crate) lsn: u64,
    /// The files in which it was, as far as that can be told.
    pub(crate) files: Vec<Arc<WalFile>>,
}

pub(crate) enum DamagedPart {
    /// Blocks of which nothing is left that could be trusted.
    Blocks(RangeInclusive<u64>),
    /// A log's slice of a block.
    Slice(Entry),
}

impl Found {
    pub(crate) fn payload(&self, entry: &Entry) -> Option<&[u8]> {
        let start = entry.position as usize;
        self.bytes.get(start..start + entry.length as usize)
    }

    /// Without its bytes, which are read again when they are wanted.
    pub(crate) fn into_stored(self) -> Stored {
        let place = Place {
            file: self.file.clone(),
            position: self.position,
        };
        let Header {
            lsn,
            durable_lsn,
            total_bytes,
            ..
        } = self.header;
        Stored {
            block: Arc::new(StoredBlock::on_disk(lsn, self.entries, place, None)),
            durable_lsn,
            file: self.file,
            position: self.position,
            bytes: total_bytes,
        }
    }
}

/// A block that stays in the WAL.
pub(crate) struct Stored {
    pub(crate) block: Arc<StoredBlock>,
    pub(crate) durable_lsn: u64,
    pub(crate) file: Arc<WalFile>,
    position: u64,
    bytes: u32,
}

impl Stored {
    /// Writes the block as it was read. After a failed flush the page cache gives back what never reached the disk, and
    /// no flush writes it any more: only writing does.
    pub(crate) fn write_again(&self) -> io::Result<()> {
        self.file
            .write_again(self.position, block::padded(self.bytes as usize))
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

/// A file and the first block in it.
struct Start {
    file: Arc<WalFile>,
    first: Header,
}

/// The files of the WAL.
pub(crate) struct Scan {
    /// Ascending by incarnation and first LSN.
    starts: Vec<Start>,
    /// Files without a block.
    idle: Vec<Arc<WalFile>>,
    /// Files at whose start there is something, and no block.
    headless: Vec<Arc<WalFile>>,
    /// The largest number of an incarnation.
    pub(crate) number_max: u64,
}

/// Which blocks are looked for.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    /// Segments hold the blocks before.
    pub(crate) from_lsn: u64,
    /// The catalog knows that blocks up to here were durable.
    pub(crate) claimed_lsn: u64,
}

impl Scan {
    /// Only commit blocks were ever written to the start of a file. Behind it lies what producers sent, and that may look
    /// like a block: there one counts only if its incarnation begins a file, or is among the `known` ones.
    pub(crate) fn begin(files: Vec<(Arc<WalFile>, Head)>, known: &[Incarnation]) -> Result<Scan, Error> {
        let mut trusted = known.to_vec();
        for head in files.iter().filter_map(|(_, head)| head.block()) {
            if !trusted.contains(&head.incarnation) {
                trusted.push(head.incarnation);
            }
        }
        let mut scan = Scan {
            starts: Vec::new(),
            idle: Vec::new(),
            headless: Vec::new(),
            number_max: trusted
                .iter()
                .map(|incarnation| incarnation.number)
                .max()
                .unwrap_or(0),
        };
        for (file, head) in files {
            if matches!(head, Head::Other) {
                scan.headless.push(file.clone());
            }
            match Blocks::new(&file, &trusted, 0).next_header()? {
                Some((_, first)) => scan.starts.push(Start { file, first }),
                None => scan.idle.push(file),
            }
        }
        scan.starts
            .sort_by_key(|start| (start.first.incarnation.number, start.first.lsn));
        Ok(scan)
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &Arc<WalFile>> {
        self.starts.iter().map(|start| &start.file).chain(&self.idle)
    }

    /// Visits every whole block of the span, and everything of it that is damaged. Returns the last LSN of the log.
    pub(crate) fn run(
        &self,
        span: Span,
        mut block: impl FnMut(Found),
        mut damage: impl FnMut(Damage),
    ) -> Result<u64, Error> {
        let run = Run {
            starts: self.starts_of(span.from_lsn),
            headless: &self.headless,
            span,
        };
        let mut expected = span.from_lsn;
        for (at, start) in run.starts.iter().enumerate() {
            let limit = run.void_from(start.first.incarnation);
            if start.first.lsn >= limit {
                continue;
            }
            if start.first.lsn > expected {
                // The chain broke before this file. If that was an incarnation's torn tail, nothing of it follows.
                if !run.is_acknowledged(expected, at, start.first.incarnation)? {
                    continue;
                }
                run.lost(expected..=start.first.lsn - 1, at, &mut damage);
            }
            expected = expected.max(run.file(at, limit, &mut block, &mut damage)?);
        }
        if expected <= span.claimed_lsn {
            run.lost(expected..=span.claimed_lsn, run.starts.len(), &mut damage);
            expected = span.claimed_lsn + 1;
        }
        Ok(expected - 1)
    }

    /// Without the files that are done: where the next one in the chain begins at or before `from_lsn`.
    fn starts_of(&self, from_lsn: u64) -> Vec<&Start> {
        let followers = self.starts.iter().skip(1).map(Some).chain([None]);
        let kept = self.starts.iter().zip(followers).filter(|(start, next)| {
            let next = next.map(|next| next.first.lsn);
            !next.is_some_and(|next| next <= from_lsn && next > start.first.lsn)
        });
        kept.map(|(start, _)| start).collect()
    }
}

/// One walk over the files.
struct Run<'a> {
    starts: Vec<&'a Start>,
    headless: &'a [Arc<WalFile>],
    span: Span,
}

impl Run<'_> {
    /// Later incarnations say from where on the blocks of this one are void.
    fn void_from(&self, incarnation: Incarnation) -> u64 {
        let later = self
            .starts
            .iter()
            .filter(|start| start.first.incarnation.number > incarnation.number);
        later
            .map(|start| start.first.incarnation.first_lsn)
            .min()
            .unwrap_or(u64::MAX)
    }

    /// Whether a block of the incarnation, or the beginning of a later one, in the files from `at` on says that `lsn` was
    /// durable, or the catalog does.
    fn is_acknowledged(&self, lsn: u64, at: usize, incarnation: Incarnation) -> io::Result<bool> {
        if lsn <= self.span.claimed_lsn {
            return Ok(true);
        }
        for start in self.starts.iter().skip(at) {
            let first = &start.first;
            if first.incarnation.number > incarnation.number {
                return Ok(first.incarnation.first_lsn > lsn);
            }
            if first.durable_lsn >= lsn || claims(start, lsn)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// As `is_acknowledged`, for what follows `position` in the file and the files behind it.
    #[expect(
        clippy::indexing_slicing,
        reason = "`at` counts the starts, and nothing that was read"
    )]
    fn is_acknowledged_after(&self, at: usize, position: u64, lsn: u64) -> io::Result<bool> {
        let start = self.starts[at];
        let incarnation = start.first.incarnation;
        let mut reader = Blocks::new(&start.file, std::slice::from_ref(&incarnation), position);
        while let Some((_, header)) = reader.next_header()? {
            if header.lsn > lsn && header.durable_lsn >= lsn {
                return Ok(true);
            }
        }
        self.is_acknowledged(lsn, at + 1, incarnation)
    }

    /// Names blocks that lay between the files `at - 1` and `at`.
    fn lost(&self, lsns: RangeInclusive<u64>, at: usize, damage: &mut impl FnMut(Damage)) {
        let before = at.checked_sub(1).and_then(|before| self.starts.get(before));
        let mut files: Vec<_> = before.map(|start| start.file.clone()).into_iter().collect();
        files.extend(self.headless.iter().cloned());
        damage(Damage {
            lsn: *lsns.start(),
            what: DamagedPart::Blocks(lsns),
            files,
        });
    }

    /// Visits the blocks of one file. Returns the LSN that is expected after it.
    #[expect(
        clippy::indexing_slicing,
        reason = "`at` counts the starts, and nothing that was read"
    )]
    fn file(
        &self,
        at: usize,
        limit: u64,
        block: &mut impl FnMut(Found),
        damage: &mut impl FnMut(Damage),
    ) -> Result<u64, Error> {
        let Start { file, first } = self.starts[at];
        let mut reader = Blocks::new(file, std::slice::from_ref(&first.incarnation), 0);
        let mut expected = first.lsn;
        while let Some((position, header)) = reader.next_header()? {
            if header.lsn < expected || header.lsn >= limit {
                break;
            }
            let lost_from = expected.max(self.span.from_lsn);
            if header.lsn > lost_from {
                if !self.is_acknowledged_after(at, position, lost_from)? {
                    break;
                }
                damage(Damage {
                    lsn: lost_from,
                    what: DamagedPart::Blocks(lost_from..=header.lsn - 1),
                    files: vec![file.clone()],
                });
            }
            expected = header.lsn + 1;
            if header.lsn < self.span.from_lsn {
                continue;
            }
            let found = verified(header, reader.block(position, &header)?, file, position);
            if !found.damages.is_empty()
                && !self.is_acknowledged_after(at, position + u64::from(header.file_bytes), header.lsn)?
            {
                // A frame is all or nothing, so nothing of a torn block counts.
                return Ok(header.lsn);
            }
            found.damages.into_iter().for_each(&mut *damage);
            found.block.into_iter().for_each(&mut *block);
        }
        Ok(expected)
    }
}

/// Whether any block of a file says that `lsn` was durable.
fn claims(start: &Start, lsn: u64) -> io::Result<bool> {
    let incarnation = start.first.incarnation;
    let mut reader = Blocks::new(&start.file, std::slice::from_ref(&incarnation), 0);
    while let Some((_, header)) = reader.next_header()? {
        if header.durable_lsn >= lsn {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What is left of a block whose header is whole.
struct Verified {
    block: Option<Found>,
    damages: Vec<Damage>,
}

/// Reads the directory and checks every slice.
fn verified(header: Header, bytes: Bytes, file: &Arc<WalFile>, position: u64) -> Verified {
    let damage = |what| Damage {
        what,
        lsn: header.lsn,
        files: vec![file.clone()],
    };
    let Some(directory) = block::decode_directory(&header, &bytes) else {
        return Verified {
            block: None,
            damages: vec![damage(DamagedPart::Blocks(header.lsn..=header.lsn))],
        };
    };
    let (entries, damaged): (Vec<Entry>, Vec<Entry>) = directory
        .into_iter()
        .partition(|entry| block::payload(entry, &bytes).is_some_and(|slice| is_whole(entry, slice)));
    Verified {
        block: Some(Found {
            header,
            entries,
            file: file.clone(),
            position,
            bytes,
        }),
        damages: damaged
            .into_iter()
            .map(|entry| damage(DamagedPart::Slice(entry)))
            .collect(),
    }
}

/// Whether a slice has the batches that its entry says. Whoever reads or seals it relies on that.
fn is_whole(entry: &Entry, slice: &[u8]) -> bool {
    let mut at = entry.first_offset;
    let mut is_first = true;
    for batch in Batches::new(slice) {
        let Ok((header, _)) = batch else { return false };
        let follows = header.base_offset == at || (header.base_offset > at && !is_first);
        if !follows {
            return false;
        }
        is_first = false;
        at = header.next_offset();
    }
    at == entry.next_offset
}

/// What lies at the start of a file.
pub(crate) enum Head {
    Block(Header),
    /// Zeros: it was never used.
    Blank,
    Other,
}

impl Head {
    fn block(&self) -> Option<&Header> {
        match self {
            Head::Block(header) => Some(header),
            Head::Blank | Head::Other => None,
        }
    }
}

/// Looks at the start of every file, and refuses what a newer Firth wrote.
pub(crate) fn heads(files: Vec<Arc<WalFile>>) -> Result<Vec<(Arc<WalFile>, Head)>, Error> {
    let with_head = |file: Arc<WalFile>| Ok((file.clone(), head(&file)?));
    files.into_iter().map(with_head).collect()
}

fn head(file: &WalFile) -> Result<Head, Error> {
    if file.bytes < ALIGNMENT as u64 {
        return Ok(Head::Blank);
    }
    let bytes = file.read(0, ALIGNMENT)?;
    match block::decode_header(&bytes) {
        Ok(header) => Ok(Head::Block(header)),
        Err(NotABlock::Version(version)) => Err(Error::UnsupportedVersion {
            path: crate::wal::path(file.slot),
            version,
        }),
        Err(NotABlock::Absent) if bytes.iter().all(|byte| *byte == 0) => Ok(Head::Blank),
        Err(NotABlock::Absent) => Ok(Head::Other),
    }
}

/// Walks a file's blocks of certain incarnations, stepping over what is no block.
struct Blocks<'a> {
    file: &'a WalFile,
    incarnations: &'a [Incarnation],
    position: u64,
    window: Bytes,
    window_position: u64,
}

impl<'a> Blocks<'a> {
    fn new(file: &'a WalFile, incarnations: &'a [Incarnation], position: u64) -> Blocks<'a> {
        Blocks {
            file,
            incarnations,
            position,
            window: Bytes::new(),
            window_position: 0,
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
                _ => self.position += ALIGNMENT as u64,
            }
        }
        Ok(None)
    }

    fn is_wanted(&self, header: &Header) -> bool {
        self.incarnations.contains(&header.incarnation)
    }

    fn fits(&self, position: u64, header: &Header) -> bool {
        position + u64::from(header.total_bytes) <= self.file.bytes
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

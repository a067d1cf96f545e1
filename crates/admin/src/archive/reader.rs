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

use std::collections::BTreeMap;
use std::io::{self, Read};

use firth_batch::{Crc32c, crc32c};

use super::header::Header;
use super::manifest::Checksums;
use super::writer::padding;
use super::{
    ArchivedFile, BLOCK_BYTES, CHECKSUMS, END_BYTES, Error, JSON_BYTES_MAX, MANIFEST, Manifest, PIECE_BYTES,
};

/// Reads an archive from its start to its end. Nothing that it holds is taken on trust: lengths are those of the manifest,
/// and what was read counts only once [`Reader::finish`] has compared all checksums.
pub struct Reader<R> {
    input: R,
    time_s: u64,
    manifest: Manifest,
    files: usize,
    crcs: BTreeMap<String, u32>,
}

impl<R: Read> Reader<R> {
    /// Reads the manifest; `is_file` says which names a data directory has.
    pub fn open(mut input: R, is_file: impl Fn(&str) -> bool) -> Result<Reader<R>, Error> {
        let mut block = [0; BLOCK_BYTES];
        let read = fill(&mut input, &mut block)?;
        let header = Header::decode(&block).filter(|header| header.name == MANIFEST);
        let header = match header {
            Some(header) if header.length <= JSON_BYTES_MAX => header,
            None if read < BLOCK_BYTES && b"manifest.json\0".starts_with(block.split_at(read.min(14)).0) => {
                return Err(Error::CutOff("its first header".to_owned()));
            }
            _ => return Err(Error::NoBackup),
        };
        let bytes = json(&mut input, MANIFEST, header.length)?;
        Ok(Reader {
            input,
            time_s: header.time_s,
            manifest: Manifest::decode(&bytes, is_file)?,
            files: 0,
            crcs: BTreeMap::from([(MANIFEST.to_owned(), crc32c(&bytes))]),
        })
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The file that [`Reader::file`] reads next.
    pub fn next(&self) -> Option<&ArchivedFile> {
        self.manifest.files.get(self.files)
    }

    /// Gives the pieces of the next file, in order. False behind the last one.
    pub fn file(&mut self, mut write: impl FnMut(&[u8]) -> io::Result<()>) -> Result<bool, Error> {
        let Some(ArchivedFile { name, length }) = self.next().cloned() else {
            return Ok(false);
        };
        self.files = self.files.saturating_add(1);
        let found = header(&mut self.input, &name)?;
        let expected = Header {
            name: name.clone(),
            length,
            time_s: self.time_s,
        };
        if found != expected {
            return Err(Error::Damaged(format!("the header of {name} does not match")));
        }
        let mut piece = vec![0; PIECE_BYTES];
        let mut crc = Crc32c::new();
        let mut left = length;
        while left > 0 {
            let wanted = usize::try_from(left).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES));
            let (piece, _) = piece.split_at_mut(wanted);
            exactly(&mut self.input, piece, &name)?;
            crc.update(piece);
            write(piece).map_err(Error::Write)?;
            left = left.saturating_sub(wanted as u64);
        }
        zeros(&mut self.input, padding(length), &name)?;
        self.crcs.insert(name, crc.value());
        Ok(true)
    }

    /// Reads what follows the last file, and compares everything with the checksums. Returns what was damaged already when
    /// the archive was written.
    pub fn finish(mut self) -> Result<Vec<String>, Error> {
        while self.file(|_| Ok(()))? {}
        let found = header(&mut self.input, CHECKSUMS)?;
        if found.name != CHECKSUMS || found.time_s != self.time_s || found.length > JSON_BYTES_MAX {
            return Err(Error::Damaged(format!(
                "the header of {CHECKSUMS} does not match"
            )));
        }
        let bytes = json(&mut self.input, CHECKSUMS, found.length)?;
        zeros(&mut self.input, END_BYTES, "its end")?;
        if fill(&mut self.input, &mut [0])? > 0 {
            return Err(Error::Damaged("something follows its end".to_owned()));
        }
        let checksums = Checksums::decode(&bytes)?;
        for (name, crc) in &self.crcs {
            if checksums.files.get(name) != Some(crc) {
                return Err(Error::Damaged(format!("the checksum of {name} does not match")));
            }
        }
        match checksums.files.len() == self.crcs.len() {
            true => Ok(checksums.damages),
            false => Err(Error::Damaged(format!(
                "{CHECKSUMS} names other files than {MANIFEST}"
            ))),
        }
    }
}

fn header(input: &mut impl Read, name: &str) -> Result<Header, Error> {
    let mut block = [0; BLOCK_BYTES];
    exactly(input, &mut block, &format!("the header of {name}"))?;
    Header::decode(&block).ok_or_else(|| Error::Damaged(format!("the header of {name} does not hold")))
}

/// The body of an entry that is kept in memory; its length is bounded, and grows as it is there.
fn json(input: &mut impl Read, name: &str, length: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    input.take(length).read_to_end(&mut bytes).map_err(Error::Read)?;
    if (bytes.len() as u64) < length {
        return Err(Error::CutOff(name.to_owned()));
    }
    zeros(input, padding(length), name)?;
    Ok(bytes)
}

/// Reads zeros, as which padding is written.
fn zeros(input: &mut impl Read, count: usize, name: &str) -> Result<(), Error> {
    let mut block = [0; END_BYTES];
    let (bytes, _) = block.split_at_mut(count.min(END_BYTES));
    exactly(input, bytes, name)?;
    match bytes.iter().all(|byte| *byte == 0) {
        true => Ok(()),
        false => Err(Error::Damaged(format!("what pads {name} is not zero"))),
    }
}

fn exactly(input: &mut impl Read, buf: &mut [u8], name: &str) -> Result<(), Error> {
    match fill(input, buf)? == buf.len() {
        true => Ok(()),
        false => Err(Error::CutOff(name.to_owned())),
    }
}

/// Fills the buffer as far as there is something.
fn fill(input: &mut impl Read, buf: &mut [u8]) -> Result<usize, Error> {
    let mut filled: usize = 0;
    while let Some(rest) = buf.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(count) => filled = filled.saturating_add(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::Read(error)),
        }
    }
    Ok(filled)
}

use std::io::{self, Write};

use firth_batch::{Crc32c, crc32c};

use super::header::Header;
use super::manifest::Checksums;
use super::{BLOCK_BYTES, CHECKSUMS, END_BYTES, MANIFEST, Manifest, PIECE_BYTES};

/// Writes an archive, one file after the other as the manifest lists them.
pub struct Writer<W> {
    out: W,
    time_s: u64,
    manifest: Manifest,
    files: usize,
    checksums: Checksums,
}

impl<W: Write> Writer<W> {
    /// Writes the manifest.
    pub fn begin(out: W, manifest: Manifest) -> io::Result<Writer<W>> {
        let mut writer = Writer {
            out,
            time_s: manifest.created_ms / 1000,
            manifest,
            files: 0,
            checksums: Checksums::default(),
        };
        let bytes = writer.manifest.encode();
        let crc = crc32c(&bytes);
        writer.json(MANIFEST, &bytes)?;
        writer.checksums.files.insert(MANIFEST.to_owned(), crc);
        Ok(writer)
    }

    /// Writes the next file. `read` gives as many bytes as it is asked for from a position of it.
    ///
    /// # Panics
    /// If the manifest has no more files.
    pub fn file(&mut self, mut read: impl FnMut(u64, u64) -> io::Result<Vec<u8>>) -> io::Result<()> {
        let file = self.manifest.files.get(self.files);
        let file = file
            .expect("as many files are written as the manifest lists")
            .clone();
        self.files += 1;
        self.header(&file.name, file.length)?;
        let mut crc = Crc32c::new();
        let mut position = 0;
        while position < file.length {
            let length = (file.length - position).min(PIECE_BYTES as u64);
            let piece = read(position, length)?;
            if piece.len() as u64 != length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            crc.update(&piece);
            self.out.write_all(&piece)?;
            position += length;
        }
        self.pad(file.length)?;
        self.checksums.files.insert(file.name, crc.value());
        Ok(())
    }

    /// Ends the archive, which tells also what was damaged before it was copied.
    ///
    /// # Panics
    /// If files of the manifest were not written.
    pub fn finish(mut self, damages: Vec<String>) -> io::Result<W> {
        assert_eq!(self.files, self.manifest.files.len(), "every file was written");
        self.checksums.damages = damages;
        let bytes = self.checksums.encode();
        self.json(CHECKSUMS, &bytes)?;
        self.out.write_all(&[0; END_BYTES])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn json(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.header(name, bytes.len() as u64)?;
        self.out.write_all(bytes)?;
        self.pad(bytes.len() as u64)
    }

    fn header(&mut self, name: &str, length: u64) -> io::Result<()> {
        let header = Header {
            name: name.to_owned(),
            length,
            time_s: self.time_s,
        };
        self.out.write_all(&header.encode())
    }

    fn pad(&mut self, length: u64) -> io::Result<()> {
        self.out.write_all(&[0; BLOCK_BYTES][..padding(length)])
    }
}

/// Zeros that follow so many bytes.
pub(super) fn padding(length: u64) -> usize {
    let over = usize::try_from(length % BLOCK_BYTES as u64).unwrap_or(0);
    (BLOCK_BYTES - over) % BLOCK_BYTES
}

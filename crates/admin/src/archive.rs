//! The archive that a backup is: a tar stream of segments, with what tells that it is whole.
//!
//! ```text
//! manifest.json     {"format": 1, "firth": version, "cluster_id": id, "created_ms": time, "files": [{"name", "length"}, ...]}
//! segments/<id>     the files that the manifest lists, in its order: ascending, as they lie in a data directory
//! ...
//! checksums.json    two lines: {"files": {name: CRC32C as 8 hexadecimal digits, ...}, "damages": [sentence, ...]}
//!                              {"crc32c": that of the line above, without its line feed}
//! 1024 bytes of zeros, and nothing behind them
//! ```
//!
//! What is known before anything is copied comes first, so that whoever reads can tell versions apart and count on the
//! space; checksums come last, so that a file is read once while the stream is written. The last entry is also what
//! tells a whole archive from one that was cut off.
//!
//! Every byte is the only one that the format allows there, or is under a checksum. Headers are those of POSIX.1-1988
//! (ustar), which any tar opens; they are written and read here since a reader that allows nothing else needs none of
//! what a general one has to refuse: links, devices, paths, sparse files and extensions.

mod header;
mod manifest;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use manifest::{ArchivedFile, Manifest};
pub use reader::Reader;
pub use writer::Writer;

use std::io;

/// The format version that is written, and the newest that is read.
pub const FORMAT: u64 = 1;

const MANIFEST: &str = "manifest.json";
const CHECKSUMS: &str = "checksums.json";
const BLOCK_BYTES: usize = 512;
/// Blocks of zeros that end a tar stream.
const END_BYTES: usize = 2 * BLOCK_BYTES;
/// Bytes of the manifest or of the checksums; enough for half a million segments.
const JSON_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Bytes that are copied at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the backup cannot be read: {0}")]
    Read(#[source] io::Error),
    #[error("what the backup holds cannot be written: {0}")]
    Write(#[source] io::Error),
    #[error("this is no backup of Firth, or its beginning is damaged")]
    NoBackup,
    #[error("the backup has format version {0}, this Firth reads up to {FORMAT}: use a newer one")]
    NewerFormat(u64),
    #[error("the backup is cut off: it ends within {0}")]
    CutOff(String),
    #[error("the backup is damaged: {0}")]
    Damaged(String),
}

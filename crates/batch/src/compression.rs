//! The four codecs of Kafka's clients, each as its Java client writes it.
//!
//! | code | name   | framing                                                                              |
//! | ---- | ------ | ------------------------------------------------------------------------------------ |
//! | 1    | gzip   | RFC 1952, members may follow each other                                              |
//! | 2    | snappy | xerial's: `82 "SNAPPY" 00`, version i32, compatible i32, then (length i32, raw block)*; |
//! |      |        | or one raw block without any framing, which librdkafka and Go clients send            |
//! | 3    | lz4    | LZ4 frame; the Java client reads independent blocks only                              |
//! | 4    | zstd   | RFC 8878                                                                             |

use std::fmt;
use std::io::{Read, Write};

use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

use crate::Error;

const XERIAL_MAGIC: &[u8; 8] = b"\x82SNAPPY\0";
/// The magic, the version and the oldest version that can read it.
const XERIAL_HEADER_LEN: usize = 16;
/// The block size of Kafka's Java client.
const XERIAL_BLOCK_LEN: usize = 32 * 1024;
/// What three bytes of a snappy block, its densest element, can stand for.
const SNAPPY_ELEMENT_MAX: usize = 64;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    #[default]
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Compression {
    pub const ALL: [Compression; 5] = [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];

    /// The code in the lowest three bits of a batch's attributes.
    pub const fn code(self) -> i16 {
        match self {
            Compression::None => 0,
            Compression::Gzip => 1,
            Compression::Snappy => 2,
            Compression::Lz4 => 3,
            Compression::Zstd => 4,
        }
    }

    pub const fn from_code(code: i16) -> Option<Compression> {
        match code {
            0 => Some(Compression::None),
            1 => Some(Compression::Gzip),
            2 => Some(Compression::Snappy),
            3 => Some(Compression::Lz4),
            4 => Some(Compression::Zstd),
            _ => None,
        }
    }

    /// The name that Kafka's `compression.type` has for it.
    pub const fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }

    pub fn from_name(name: &str) -> Option<Compression> {
        Compression::ALL.into_iter().find(|codec| codec.name() == name)
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Decompresses `bytes` to at most `limit` bytes, and stops with [`Error::TooLarge`] as soon as there would be more.
///
/// No memory is reserved for the result on the word of a header. Beside the result a codec has its window: up to 16 MiB
/// for lz4, and for zstd up to 128 MiB if the frame asks for them, of which only what the output fills is touched.
pub fn decompress(codec: Compression, bytes: &[u8], limit: usize) -> Result<Vec<u8>, Error> {
    match codec {
        Compression::None if bytes.len() > limit => Err(Error::TooLarge { limit }),
        Compression::None => Ok(bytes.to_vec()),
        Compression::Gzip => read_bounded(codec, MultiGzDecoder::new(bytes), limit),
        Compression::Snappy if bytes.starts_with(XERIAL_MAGIC) => unsnap_blocks(bytes, limit),
        Compression::Snappy => {
            let mut out = Vec::new();
            unsnap(bytes, &mut out, limit)?;
            Ok(out)
        }
        Compression::Lz4 => read_bounded(codec, FrameDecoder::new(bytes), limit),
        Compression::Zstd => {
            let decoder = zstd::Decoder::with_buffer(bytes).map_err(|error| corrupt(codec, error))?;
            read_bounded(codec, decoder, limit)
        }
    }
}

/// Compresses `bytes` at the codec's default level.
pub fn compress(codec: Compression, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    compress_into(codec, bytes, &mut out);
    out
}

/// Appends what [`compress`] gives to `out`.
#[expect(clippy::expect_used, reason = "each says why it holds")]
pub(crate) fn compress_into(codec: Compression, bytes: &[u8], out: &mut Vec<u8>) {
    const INFALLIBLE: &str = "a Vec takes all that is written to it";
    match codec {
        Compression::None => out.extend_from_slice(bytes),
        Compression::Gzip => {
            let mut encoder = GzEncoder::new(out, flate2::Compression::default());
            encoder.write_all(bytes).expect(INFALLIBLE);
            encoder.finish().expect(INFALLIBLE);
        }
        Compression::Snappy => snap_blocks(bytes, out),
        Compression::Lz4 => {
            let frame = FrameInfo::new()
                .block_mode(BlockMode::Independent)
                .block_size(BlockSize::Max64KB);
            let mut encoder = FrameEncoder::with_frame_info(frame, out);
            encoder.write_all(bytes).expect(INFALLIBLE);
            encoder.finish().expect(INFALLIBLE);
        }
        Compression::Zstd => {
            let level = zstd::DEFAULT_COMPRESSION_LEVEL;
            let mut encoder = zstd::Encoder::new(out, level).expect("the default level exists");
            encoder.write_all(bytes).expect(INFALLIBLE);
            encoder.finish().expect(INFALLIBLE);
        }
    }
}

fn read_bounded(codec: Compression, reader: impl Read, limit: usize) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    // One byte more than allowed tells "exactly the limit" from "too large".
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    reader
        .take(most)
        .read_to_end(&mut out)
        .map_err(|error| corrupt(codec, error))?;
    if out.len() > limit {
        Err(Error::TooLarge { limit })
    } else {
        Ok(out)
    }
}

fn unsnap_blocks(bytes: &[u8], limit: usize) -> Result<Vec<u8>, Error> {
    let codec = Compression::Snappy;
    let mut out = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        // Streams may follow each other, each with its header.
        if rest.starts_with(XERIAL_MAGIC) {
            rest = rest
                .get(XERIAL_HEADER_LEN..)
                .ok_or_else(|| corrupt(codec, "truncated header"))?;
            continue;
        }
        let (len, after) = rest
            .split_first_chunk()
            .ok_or_else(|| corrupt(codec, "truncated block length"))?;
        let len =
            usize::try_from(i32::from_be_bytes(*len)).map_err(|_| corrupt(codec, "negative block length"))?;
        let (block, after) = after
            .split_at_checked(len)
            .ok_or_else(|| corrupt(codec, "truncated block"))?;
        unsnap(block, &mut out, limit)?;
        rest = after;
    }
    Ok(out)
}

/// Appends the content of one raw block to `out`, which may grow to `limit` bytes.
fn unsnap(block: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), Error> {
    let codec = Compression::Snappy;
    let len = snap::raw::decompress_len(block).map_err(|error| corrupt(codec, error))?;
    // The length is the block's own claim: no memory for one that its bytes cannot keep.
    if len > block.len().saturating_mul(SNAPPY_ELEMENT_MAX) {
        return Err(corrupt(codec, "a length that the block cannot hold"));
    }
    let start = out.len();
    let end = start.saturating_add(len);
    if end > limit {
        return Err(Error::TooLarge { limit });
    }
    out.resize(end, 0);
    let place = out.get_mut(start..).unwrap_or_default();
    let written = snap::raw::Decoder::new()
        .decompress(block, place)
        .map_err(|error| corrupt(codec, error))?;
    out.truncate(start.saturating_add(written));
    Ok(())
}

#[expect(clippy::expect_used, reason = "each says why it holds")]
fn snap_blocks(bytes: &[u8], out: &mut Vec<u8>) {
    const VERSION: [u8; 4] = 1i32.to_be_bytes();
    out.extend_from_slice(XERIAL_MAGIC);
    out.extend_from_slice(&VERSION);
    out.extend_from_slice(&VERSION);
    let mut encoder = snap::raw::Encoder::new();
    for chunk in bytes.chunks(XERIAL_BLOCK_LEN) {
        let block = encoder
            .compress_vec(chunk)
            .expect("a chunk of 32 KiB is below snappy's 4 GiB");
        let len = i32::try_from(block.len()).expect("a block of 32 KiB grows by a sixth at most");
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(&block);
    }
}

fn corrupt(codec: Compression, reason: impl fmt::Display) -> Error {
    Error::Decompression {
        codec,
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests;

//! What a record says about itself. The filler follows from the rest, so that a wrong byte is found anywhere.
//!
//! ```text
//! value := writer u32 | partition u32 | sequence u64 | filler | crc u32 of all before
//! ```

use bytes::{Buf, BufMut};
use firth_batch::{Batch, Builder, Compression, crc32c};

const FIXED_LEN: usize = 4 + 4 + 8 + 4;
const DECOMPRESSED_BYTES_MAX: usize = 8 << 20;

/// Records of one writer that follow each other: a batch as it was sent, and as it is read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tags {
    pub(crate) writer: u32,
    pub(crate) partition: i32,
    pub(crate) first_sequence: u64,
    pub(crate) count: u64,
}

impl Tags {
    /// Pushes the records, each with about `filler_len` bytes more than it needs.
    pub(crate) fn push(self, builder: &mut Builder, now_ms: i64, filler_len: usize) {
        for sequence in self.first_sequence..self.first_sequence + self.count {
            let mut value = Vec::with_capacity(FIXED_LEN + filler_len);
            value.put_u32(self.writer);
            value.put_i32(self.partition);
            value.put_u64(sequence);
            // Half of it repeats, so that compression has something to do.
            let filler = (0..filler_len).map(|at| {
                if at % 64 < 32 {
                    at as u8
                } else {
                    (at as u64 ^ sequence) as u8
                }
            });
            value.extend(filler);
            value.put_u32(crc32c(&value));
            // Every record has its own key: compaction keeps all of them.
            let key = format!("{}-{sequence}", self.writer);
            builder.push(now_ms, Some(key.as_bytes()), Some(&value), &[]);
        }
    }

    /// The tags of a batch that was read. Panics on a batch that no writer can have sent.
    pub(crate) fn of(batch: &Batch) -> Tags {
        let records = batch
            .records(DECOMPRESSED_BYTES_MAX)
            .expect("phantom: a batch cannot be opened");
        let mut tags: Option<Tags> = None;
        for record in &records {
            let record = record.expect("phantom: a record cannot be read");
            let (writer, partition, sequence) = parse(record.value.unwrap_or_default());
            let tags = tags.get_or_insert(Tags {
                writer,
                partition,
                first_sequence: sequence,
                count: 0,
            });
            let expected = (tags.writer, tags.partition, tags.first_sequence + tags.count);
            assert_eq!(
                (writer, partition, sequence),
                expected,
                "phantom: a record does not follow the one before it"
            );
            tags.count += 1;
        }
        tags.expect("phantom: a batch without records")
    }
}

fn parse(value: &[u8]) -> (u32, i32, u64) {
    assert!(
        value.len() >= FIXED_LEN,
        "phantom: a value of {} bytes",
        value.len()
    );
    let (body, mut crc) = value.split_at(value.len() - 4);
    assert_eq!(
        crc.get_u32(),
        crc32c(body),
        "phantom: a value whose checksum is wrong"
    );
    let mut fields = body;
    (fields.get_u32(), fields.get_i32(), fields.get_u64())
}

pub(crate) const COMPRESSIONS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

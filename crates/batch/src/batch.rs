use bytes::{Bytes, BytesMut};

use crate::header::{CRC_AT, CRC_COVERS_FROM, put};
use crate::{Error, HEADER_LEN, Header, NO_TIMESTAMP, Records, TimestampType, crc32c};

const ATTRIBUTES_AT: usize = 21;
const MAX_TIMESTAMP_AT: usize = 35;

/// Exactly one whole batch, with its header decoded. Cloning shares the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    header: Header,
    bytes: Bytes,
}

impl Batch {
    /// Takes what a producer sent, under the rules for producers: besides all of [`Batch::stored`], at least one
    /// record, no gaps between their offsets, timestamps that are not negative, a sequence if there is a producer id,
    /// no control batch and no delete horizon. These are the checks of Kafka's `LogValidator.validateBatch`, but for the
    /// last: Kafka stores what a producer says there. Who sets it would choose when compaction drops tombstones whatever
    /// the topic says, and have the base timestamp taken for a record's; no client does.
    ///
    /// A max timestamp before the base timestamp passes: clients that write the last record's time there are in use,
    /// and Kafka takes them.
    ///
    /// The records themselves are not looked at: the checksum says that they are what the producer meant.
    pub fn validate(bytes: Bytes) -> Result<Batch, Error> {
        let batch = Batch::stored(bytes)?;
        let header = &batch.header;
        let count = i64::from(header.record_count);
        let span = i64::from(header.last_offset_delta).saturating_add(1);
        let rules = [
            (count >= 1, "record count below 1", count),
            (
                count == span,
                "record count differs from last offset delta + 1",
                count,
            ),
            (
                header.base_timestamp >= NO_TIMESTAMP,
                "base timestamp below -1",
                header.base_timestamp,
            ),
            (
                header.max_timestamp >= NO_TIMESTAMP,
                "max timestamp below -1",
                header.max_timestamp,
            ),
            (
                !header.has_producer_id() || header.base_sequence >= 0,
                "base sequence below 0 with a producer id",
                header.base_sequence.into(),
            ),
            (
                !header.attributes.is_control(),
                "producers may not write control batches, attributes",
                header.attributes.0.into(),
            ),
            (
                !header.attributes.has_delete_horizon(),
                "producers may not set a delete horizon, attributes",
                header.attributes.0.into(),
            ),
        ];
        match rules.into_iter().find(|(holds, ..)| !holds) {
            Some((_, what, value)) => Err(Error::Malformed { what, value }),
            None => Ok(batch),
        }
    }

    /// Takes a batch that a log may hold: one whole batch and no byte more, a checksum that is right, a known
    /// compression. Compaction may have left fewer records than offsets, or none.
    pub fn stored(bytes: Bytes) -> Result<Batch, Error> {
        let batch = Batch::trusted(bytes)?;
        batch.header.attributes.compression()?;
        let found = crc32c(covered(&batch.bytes));
        if found != batch.header.crc {
            return Err(Error::Crc {
                expected: batch.header.crc,
                found,
            });
        }
        Ok(batch)
    }

    /// Takes one whole batch whose content was checked before, such as bytes that were read under another checksum.
    pub fn trusted(bytes: Bytes) -> Result<Batch, Error> {
        let header = Header::decode(&bytes)?;
        let (needed, available) = (header.total_len(), bytes.len());
        if available < needed {
            return Err(Error::Incomplete { needed, available });
        }
        if available > needed {
            let excess = available.saturating_sub(needed);
            return Err(Error::Malformed {
                what: "bytes after the batch",
                value: i64::try_from(excess).unwrap_or(i64::MAX),
            });
        }
        Ok(Batch { header, bytes })
    }

    pub fn header(&self) -> &Header {
        &self.header
    }

    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Bytes of the whole batch. It is never empty.
    #[expect(clippy::len_without_is_empty, reason = "a batch has at least its header")]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Everything after the header, compressed as it is.
    pub fn payload(&self) -> Bytes {
        self.bytes.slice(HEADER_LEN..)
    }

    /// Opens the batch. What is compressed is decompressed to at most `limit` bytes; what is not is shared, whatever
    /// its size.
    pub fn records(&self, limit: usize) -> Result<Records, Error> {
        Records::open(self, limit)
    }

    /// The same batch with the broker's time: all of its records then have the timestamp `now_ms`. The base timestamp
    /// stays, as the records' deltas count from it. Copies the bytes if they are shared.
    #[must_use]
    pub fn with_log_append_time(self, now_ms: i64) -> Batch {
        let mut header = self.header;
        let attributes = header
            .attributes
            .with_timestamp_type(TimestampType::LogAppendTime);
        if (attributes, now_ms) == (header.attributes, header.max_timestamp) {
            return self;
        }
        header.attributes = attributes;
        header.max_timestamp = now_ms;

        let mut bytes = self
            .bytes
            .try_into_mut()
            .unwrap_or_else(|shared| BytesMut::from(shared.as_ref()));
        put(&mut bytes, ATTRIBUTES_AT, &header.attributes.0.to_be_bytes());
        put(&mut bytes, MAX_TIMESTAMP_AT, &now_ms.to_be_bytes());
        header.crc = seal(&mut bytes);
        Batch {
            header,
            bytes: bytes.freeze(),
        }
    }

    /// A batch that was put together here, header and bytes agreeing.
    pub(crate) fn assembled(header: Header, bytes: Bytes) -> Batch {
        debug_assert_eq!(Header::decode(&bytes), Ok(header));
        debug_assert_eq!(bytes.len(), header.total_len());
        Batch { header, bytes }
    }
}

/// Computes the checksum of a batch, writes it to its place and returns it.
pub(crate) fn seal(batch: &mut [u8]) -> u32 {
    let crc = crc32c(covered(batch));
    put(batch, CRC_AT, &crc.to_be_bytes());
    crc
}

fn covered(batch: &[u8]) -> &[u8] {
    batch.get(CRC_COVERS_FROM..).unwrap_or_default()
}

#[cfg(test)]
mod tests;

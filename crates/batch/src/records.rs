//! The records of a batch, after decompression. Varints are zigzag; a length of -1 is null.
//!
//! ```text
//! record  := length varint | attributes i8 (unused) | timestamp delta varlong | offset delta varint
//!          | key length varint | key | value length varint | value | header count varint | header*
//! header  := key length varint (never null) | key | value length varint | value
//! ```
//!
//! <https://kafka.apache.org/documentation/#record>

use bytes::Bytes;

use crate::varint::{read_i32, read_i64};
use crate::{Batch, Compression, Error, Header, TimestampType, decompress};

/// A batch's records, decompressed: iterate over a reference to it. The records borrow from it; to keep a key or a
/// value longer, use [`Records::slice`].
#[derive(Clone, Debug)]
pub struct Records {
    header: Header,
    payload: Bytes,
}

impl Records {
    pub(crate) fn open(batch: &Batch, limit: usize) -> Result<Records, Error> {
        let header = *batch.header();
        let payload = match header.attributes.compression()? {
            Compression::None => batch.payload(),
            codec => decompress(codec, &batch.payload(), limit)?.into(),
        };
        Ok(Records { header, payload })
    }

    pub fn iter(&self) -> RecordsIter<'_> {
        RecordsIter {
            header: &self.header,
            rest: &self.payload,
            index: 0,
            next_delta: 0,
            done: false,
        }
    }

    /// Goes on behind the records that another iterator over these ones gave.
    pub fn resume(&self, position: Position) -> RecordsIter<'_> {
        let at = self.payload.len().saturating_sub(position.rest);
        RecordsIter {
            header: &self.header,
            rest: self.payload.get(at..).unwrap_or_default(),
            index: position.index,
            next_delta: position.next_delta,
            done: false,
        }
    }

    /// Moves on to the first record at or after an offset. Where the batch has a record for each of its offsets, those in between are
    /// not looked at but for their lengths.
    pub fn seek(&self, position: Position, offset: i64) -> Result<Position, Error> {
        let header = &self.header;
        let is_dense = header.last_offset_delta.checked_add(1) == Some(header.record_count);
        let mut records = self.resume(position);
        if is_dense {
            let index = offset.saturating_sub(header.base_offset);
            let index = i32::try_from(index).unwrap_or(i32::MAX).min(header.record_count);
            while records.index < index {
                records.skip_record()?;
            }
            return Ok(records.position());
        }
        loop {
            let position = records.position();
            match records.next() {
                Some(Ok(record)) if record.offset < offset => {}
                Some(Err(error)) => return Err(error),
                Some(Ok(_)) | None => return Ok(position),
            }
        }
    }

    /// Before the first record.
    pub fn start(&self) -> Position {
        self.iter().position()
    }

    /// The header of the batch that the records came from.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Bytes of the records without compression.
    pub fn uncompressed_len(&self) -> usize {
        self.payload.len()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.payload
    }

    /// A key, a value or a header's part of one of these records, sharing their memory.
    ///
    /// Panics if `part` is not from these records.
    pub fn slice(&self, part: &[u8]) -> Bytes {
        self.payload.slice_ref(part)
    }
}

impl<'a> IntoIterator for &'a Records {
    type Item = Result<Record<'a>, Error>;
    type IntoIter = RecordsIter<'a>;

    fn into_iter(self) -> RecordsIter<'a> {
        self.iter()
    }
}

/// How far an iterator over records is.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    rest: usize,
    index: i32,
    next_delta: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub offset_delta: i32,
    pub timestamp_delta: i64,
    /// The batch's base offset plus the delta.
    pub offset: i64,
    /// Milliseconds since 1970: the batch's base timestamp plus the delta, or its log append time.
    pub timestamp: i64,
    pub key: Option<&'a [u8]>,
    /// A record without a value is a tombstone.
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
}

/// A header of a record. Keys may repeat; they are UTF-8 by convention, which nobody enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader<'a> {
    pub key: &'a [u8],
    pub value: Option<&'a [u8]>,
}

/// The headers of a record, in its order. They were checked when the record was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headers<'a> {
    count: usize,
    bytes: &'a [u8],
}

impl<'a> Iterator for Headers<'a> {
    type Item = RecordHeader<'a>;

    fn next(&mut self) -> Option<RecordHeader<'a>> {
        self.count = self.count.checked_sub(1)?;
        read_header(&mut self.bytes).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count, Some(self.count))
    }
}

impl ExactSizeIterator for Headers<'_> {}

/// Gives exactly as many records as the batch's header says, or ends with the first error. Offsets ascend within the
/// range that the header names; bytes that no record accounts for are an error.
#[derive(Clone, Debug)]
pub struct RecordsIter<'a> {
    header: &'a Header,
    rest: &'a [u8],
    index: i32,
    next_delta: i32,
    done: bool,
}

impl<'a> Iterator for RecordsIter<'a> {
    type Item = Result<Record<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        if self.index < self.header.record_count {
            let record = self.read_record();
            self.index = self.index.saturating_add(1);
            self.done = record.is_err();
            return Some(record);
        }
        self.done = true;
        if self.rest.is_empty() {
            None
        } else {
            Some(Err(unaccounted("bytes after the last record", self.rest)))
        }
    }
}

impl std::iter::FusedIterator for RecordsIter<'_> {}

impl<'a> RecordsIter<'a> {
    /// Where the next record is: see [`Records::resume`].
    pub fn position(&self) -> Position {
        Position {
            rest: self.rest.len(),
            index: self.index,
            next_delta: self.next_delta,
        }
    }

    /// The bytes of the records that were not returned yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Passes a record of a batch that has one for each offset.
    fn skip_record(&mut self) -> Result<(), Error> {
        let len = read_i32(&mut self.rest, "record length")?;
        take(&mut self.rest, len, "record length")?;
        self.index = self.index.saturating_add(1);
        self.next_delta = self.index;
        Ok(())
    }

    fn read_record(&mut self) -> Result<Record<'a>, Error> {
        let len = read_i32(&mut self.rest, "record length")?;
        let mut body = take(&mut self.rest, len, "record length")?;
        let fields = &mut body;

        let (_attributes, after) = fields
            .split_first()
            .ok_or_else(|| malformed("record length", len))?;
        *fields = after;
        let timestamp_delta = read_i64(fields, "record timestamp delta")?;
        let offset_delta = read_i32(fields, "record offset delta")?;
        if offset_delta < self.next_delta || offset_delta > self.header.last_offset_delta {
            return Err(malformed(
                "record offset delta out of order or beyond the batch",
                offset_delta,
            ));
        }
        self.next_delta = offset_delta.saturating_add(1);

        let key = read_nullable(fields, "record key length")?;
        let value = read_nullable(fields, "record value length")?;
        let headers = read_headers(fields)?;
        if !fields.is_empty() {
            return Err(unaccounted("bytes after the record's headers", fields));
        }
        Ok(Record {
            offset_delta,
            timestamp_delta,
            offset: self.header.base_offset.saturating_add(offset_delta.into()),
            timestamp: self.timestamp(timestamp_delta)?,
            key,
            value,
            headers,
        })
    }

    fn timestamp(&self, delta: i64) -> Result<i64, Error> {
        match self.header.attributes.timestamp_type() {
            TimestampType::LogAppendTime => Ok(self.header.max_timestamp),
            TimestampType::CreateTime => {
                self.header
                    .base_timestamp
                    .checked_add(delta)
                    .ok_or(Error::Malformed {
                        what: "record timestamp delta",
                        value: delta,
                    })
            }
        }
    }
}

/// Reads all headers once, so that those who iterate over them later meet no error.
fn read_headers<'a>(fields: &mut &'a [u8]) -> Result<Headers<'a>, Error> {
    const WHAT: &str = "record header count";
    let declared = read_i32(fields, WHAT)?;
    let count = usize::try_from(declared).map_err(|_| malformed(WHAT, declared))?;
    // A header has two bytes or more.
    if count > fields.len() / 2 {
        return Err(malformed(WHAT, declared));
    }
    let bytes = *fields;
    for _ in 0..count {
        read_header(fields)?;
    }
    let len = bytes.len().saturating_sub(fields.len());
    Ok(Headers {
        count,
        bytes: bytes.get(..len).unwrap_or_default(),
    })
}

fn read_header<'a>(fields: &mut &'a [u8]) -> Result<RecordHeader<'a>, Error> {
    let len = read_i32(fields, "header key length")?;
    let key = take(fields, len, "header key length")?;
    let value = read_nullable(fields, "header value length")?;
    Ok(RecordHeader { key, value })
}

fn read_nullable<'a>(fields: &mut &'a [u8], what: &'static str) -> Result<Option<&'a [u8]>, Error> {
    match read_i32(fields, what)? {
        -1 => Ok(None),
        len => take(fields, len, what).map(Some),
    }
}

fn take<'a>(fields: &mut &'a [u8], len: i32, what: &'static str) -> Result<&'a [u8], Error> {
    let (taken, rest) = usize::try_from(len)
        .ok()
        .and_then(|len| fields.split_at_checked(len))
        .ok_or_else(|| malformed(what, len))?;
    *fields = rest;
    Ok(taken)
}

fn malformed(what: &'static str, value: i32) -> Error {
    Error::Malformed {
        what,
        value: value.into(),
    }
}

fn unaccounted(what: &'static str, bytes: &[u8]) -> Error {
    Error::Malformed {
        what,
        value: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
    }
}

#[cfg(test)]
mod tests;

use bytes::Bytes;

use crate::batch::seal;
use crate::compression::compress_into;
use crate::header::MAGIC;
use crate::{
    Attributes, Batch, Compression, HEADER_LEN, Header, LOG_OVERHEAD, NO_EPOCH, NO_PRODUCER_EPOCH,
    NO_PRODUCER_ID, NO_SEQUENCE, NO_TIMESTAMP, RecordHeader, TimestampType, varint,
};

const NULL: i64 = -1;

/// Builds one batch, with base offset 0 and without a leader epoch: both are assigned by the log.
///
/// Records are encoded as they are pushed, directly to their place in the batch; only compression copies them.
#[derive(Debug)]
pub struct Builder {
    header: Header,
    compression: Compression,
    /// Room for the header, then the records without compression.
    buffer: Vec<u8>,
    /// Offsets of the batch, where it has more than records.
    span: i32,
}

impl Builder {
    pub fn new(compression: Compression) -> Builder {
        Builder::with_capacity(compression, 0)
    }

    /// Reserves memory for `records_len` bytes of records.
    pub fn with_capacity(compression: Compression, records_len: usize) -> Builder {
        let mut buffer = Vec::with_capacity(HEADER_LEN.saturating_add(records_len));
        buffer.resize(HEADER_LEN, 0);
        let header = Header {
            base_offset: 0,
            batch_length: 0,
            partition_leader_epoch: NO_EPOCH,
            magic: MAGIC,
            crc: 0,
            attributes: Attributes::default().with_compression(compression),
            last_offset_delta: -1,
            base_timestamp: NO_TIMESTAMP,
            max_timestamp: NO_TIMESTAMP,
            producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_PRODUCER_EPOCH,
            base_sequence: NO_SEQUENCE,
            record_count: 0,
        };
        Builder {
            header,
            compression,
            buffer,
            span: 0,
        }
    }

    /// The batch takes at least so many offsets, also where it has fewer records.
    #[must_use]
    pub fn spanning(mut self, offsets: i32) -> Builder {
        self.span = offsets;
        self
    }

    #[must_use]
    pub fn timestamp_type(mut self, timestamp_type: TimestampType) -> Builder {
        self.header.attributes = self.header.attributes.with_timestamp_type(timestamp_type);
        self
    }

    #[must_use]
    pub fn producer(mut self, id: i64, epoch: i16, base_sequence: i32) -> Builder {
        self.header.producer_id = id;
        self.header.producer_epoch = epoch;
        self.header.base_sequence = base_sequence;
        self
    }

    #[must_use]
    pub fn transactional(mut self) -> Builder {
        self.header.attributes = self.header.attributes.with_transactional(true);
        self
    }

    /// Appends a record with the next offset. `timestamp` is in milliseconds since 1970, or [`NO_TIMESTAMP`].
    ///
    /// Panics on another negative timestamp, and on what no batch can hold: 2^31 - 1 records, or a record of 2 GiB.
    pub fn push(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[RecordHeader<'_>],
    ) -> &mut Builder {
        assert!(timestamp >= NO_TIMESTAMP, "timestamp {timestamp} is negative");
        assert!(
            self.header.record_count < i32::MAX,
            "a batch holds at most 2^31 - 1 records"
        );
        if self.header.record_count == 0 {
            self.header.base_timestamp = timestamp;
        }
        self.header.max_timestamp = self.header.max_timestamp.max(timestamp);
        let timestamp_delta = timestamp.saturating_sub(self.header.base_timestamp);
        let offset_delta = i64::from(self.header.record_count);

        let attributes_len = 1usize;
        let fields_len = [
            varint::len(timestamp_delta),
            varint::len(offset_delta),
            nullable_len(key),
            nullable_len(value),
            varint::len(signed(headers.len())),
        ];
        let headers_len = headers
            .iter()
            .flat_map(|header| [nullable_len(Some(header.key)), nullable_len(header.value)]);
        let len = fields_len
            .into_iter()
            .chain(headers_len)
            .fold(attributes_len, usize::saturating_add);
        assert!(
            i32::try_from(len).is_ok(),
            "a record of {len} bytes does not fit a batch"
        );

        let out = &mut self.buffer;
        out.reserve(len.saturating_add(varint::len(signed(len))));
        varint::write(out, signed(len));
        out.push(0);
        varint::write(out, timestamp_delta);
        varint::write(out, offset_delta);
        write_nullable(out, key);
        write_nullable(out, value);
        varint::write(out, signed(headers.len()));
        for header in headers {
            write_nullable(out, Some(header.key));
            write_nullable(out, header.value);
        }
        self.header.last_offset_delta = self.header.record_count;
        self.header.record_count = self.header.record_count.saturating_add(1);
        self
    }

    pub fn record_count(&self) -> usize {
        usize::try_from(self.header.record_count).unwrap_or(0)
    }

    pub fn is_empty(&self) -> bool {
        self.header.record_count == 0
    }

    /// Bytes of the batch so far, before compression.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Panics without a record, and if the batch would reach 2 GiB: watch [`Builder::len`].
    pub fn build(self) -> Batch {
        let Builder {
            mut header,
            compression,
            buffer,
            span,
        } = self;
        assert!(header.record_count > 0, "a batch has at least one record");
        header.last_offset_delta = header.last_offset_delta.max(span.saturating_sub(1));
        let mut bytes = match compression {
            Compression::None => buffer,
            codec => compressed(codec, &buffer),
        };
        let batch_length = bytes.len().saturating_sub(LOG_OVERHEAD);
        header.batch_length = i32::try_from(batch_length).unwrap_or(i32::MAX);
        assert!(
            header.batch_length < i32::MAX,
            "a batch of {} bytes does not fit its length field",
            bytes.len()
        );

        if let Some(place) = bytes.first_chunk_mut::<HEADER_LEN>() {
            header.encode(place);
        }
        header.crc = seal(&mut bytes);
        Batch::assembled(header, Bytes::from(bytes))
    }
}

fn compressed(codec: Compression, buffer: &[u8]) -> Vec<u8> {
    let (header, records) = buffer.split_at_checked(HEADER_LEN).unwrap_or_default();
    let mut bytes = Vec::with_capacity(buffer.len());
    bytes.extend_from_slice(header);
    compress_into(codec, records, &mut bytes);
    bytes
}

fn nullable_len(bytes: Option<&[u8]>) -> usize {
    match bytes {
        None => varint::len(NULL),
        Some(bytes) => varint::len(signed(bytes.len())).saturating_add(bytes.len()),
    }
}

fn write_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => varint::write(out, NULL),
        Some(bytes) => {
            varint::write(out, signed(bytes.len()));
            out.extend_from_slice(bytes);
        }
    }
}

fn signed(len: usize) -> i64 {
    i64::try_from(len).unwrap_or(i64::MAX)
}

//! The same batch with another compression: what a topic asks for that has a `compression.type` of its own.

use bytes::BufMut;

use crate::retain::assemble;
use crate::{Batch, Compression, Error, HEADER_LEN};

/// All records of `batch`, byte for byte, compressed with `codec`. One that is compressed so already is given back as it is,
/// whatever framing or level its producer chose.
///
/// Its records are read, so that nothing is stored under a new checksum which nobody could open. They are decompressed to at
/// most `decompressed_bytes_max`, and held beside the batch and the result.
///
/// # Errors
/// Those of [`Batch::records`] and of its records.
pub fn recompress(batch: Batch, codec: Compression, decompressed_bytes_max: usize) -> Result<Batch, Error> {
    let mut header = *batch.header();
    if header.attributes.compression()? == codec {
        return Ok(batch);
    }
    let records = batch.records(decompressed_bytes_max)?;
    for record in &records {
        record?;
    }
    header.attributes = header.attributes.with_compression(codec);
    let mut bytes = Vec::with_capacity(HEADER_LEN.saturating_add(records.bytes().len()));
    bytes.put_bytes(0, HEADER_LEN);
    bytes.extend_from_slice(records.bytes());
    assemble(header, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Builder;

    const LIMIT: usize = 1_000_000;

    fn batch(codec: Compression) -> Batch {
        let mut builder = Builder::new(codec).producer(7, 1, 42);
        for number in 0..100 {
            builder.push(number, Some(b"key"), Some(&[0; 100]), &[]);
        }
        builder.build()
    }

    #[test]
    fn a_batch_is_what_its_producer_would_have_sent_with_that_codec() {
        for from in Compression::ALL {
            for to in Compression::ALL {
                let recompressed = recompress(batch(from), to, LIMIT).unwrap();
                assert_eq!(recompressed, batch(to), "{from} to {to}");
                Batch::validate(recompressed.into_bytes()).unwrap();
            }
        }
    }

    #[test]
    fn what_cannot_be_opened_is_refused() {
        let limit = recompress(batch(Compression::Zstd), Compression::None, 1000);
        assert_eq!(limit, Err(Error::TooLarge { limit: 1000 }));

        let mut bytes = batch(Compression::None).into_bytes().to_vec();
        // The length of the first record.
        bytes[HEADER_LEN] = 0x7f;
        let crc = crate::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        let broken = Batch::validate(bytes.into()).unwrap();
        assert!(recompress(broken, Compression::Lz4, LIMIT).is_err());
    }
}

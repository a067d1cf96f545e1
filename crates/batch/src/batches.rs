use crate::{Error, Header};

/// Walks batches that follow each other, reading their headers alone: neither checksum nor records are looked at.
///
/// Ends after the last whole batch, or after the first error. A batch of which only a part is there gives
/// [`Error::Incomplete`]; [`Batches::rest`] then begins with it. To hold on to a batch that was found in a
/// [`bytes::Bytes`], use [`bytes::Bytes::slice_ref`].
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    rest: &'a [u8],
    failed: bool,
}

impl<'a> Batches<'a> {
    pub fn new(bytes: &'a [u8]) -> Batches<'a> {
        Batches {
            rest: bytes,
            failed: false,
        }
    }

    /// The bytes after the last batch that was returned.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    fn take_batch(&mut self) -> Result<(Header, &'a [u8]), Error> {
        let header = Header::decode(self.rest)?;
        let needed = header.total_len();
        let (batch, rest) = self.rest.split_at_checked(needed).ok_or(Error::Incomplete {
            needed,
            available: self.rest.len(),
        })?;
        self.rest = rest;
        Ok((header, batch))
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<(Header, &'a [u8]), Error>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.rest.is_empty() {
            return None;
        }
        let batch = self.take_batch();
        self.failed = batch.is_err();
        Some(batch)
    }
}

impl std::iter::FusedIterator for Batches<'_> {}

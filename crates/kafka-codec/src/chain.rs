use std::io::IoSlice;

use bytes::{Buf, Bytes};
use smallvec::SmallVec;

/// A frame to be sent: slices that follow each other, the size prefix first.
///
/// It is a [`Buf`], so it can be written with one vectored write and continued after a short one.
#[derive(Debug, Clone, Default)]
pub struct Chain {
    /// None is empty.
    parts: SmallVec<[Bytes; 3]>,
    bytes: usize,
}

impl Chain {
    pub(crate) fn push(&mut self, part: Bytes) {
        if !part.is_empty() {
            self.bytes = self.bytes.saturating_add(part.len());
            self.parts.push(part);
        }
    }

    /// Bytes that are left to send, the size prefix included.
    pub fn len(&self) -> usize {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    pub fn parts(&self) -> &[Bytes] {
        &self.parts
    }

    pub fn into_parts(self) -> impl Iterator<Item = Bytes> {
        self.parts.into_iter()
    }
}

impl From<Bytes> for Chain {
    fn from(frame: Bytes) -> Chain {
        let mut chain = Chain::default();
        chain.push(frame);
        chain
    }
}

impl Buf for Chain {
    fn remaining(&self) -> usize {
        self.bytes
    }

    fn chunk(&self) -> &[u8] {
        self.parts.first().map_or(&[], Bytes::as_ref)
    }

    fn chunks_vectored<'a>(&'a self, dst: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0_usize;
        for (slice, part) in dst.iter_mut().zip(&self.parts) {
            *slice = IoSlice::new(part);
            filled = filled.saturating_add(1);
        }
        filled
    }

    fn advance(&mut self, count: usize) {
        assert!(count <= self.bytes, "advanced by {count} of {} bytes", self.bytes);
        self.bytes = self.bytes.saturating_sub(count);
        let mut left = count;
        let mut sent = 0_usize;
        for part in &mut self.parts {
            if left < part.len() {
                part.advance(left);
                break;
            }
            left = left.saturating_sub(part.len());
            sent = sent.saturating_add(1);
        }
        self.parts.drain(..sent);
    }
}

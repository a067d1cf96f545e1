use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use firth_kafka_codec::Chain;
use tokio::io::AsyncWrite;

use crate::reply_memory::Held;

/// Parts up to this size are gathered by copying: that costs less than one more slice in a vectored write.
const GATHERED_BYTES_MAX: usize = 512;

/// Memory for small parts that are written together: some dozens of replies to Produce.
const GATHERED_BYTES: usize = 4096;

/// Slices of one vectored write. Linux takes 1,024; what is larger than this is many system calls anyway.
const SLICES_MAX: usize = 64;

/// What one vectored write offers. Linux would copy as much as the socket takes, which may be megabytes, and keep all
/// others from the core meanwhile.
const WRITE_BYTES_MAX: usize = 256 * 1024;

/// Replies that are complete and not written yet, in order.
#[derive(Default)]
pub(crate) struct Output {
    pieces: VecDeque<Piece>,
    /// Small parts, behind all pieces. It has no memory while there is nothing to write.
    gathered: BytesMut,
    bytes: usize,
}

struct Piece {
    bytes: Bytes,
    /// Released when the piece is written. It may be the last piece of a reply which holds it for all.
    held: Option<Held>,
}

impl Output {
    pub(crate) fn push(&mut self, chain: Chain, mut held: Option<Held>) {
        self.bytes = self.bytes.saturating_add(chain.len());
        let mut parts = chain.into_parts().peekable();
        while let Some(part) = parts.next() {
            if part.len() <= GATHERED_BYTES_MAX {
                if self.gathered.capacity() == 0 {
                    self.gathered.reserve(GATHERED_BYTES);
                }
                self.gathered.extend_from_slice(&part);
                continue;
            }
            self.seal();
            let held = if parts.peek().is_none_or(|last| last.len() <= GATHERED_BYTES_MAX) {
                held.take()
            } else {
                None
            };
            self.pieces.push_back(Piece { bytes: part, held });
        }
    }

    fn seal(&mut self) {
        if !self.gathered.is_empty() {
            let bytes = std::mem::take(&mut self.gathered).freeze();
            self.pieces.push_back(Piece { bytes, held: None });
        }
    }

    /// Bytes that are not written yet.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether what waits to be written are records, for which memory is held.
    pub(crate) fn holds_memory(&self) -> bool {
        self.pieces.iter().any(|piece| piece.held.is_some())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// One vectored write of what there is, within [`WRITE_BYTES_MAX`]. Gives the number of bytes that were taken.
    pub(crate) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let gathered: &[u8] = &self.gathered;
        let parts = self.pieces.iter().map(|piece| piece.bytes.as_ref());
        let mut count = 0_usize;
        let mut room = WRITE_BYTES_MAX;
        for (slice, part) in slices.iter_mut().zip(parts.chain([gathered])) {
            let part = part.get(..room).unwrap_or(part);
            *slice = IoSlice::new(part);
            count = count.saturating_add(1);
            room = room.saturating_sub(part.len());
            if room == 0 {
                break;
            }
        }
        let slices = slices.get(..count).unwrap_or_default();
        let written = ready!(Pin::new(stream).poll_write_vectored(cx, slices))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.advance(written);
        Poll::Ready(Ok(written))
    }

    fn advance(&mut self, written: usize) {
        self.bytes = self.bytes.saturating_sub(written);
        let mut left = written;
        while let Some(front) = self.pieces.front_mut() {
            if left < front.bytes.len() {
                front.bytes.advance(left);
                return;
            }
            left = left.saturating_sub(front.bytes.len());
            self.pieces.pop_front();
        }
        if left < self.gathered.len() {
            self.gathered.advance(left);
        } else {
            self.gathered = BytesMut::new();
        }
        if self.bytes == 0 {
            // A fetch of thousands of batches leaves a long queue behind.
            self.pieces = VecDeque::new();
        }
    }
}

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWrite;

/// Parts up to this size are gathered by copying: that costs less than one more slice in a vectored write.
const GATHERED_BYTES_MAX: usize = 512;

/// Memory for small parts that are written together: some dozens of replies to Produce.
const GATHERED_BYTES: usize = 4096;

/// Slices of one vectored write. Linux takes 1,024; what is larger than this is many system calls anyway.
const SLICES_MAX: usize = 64;

/// What one vectored write offers. Linux would copy as much as the socket takes, which may be megabytes, and keep all
/// others from the core meanwhile.
const WRITE_BYTES_MAX: usize = 256 * 1024;

/// What is complete and not written yet, in order. Of what was pushed with an `H`, that is dropped when the piece is written.
pub struct Output<H> {
    pieces: VecDeque<Piece<H>>,
    /// Small parts, behind all pieces. It has no memory while there is nothing to write.
    gathered: BytesMut,
    bytes: usize,
}

struct Piece<H> {
    bytes: Bytes,
    held: Option<H>,
}

impl<H> Default for Output<H> {
    fn default() -> Output<H> {
        Output {
            pieces: VecDeque::new(),
            gathered: BytesMut::new(),
            bytes: 0,
        }
    }
}

impl<H> Output<H> {
    /// Appends parts of one reply. `held` goes with the last one that is not gathered, if there is any.
    pub fn push(&mut self, parts: impl IntoIterator<Item = Bytes>, mut held: Option<H>) {
        let mut parts = parts.into_iter().peekable();
        while let Some(part) = parts.next() {
            self.bytes = self.bytes.saturating_add(part.len());
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
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether something is held for what waits to be written.
    pub fn holds_any(&self) -> bool {
        self.pieces.iter().any(|piece| piece.held.is_some())
    }

    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// One vectored write of what there is, within [`WRITE_BYTES_MAX`]. Gives the number of bytes that were taken.
    pub fn poll_write<S: AsyncWrite + Unpin>(
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

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use firth_amqp_codec::{Error, frame_size};
use firth_broker::connections::Stream;
use tokio::io::AsyncReadExt;

/// What is read at once while little comes.
const CHUNK_BYTES_MIN: usize = 8 * 1024;
/// What is read at once when reads keep filling the buffer.
const CHUNK_BYTES_MAX: usize = 256 * 1024;

/// Bytes that were received and are not taken as frames yet. It has no memory while nothing is there.
pub(crate) struct Input {
    buffer: BytesMut,
    chunk_bytes: usize,
}

impl Input {
    pub(crate) fn new() -> Input {
        Input {
            buffer: BytesMut::new(),
            chunk_bytes: CHUNK_BYTES_MIN,
        }
    }

    pub(crate) fn received(&self) -> &[u8] {
        &self.buffer
    }

    /// Takes so many bytes of the beginning.
    pub(crate) fn take(&mut self, bytes: usize) -> Bytes {
        let taken = self.buffer.split_to(bytes.min(self.buffer.len())).freeze();
        if self.buffer.is_empty() {
            // What was taken keeps the memory as long as it is needed.
            self.buffer = BytesMut::new();
        }
        taken
    }

    /// Takes all frames that are whole, together.
    ///
    /// # Errors
    /// What lies there is no frame, or one that is too large. Those before it are taken first.
    pub(crate) fn take_frames(&mut self, frame_max: u32) -> Result<Bytes, Error> {
        let mut end = 0_usize;
        loop {
            let rest = self.buffer.get(end..).unwrap_or_default();
            match frame_size(rest, frame_max) {
                Ok(Some(size)) if size <= rest.len() => end = end.saturating_add(size),
                Err(error) if end == 0 => return Err(error),
                _ => return Ok(self.take(end)),
            }
        }
    }

    /// Whether something lies there that can be dealt with, be it that it is no frame.
    pub(crate) fn has_front(&self, frame_max: u32) -> bool {
        match frame_size(&self.buffer, frame_max) {
            Ok(Some(size)) => size <= self.buffer.len(),
            Ok(None) => false,
            Err(_) => true,
        }
    }

    /// Memory that the frame which is not whole yet takes, beyond what a connection always may have.
    pub(crate) fn demand(&self, frame_max: u32) -> usize {
        match frame_size(&self.buffer, frame_max) {
            Ok(Some(size)) if size > CHUNK_BYTES_MIN => size,
            _ => 0,
        }
    }

    /// Reads once. 0 bytes are the end of the stream.
    pub(crate) fn poll_fill<S: Stream>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        demand: usize,
    ) -> Poll<io::Result<usize>> {
        ready!(stream.poll_readable(cx))?;
        self.make_room(demand);
        let limit = self.buffer.capacity().saturating_sub(self.buffer.len());
        let mut room = (&mut self.buffer).limit(limit);
        let polled = pin!(stream.read_buf(&mut room)).poll(cx);
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        let read = ready!(polled)?;
        if read == limit {
            self.chunk_bytes = self.chunk_bytes.saturating_mul(2).min(CHUNK_BYTES_MAX);
        } else if read < self.chunk_bytes / 4 {
            self.chunk_bytes = (self.chunk_bytes / 2).max(CHUNK_BYTES_MIN);
        }
        Poll::Ready(Ok(read))
    }

    fn make_room(&mut self, demand: usize) {
        let missing = demand.saturating_sub(self.buffer.len());
        let room = self.buffer.capacity().saturating_sub(self.buffer.len());
        let wanted = missing.max(CHUNK_BYTES_MIN / 2);
        if room < wanted {
            // A new buffer, because the frames that were taken share the old one.
            let capacity = self.buffer.len().saturating_add(wanted.max(self.chunk_bytes));
            let mut buffer = BytesMut::with_capacity(capacity);
            buffer.extend_from_slice(&self.buffer);
            self.buffer = buffer;
        }
    }
}

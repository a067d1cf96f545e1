use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use firth_broker::connections::Stream;
use firth_kafka_codec::{Error, SIZE_BYTES, frame_size, split_frame};
use tokio::io::AsyncReadExt;

/// What is read at once while requests are small.
const CHUNK_BYTES_MIN: usize = 16 * 1024;
/// What is read at once when reads keep filling the buffer.
const CHUNK_BYTES_MAX: usize = 256 * 1024;
/// Frames up to this size are worth sharing a chunk.
const SHARED_FRAME_BYTES_MAX: usize = CHUNK_BYTES_MAX / 4;
/// A frame gets its own buffer of the right size if more than this of it has not arrived yet.
const OWN_BUFFER_BYTES_MIN: usize = 8 * 1024;
/// The memory for a frame grows by doubling from here, so that a length alone does not allocate more.
const OWN_BUFFER_BYTES_STEP: usize = 1024 * 1024;
/// The same while the client has not sent one whole frame: whoever may connect may claim whatever he likes.
const FIRST_FRAME_BYTES_STEP: usize = 16 * 1024;

/// Bytes that were received and are not taken as frames yet.
///
/// It has no memory while nothing is there. A frame that came with others is a slice of a chunk that they share. A large
/// one is read into a buffer of its own; of it only what came with a chunk before is copied, once.
pub(crate) struct Input {
    buffer: BytesMut,
    chunk_bytes: usize,
    step_bytes: usize,
    frame_bytes_max: usize,
}

/// What lies at the front of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Front {
    /// Not even a size.
    Unknown,
    /// A frame of this size, of which all or a part is here.
    Frame { size: usize, whole: bool },
}

impl Input {
    pub(crate) fn new(frame_bytes_max: usize) -> Input {
        Input {
            buffer: BytesMut::new(),
            chunk_bytes: CHUNK_BYTES_MIN,
            step_bytes: FIRST_FRAME_BYTES_STEP,
            frame_bytes_max,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.buffer.len()
    }

    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// # Errors
    /// A size that is negative or over the limit.
    pub(crate) fn front(&self) -> Result<Front, Error> {
        let front = match frame_size(&self.buffer, self.frame_bytes_max)? {
            None => Front::Unknown,
            Some(size) => {
                let whole = self.buffer.len() >= size.saturating_add(SIZE_BYTES);
                Front::Frame { size, whole }
            }
        };
        Ok(front)
    }

    /// Takes the frame at the front, without its size, if it is whole.
    pub(crate) fn take(&mut self) -> Result<Option<Bytes>, Error> {
        let frame = match split_frame(&mut self.buffer, self.frame_bytes_max)? {
            firth_kafka_codec::Frame::Whole(frame) => {
                self.step_bytes = OWN_BUFFER_BYTES_STEP;
                Some(frame)
            }
            firth_kafka_codec::Frame::Incomplete { .. } => None,
        };
        if self.buffer.is_empty() {
            // The frames keep the chunk alive as long as they need it.
            self.buffer = BytesMut::new();
        }
        if let Some(frame) = frame
            .as_ref()
            .filter(|frame| frame.len() > SHARED_FRAME_BYTES_MAX)
        {
            self.expect_another(frame.len());
        }
        Ok(frame)
    }

    /// Reads once. 0 bytes are the end of the stream.
    pub(crate) fn poll_fill<S: Stream>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<io::Result<usize>> {
        ready!(stream.poll_readable(cx))?;
        let limit = self.make_room();
        let mut room = (&mut self.buffer).limit(limit);
        let polled = pin!(stream.read_buf(&mut room)).poll(cx);
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        let read = ready!(polled)?;
        self.adapt(read, limit);
        Poll::Ready(Ok(read))
    }

    /// Memory that the frame at the front takes: all of it when it is whole or small, and for a large one what the
    /// next read needs. It grows by doubling as the frame arrives, so that a length alone takes little.
    pub(crate) fn demand(&self) -> Result<usize, Error> {
        let Front::Frame { size, whole } = self.front()? else {
            return Ok(0);
        };
        let needed = size.saturating_add(SIZE_BYTES);
        if whole {
            return Ok(needed);
        }
        let doubled = self.buffer.len().saturating_mul(2).max(self.step_bytes);
        Ok(needed.min(doubled))
    }

    /// Provides memory for the next read and says how much of it to use.
    fn make_room(&mut self) -> usize {
        let length = self.buffer.len();
        let (needed, demand) = match (self.front(), self.demand()) {
            (Ok(Front::Frame { size, whole: false }), Ok(demand)) => {
                (size.saturating_add(SIZE_BYTES), demand)
            }
            _ => (length, length),
        };
        let missing = needed.saturating_sub(length);
        if missing > OWN_BUFFER_BYTES_MIN {
            if self.buffer.capacity() < demand {
                self.move_to(demand);
            }
            // What follows the frame is not read into its buffer.
            return missing.min(self.room());
        }
        if self.room() < missing.max(OWN_BUFFER_BYTES_MIN) {
            self.move_to(needed.max(self.chunk_bytes));
        }
        self.room()
    }

    fn room(&self) -> usize {
        self.buffer.capacity().saturating_sub(self.buffer.len())
    }

    fn move_to(&mut self, capacity: usize) {
        let mut buffer = BytesMut::with_capacity(capacity);
        buffer.extend_from_slice(&self.buffer);
        self.buffer = buffer;
    }

    /// After a large frame the next one is likely to be about as large. It then fits into one chunk, unless it is so
    /// large that only its beginning is to be read before there is memory for it.
    fn expect_another(&mut self, frame_bytes: usize) {
        let expected = frame_bytes.saturating_add(frame_bytes / 8);
        self.chunk_bytes = if expected <= CHUNK_BYTES_MAX {
            expected
        } else {
            CHUNK_BYTES_MIN
        };
    }

    /// Reads more at once where many small frames arrive together, and less where few do.
    fn adapt(&mut self, read: usize, limit: usize) {
        if matches!(self.front(), Ok(Front::Frame { size, .. }) if size > SHARED_FRAME_BYTES_MAX) {
            return;
        }
        if read == limit {
            self.chunk_bytes = self.chunk_bytes.saturating_mul(2).min(CHUNK_BYTES_MAX);
        } else if read < self.chunk_bytes / 4 {
            self.chunk_bytes = (self.chunk_bytes / 2).max(CHUNK_BYTES_MIN);
        }
    }
}

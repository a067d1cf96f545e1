//! A block: requests as they arrived, one behind the other, and the replies that wait for them to be durable.

use std::{io::Write, net::TcpStream, sync::Arc};

use crate::recycled::{AlignedBuffer, BLOCK_BYTES};

/// The largest request. Behind a full block there is always room for one more.
pub(crate) const REQUEST_BYTES_MAX: usize = 8 << 20;

/// The low bits of a use id count the uses of one block.
const USE_BITS: u32 = 48;

#[derive(Debug)]
pub(crate) struct Block {
    buffer: AlignedBuffer,
    length: usize,
    replies: Vec<Replies>,
    /// How many of `replies` are of this use of the block; the others keep their memory for the next.
    connections: usize,
    /// Differs between blocks and between the uses of one, so that a connection knows whether its place in `replies` holds.
    pub(crate) use_id: u64,
}

/// The replies for one connection, in order.
#[derive(Debug)]
struct Replies {
    stream: Arc<TcpStream>,
    bytes: Vec<u8>,
}

impl Block {
    pub(crate) fn new(index: u32, bytes_full: usize) -> Self {
        Self {
            buffer: AlignedBuffer::new(bytes_full + REQUEST_BYTES_MAX),
            length: 0,
            replies: Vec::new(),
            connections: 0,
            use_id: (u64::from(index) << USE_BITS) + 1,
        }
    }

    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// `bytes` more of the room are part of the block.
    pub(crate) fn accept(&mut self, bytes: usize) {
        self.length += bytes;
    }

    /// The place for the replies of a connection that has none in this block yet.
    pub(crate) fn open_replies(&mut self, stream: &Arc<TcpStream>) -> usize {
        let place = self.connections;
        match self.replies.get_mut(place) {
            Some(replies) => replies.stream = Arc::clone(stream),
            None => self.replies.push(Replies {
                stream: Arc::clone(stream),
                bytes: Vec::new(),
            }),
        }
        self.connections += 1;
        place
    }

    /// The block's room and the replies at `place`, to read from the one and write to the other.
    pub(crate) fn room_and_replies(&mut self, place: usize) -> (&mut [u8], &mut Vec<u8>) {
        (
            &mut self.buffer.as_mut_slice()[self.length..],
            &mut self.replies[place].bytes,
        )
    }

    /// The block's bytes, up to the next 4 KiB boundary.
    pub(crate) fn aligned(&self) -> &[u8] {
        &self.buffer.as_slice()[..self.length.next_multiple_of(BLOCK_BYTES)]
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer.as_slice()[..self.length]
    }

    /// Sends all replies and empties the block. A connection that is gone does not hear its answer.
    pub(crate) fn answer(&mut self) {
        for replies in &mut self.replies[..self.connections] {
            if !replies.bytes.is_empty() {
                let _gone = (&*replies.stream).write_all(&replies.bytes);
                replies.bytes.clear();
            }
        }
        self.connections = 0;
        self.length = 0;
        self.use_id += 1;
    }
}

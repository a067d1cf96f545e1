//! One connection of the produce driver.

use std::{
    collections::VecDeque,
    io::{ErrorKind, IoSlice, Read, Write},
    net::TcpStream,
};

use anyhow::{Result, bail, ensure};
use hdrhistogram::Histogram;

use super::plan::{Plan, Request, Ring};
use crate::{
    connection::FRAME_BYTES_MAX,
    protocol::{PRODUCE_TAIL, produced},
    wire::frame_size,
};

/// Three slices a request, of the 1,024 that one call takes.
const REQUESTS_PER_WRITE_MAX: usize = 1024 / 3;
const RECEIVE_BYTES: usize = 64 << 10;

#[derive(Debug)]
pub(crate) struct Link {
    stream: TcpStream,
    ring: Vec<Request>,
    /// The request that is sent next, and how much of it is sent already.
    sending: usize,
    sent_bytes: usize,
    /// The request whose reply comes next.
    replying: usize,
    /// When the first byte of each unanswered request was given to the kernel, oldest first.
    began_ns: VecDeque<u64>,
    received: Vec<u8>,
    filled: usize,
    /// The last offset that the server gave, for each partition of the ring.
    last_offsets: Vec<i64>,
}

impl Link {
    pub(crate) fn new(stream: TcpStream, ring: Ring) -> Self {
        Self {
            stream,
            ring: ring.requests,
            sending: 0,
            sent_bytes: 0,
            replying: 0,
            began_ns: VecDeque::new(),
            received: vec![0; RECEIVE_BYTES],
            filled: 0,
            last_offsets: vec![-1; ring.partitions],
        }
    }

    /// Requests that were begun and not answered yet.
    pub(crate) fn unanswered(&self) -> u64 {
        self.began_ns.len() as u64
    }

    /// Fills the pipeline with at most `allowed` new requests, as far as the socket has room. Returns how many were begun.
    pub(crate) fn send(&mut self, plan: &Plan<'_>, allowed: u64, now_ns: u64) -> Result<u64> {
        let mut begun = 0;
        loop {
            let room = (plan.depth - self.began_ns.len().min(plan.depth)) as u64;
            let partial = usize::from(self.sent_bytes > 0);
            let wanted = room.min(allowed - begun) as usize + partial;
            if wanted == 0 {
                return Ok(begun);
            }
            let count = wanted.min(REQUESTS_PER_WRITE_MAX);
            let slices = self.slices(plan, count);
            let written = match (&self.stream).write_vectored(&slices) {
                Ok(0) => bail!("the server takes no more bytes"),
                Ok(written) => written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(begun),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            let complete = written == slices.iter().map(|slice| slice.len()).sum::<usize>();
            begun += self.sent(plan, written, now_ns);
            if !complete {
                return Ok(begun);
            }
        }
    }

    fn slices<'a>(&'a self, plan: &Plan<'a>, count: usize) -> Vec<IoSlice<'a>> {
        let mut slices = Vec::with_capacity(count * 3);
        let mut skip = self.sent_bytes;
        for step in 0..count {
            let request = &self.ring[(self.sending + step) % self.ring.len()];
            let batch = &plan.batches[request.batch];
            for part in [&request.prefix[..], &batch.bytes, &PRODUCE_TAIL] {
                if skip < part.len() {
                    slices.push(IoSlice::new(&part[skip..]));
                }
                skip = skip.saturating_sub(part.len());
            }
        }
        slices
    }

    /// Moves on by `written` bytes and returns how many requests were begun with them.
    fn sent(&mut self, plan: &Plan<'_>, mut written: usize, now_ns: u64) -> u64 {
        let mut begun = 0;
        while written > 0 {
            if self.sent_bytes == 0 {
                begun += 1;
                // Without acknowledgements no reply ever takes this off again.
                if plan.acks != 0 {
                    self.began_ns.push_back(now_ns);
                }
            }
            let prefix_bytes = self.ring[self.sending].prefix.len();
            let request_bytes = prefix_bytes + plan.batch().bytes.len() + PRODUCE_TAIL.len();
            let step = written.min(request_bytes - self.sent_bytes);
            written -= step;
            self.sent_bytes += step;
            if self.sent_bytes == request_bytes {
                self.sent_bytes = 0;
                self.sending = (self.sending + 1) % self.ring.len();
            }
        }
        begun
    }

    /// Reads and checks all replies that have arrived. Returns how many.
    pub(crate) fn receive(&mut self, now_ns: u64, latency: &mut Histogram<u64>) -> Result<u64> {
        let mut answered = 0;
        loop {
            let room = self.received.len() - self.filled;
            match self.stream.read(&mut self.received[self.filled..]) {
                Ok(0) => bail!("the server closed the connection"),
                Ok(read) => {
                    self.filled += read;
                    answered += self.replies(now_ns, latency)?;
                    if read < room {
                        return Ok(answered);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(answered),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn replies(&mut self, now_ns: u64, latency: &mut Histogram<u64>) -> Result<u64> {
        let mut at = 0;
        let mut answered = 0;
        while let Some(size) = frame_size(&self.received[at..self.filled], FRAME_BYTES_MAX)? {
            ensure!(size <= RECEIVE_BYTES, "a reply of {size} bytes");
            if self.filled - at < size {
                break;
            }
            let reply = produced(&self.received[at + 4..at + size])?;
            let request = &self.ring[self.replying];
            ensure!(
                reply.correlation_id == self.replying as i32 && reply.partition == request.partition,
                "request {} to partition {} was answered as {reply:?}",
                self.replying,
                request.partition
            );
            ensure!(reply.error_code == 0, "the server refused a batch: {reply:?}");
            let slot = self.replying % self.last_offsets.len();
            let last = std::mem::replace(&mut self.last_offsets[slot], reply.base_offset);
            ensure!(
                reply.base_offset > last,
                "offset {last} was followed by {reply:?}"
            );
            let Some(began_ns) = self.began_ns.pop_front() else {
                bail!("an answer to nothing: {reply:?}")
            };
            latency.saturating_record(now_ns - began_ns);
            self.replying = (self.replying + 1) % self.ring.len();
            answered += 1;
            at += size;
        }
        self.received.copy_within(at..self.filled, 0);
        self.filled -= at;
        Ok(answered)
    }
}

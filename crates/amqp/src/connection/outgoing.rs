use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use firth_amqp_codec::{ClassMethod, write_method};
use firth_broker::connections::Output;
use firth_broker::{Commit, Failed};
use tokio::io::AsyncWrite;

/// Memory for frames that are written together.
const BUFFER_BYTES: usize = 4 * 1024;

/// Frames that are to be written, in their order.
///
/// What rests on something that is not durable yet is parked, and so is everything behind it:
///
/// ```text
/// socket <- output | parts | commit? parts | commit? parts
/// ```
#[derive(Default)]
pub(crate) struct Outgoing {
    output: Output<()>,
    parts: Parts,
    parked: VecDeque<(Commit, Parts)>,
}

#[derive(Default)]
struct Parts {
    sealed: Vec<Bytes>,
    open: BytesMut,
    /// Of what is sealed.
    bytes: usize,
}

impl Parts {
    fn len(&self) -> usize {
        self.bytes.saturating_add(self.open.len())
    }

    fn seal(&mut self) {
        if !self.open.is_empty() {
            let sealed = self.open.split().freeze();
            self.bytes = self.bytes.saturating_add(sealed.len());
            self.sealed.push(sealed);
        }
    }

    fn push(&mut self, bytes: Bytes) {
        self.seal();
        self.bytes = self.bytes.saturating_add(bytes.len());
        self.sealed.push(bytes);
    }
}

impl Outgoing {
    /// Where the next frames are written to.
    pub(crate) fn buf(&mut self) -> &mut BytesMut {
        let open = &mut self.last().open;
        if open.capacity() == 0 {
            open.reserve(BUFFER_BYTES);
        }
        open
    }

    pub(crate) fn method<M: ClassMethod>(&mut self, channel: u16, method: &M) {
        write_method(self.buf(), channel, method);
    }

    /// A part of a frame that is not copied.
    pub(crate) fn share(&mut self, bytes: Bytes) {
        self.last().push(bytes);
    }

    /// What follows is written when this is durable.
    pub(crate) fn wait_for(&mut self, commit: Commit) {
        if !commit.is_durable() {
            self.parked.push_back((commit, Parts::default()));
        }
    }

    /// Whether nothing waits for something to be durable.
    pub(crate) fn is_released(&self) -> bool {
        self.parked.is_empty()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.parked.is_empty() && self.is_written()
    }

    /// Whether nothing can be written before something else happens.
    pub(crate) fn is_written(&self) -> bool {
        self.parts.len() == 0 && self.output.is_empty()
    }

    /// Bytes that are not written yet.
    pub(crate) fn bytes(&self) -> usize {
        let parked = self.parked.iter().map(|(_, parts)| parts.len());
        let waiting = parked.fold(self.parts.len(), usize::saturating_add);
        self.output.bytes().saturating_add(waiting)
    }

    fn last(&mut self) -> &mut Parts {
        match self.parked.back_mut() {
            Some((_, parts)) => parts,
            None => &mut self.parts,
        }
    }

    /// Makes what is durable ready to be written. Registers the waker where something is not.
    ///
    /// # Errors
    /// Something never will be, so the answers that rest on it must not be given.
    pub(crate) fn poll_release(&mut self, cx: &mut Context<'_>) -> Result<(), Failed> {
        while let Some((commit, _)) = self.parked.front_mut() {
            match Pin::new(commit).poll(cx) {
                Poll::Pending => break,
                Poll::Ready(durable) => durable?,
            }
            self.flush();
            if let Some((_, parts)) = self.parked.pop_front() {
                self.parts = parts;
            }
        }
        Ok(())
    }

    /// One vectored write. Gives the number of bytes that were taken.
    pub(crate) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<io::Result<usize>> {
        self.flush();
        self.output.poll_write(cx, stream)
    }

    fn flush(&mut self) {
        self.parts.seal();
        let Parts { sealed, .. } = std::mem::take(&mut self.parts);
        self.output.push(sealed, None);
    }
}

use std::pin::Pin;
use std::task::{Context, Poll};

use firth_amqp_codec::{ClassMethod, FRAME_MAX_UNTUNED, write_heartbeat};
use firth_broker::connections::{Account, Awaited, Stall, Stream};

use super::input::Input;
use super::outgoing::Outgoing;
use crate::closed::Closed;
use crate::server::Client;

/// After writing this much a connection lets others have its thread.
const TURN_BYTES: usize = 1024 * 1024;
/// Frames are not taken, and nothing is delivered, while more than this waits to be written.
const OUTPUT_BYTES_MAX: usize = 256 * 1024;

/// The socket of a connection, and what lies before and behind it.
pub(crate) struct Io<S> {
    stream: S,
    client: Client,
    pub(crate) input: Input,
    pub(crate) outgoing: Outgoing,
    account: Account,
    /// What of the account is taken.
    taken: usize,
    stall: Stall,
    pub(crate) frame_max: u32,
    /// Whether anything was read, and written, since somebody looked.
    pub(crate) has_received: bool,
    pub(crate) has_sent: bool,
    is_ended: bool,
}

impl<S: Stream> Io<S> {
    pub(crate) fn new(stream: S, client: Client) -> Io<S> {
        let shared = &client.server;
        Io {
            stream,
            input: Input::new(),
            outgoing: Outgoing::default(),
            account: Account::new(shared.broker.memory()),
            taken: 0,
            stall: Stall::new(shared.config.stall_ms_max),
            frame_max: FRAME_MAX_UNTUNED,
            has_received: false,
            has_sent: false,
            is_ended: false,
            client,
        }
    }

    pub(crate) fn method<M: ClassMethod>(&mut self, channel: u16, method: &M) {
        self.outgoing.method(channel, method);
    }

    pub(crate) fn heartbeat(&mut self) {
        // Where something waits to be written the client does not read, and would not see it.
        if self.outgoing.is_empty() {
            write_heartbeat(self.outgoing.buf());
        }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.outgoing.bytes() <= OUTPUT_BYTES_MAX
    }

    /// Whether the client has sent all that it ever will.
    pub(crate) fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Writes what can be written. Ready when that is everything.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        let mut turn = TURN_BYTES;
        loop {
            self.outgoing.poll_release(cx)?;
            if self.outgoing.is_written() {
                return match self.outgoing.is_empty() {
                    true => Poll::Ready(Ok(())),
                    false => Poll::Pending,
                };
            }
            match self.outgoing.poll_write(cx, &mut self.stream) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(written) => {
                    let written = written?;
                    self.has_sent = true;
                    self.client.server.metrics.sent(written);
                    turn = turn.saturating_sub(written);
                }
            }
            if turn == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    /// Reads once, when there is memory for what is to come: `held` bytes are held of contents that are not complete.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, held: usize) -> Poll<Result<(), Closed>> {
        if self.is_ended {
            return Poll::Pending;
        }
        let demand = self.input.demand(self.frame_max);
        let needed = held.saturating_add(demand);
        let more = needed.saturating_sub(self.taken);
        if more > 0 {
            if self.account.poll_take(cx, more).is_pending() {
                return Poll::Pending;
            }
            self.taken = needed;
        } else if self.taken > needed {
            self.account.give(self.taken.saturating_sub(needed));
            self.taken = needed;
        }
        match self.input.poll_fill(cx, &mut self.stream, demand) {
            Poll::Pending => self.poll_stall(cx, needed > 0),
            Poll::Ready(read) => {
                let read = read?;
                self.is_ended = read == 0;
                self.has_received = true;
                self.stall.moved(read);
                self.client.server.metrics.received(read);
                Poll::Ready(Ok(()))
            }
        }
    }

    /// A client that has memory reserved for it has to send what it is for.
    fn poll_stall(&mut self, cx: &mut Context<'_>, is_awaited: bool) -> Poll<Result<(), Closed>> {
        let what = "the rest of a message is awaited";
        let awaited = is_awaited.then(|| Awaited {
            what,
            is_wanted: self.client.server.broker.memory().is_wanted(),
        });
        let stalled = self.stall.poll(cx, awaited);
        stalled.map(|seconds| Err(Closed::Stalled { what, seconds }))
    }

    /// Drops what comes, until nothing does.
    pub(crate) fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        loop {
            let received = self.input.received().len();
            self.input.take(received);
            match self.input.poll_fill(cx, &mut self.stream, 0) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(read) => {
                    if read? == 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        }
    }

    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

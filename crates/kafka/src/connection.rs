//! One task and one loop per connection.
//!
//! ```text
//!            read                 decode, admit            dispatch                 release            write
//!  socket ---------> Input bytes ---------------> request ---------> Replies queue ---------> Output ---------> socket
//! ```
//!
//! Produce is appended when it is dispatched and its reply is parked until that is durable, so pipelined requests
//! gather in one commit. Every other request waits until it is the first in the queue, and nothing behind it is
//! dispatched before it is done: that is the order of Kafka, which works on one request of a connection at a time.
//!
//! What a connection holds is bounded: the parked requests by [`Replies::is_full`], the replies by
//! [`OUTPUT_BYTES_MAX`] and one reply more. Beyond either it stops reading, and the client's socket fills. A client that
//! then moves nothing for a while is cut off, and while others wait for the memory that its replies hold, soon.
//!
//! A client that is over a quota is answered at once and told for how long to wait. For so long nothing more of its requests is
//! dispatched ([`muting`]), so it cannot use more by not waiting, and takes no memory meanwhile.
//!
//! What was appended stays in the engine until it is durable, even if its client has gone or was told that it took longer
//! than it wanted to wait. So does the connection, without its socket, for as long as that takes: its memory is counted, and
//! its place taken.

mod input;
mod muting;
mod replies;

use std::future::{Future, poll_fn};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use firth_broker::connections::{Account, Awaited, Output, Stall, Stream};
use firth_kafka_codec::{
    self as codec, ApiKey, ApiVersionsResponse, ErrorCode, Request, RequestHeader, decode_header,
    decode_request,
};

use self::input::Input;
use self::muting::Muting;
use self::replies::{Asked, Released, Replies};
pub(crate) use self::replies::{Parked, Reply, Running, Timeout};
use crate::closed::Closed;
use crate::handlers::{self, Started};
use crate::reply_memory::Held;
use crate::server::{Client, Shared};

/// Nothing is dispatched while more than this waits to be written.
const OUTPUT_BYTES_MAX: usize = 256 * 1024;

/// After writing this much a connection lets others have its thread: the replies to a consumer that reads old data may
/// be many megabytes, and its socket take them as fast as they come.
const TURN_BYTES: usize = 1024 * 1024;

/// Memory for the replies to Produce that are parked, taken in pieces of this size.
const ENCODED_BYTES: usize = 8 * 1024;
/// Free memory in the piece below which a new one is taken.
const ENCODED_BYTES_MIN: usize = 128;

/// Serves one client until it goes or `stopping` resolves. Then what was dispatched is still answered.
pub(crate) async fn run<S: Stream>(stream: S, client: Client, stopping: impl Future<Output = ()>) -> Closed {
    let mut connection = Connection::new(stream, client);
    let closed = tokio::select! {
        biased;
        closed = poll_fn(|cx| connection.poll(cx)) => closed,
        () = stopping => {
            connection.end(Closed::Stopping);
            poll_fn(|cx| connection.poll(cx)).await
        }
    };
    connection.settle().await;
    closed
}

struct Connection<S> {
    stream: S,
    client: Client,
    input: Input,
    account: Account,
    /// Bytes of the account that are taken for the frame at the front of the input.
    admitted_bytes: usize,
    /// A request that waits until those before it are answered.
    deferred: Option<Box<Dispatch>>,
    replies: Replies,
    output: Output<Held>,
    /// Replies are written here and split off.
    encoded: BytesMut,
    stall: Stall,
    muting: Muting,
    /// Set when nothing more is read: what is dispatched is answered, then the connection ends for this reason.
    ending: Option<Closed>,
}

#[allow(clippy::large_enum_variant, reason = "it is taken apart at once")]
enum Incoming {
    Request(Dispatch),
    /// ApiVersions in a version that is not served.
    Unsupported {
        correlation_id: i32,
        bytes: usize,
    },
}

/// A request, and the memory that it takes.
struct Dispatch {
    header: RequestHeader,
    request: Request,
    bytes: usize,
}

impl<S: Stream> Connection<S> {
    fn new(stream: S, client: Client) -> Connection<S> {
        Connection {
            stream,
            input: Input::new(client.server.config.frame_bytes_max),
            stall: Stall::new(client.server.config.stall_ms_max),
            account: Account::new(client.server.broker.memory()),
            client,
            admitted_bytes: 0,
            deferred: None,
            replies: Replies::default(),
            output: Output::default(),
            encoded: BytesMut::new(),
            muting: Muting::default(),
            ending: None,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Closed> {
        match self.poll_all(cx) {
            Ok(()) => {}
            Err(closed) => return Poll::Ready(closed),
        }
        if self.replies.is_empty() && self.output.is_empty() {
            if let Some(closed) = self.ending.take() {
                return Poll::Ready(closed);
            }
            // The replies share it, and an idle connection needs none.
            self.encoded = BytesMut::new();
        }
        let awaited = self.awaited();
        self.stall.poll(cx, awaited).map(|seconds| Closed::Stalled {
            what: awaited.map_or("", |awaited| awaited.what),
            seconds,
        })
    }

    /// Closes the socket, and waits until what was appended is durable or has failed.
    async fn settle(self) {
        let Connection {
            stream,
            input,
            output,
            account,
            mut replies,
            ..
        } = self;
        drop((stream, input, output));
        replies.cancel();
        while !replies.is_settled() {
            if poll_fn(|cx| replies.poll_next(cx)).await.is_err() {
                break;
            }
        }
        drop(account);
    }

    /// Does all that can be done now. Each step registers the waker where it has to wait.
    fn poll_all(&mut self, cx: &mut Context<'_>) -> Result<(), Closed> {
        let mut turn = TURN_BYTES;
        loop {
            self.muting.poll(cx);
            let released = self.release(cx)?;
            let written = self.write(cx, turn)?;
            turn = turn.saturating_sub(written);
            if turn == 0 {
                cx.waker().wake_by_ref();
                return Ok(());
            }
            let dispatched = self.dispatch(cx)?;
            let read = self.read(cx)?;
            if !(released || written > 0 || dispatched || read) {
                return Ok(());
            }
        }
    }

    /// Nothing more is read. What is dispatched is answered.
    fn end(&mut self, why: Closed) {
        self.ending.get_or_insert(why);
    }

    fn release(&mut self, cx: &mut Context<'_>) -> Result<bool, Closed> {
        // Replies to what became durable together leave together, so the clock is read once for them.
        let mut now = None;
        while let Poll::Ready(reply) = self.replies.poll_next(cx) {
            let Released {
                reply,
                bytes,
                asked,
                timed_out,
            } = reply?;
            self.account.give(bytes);
            let Shared { metrics, broker, .. } = &*self.client.server;
            if timed_out {
                metrics.api(ApiKey::Produce).error(ErrorCode::RequestTimedOut);
            }
            let now = *now.get_or_insert_with(|| broker.clock().monotonic());
            if let Some(asked) = asked {
                let took = now.saturating_sub(asked.at);
                metrics.api(asked.api_key).answered(took, reply.chain.len());
            }
            self.muting.begin(reply.wait);
            self.output.push(reply.chain.into_parts(), reply.held);
        }
        Ok(now.is_some())
    }

    /// Writes while the socket takes it and the turn lasts. Gives the number of bytes.
    fn write(&mut self, cx: &mut Context<'_>, turn: usize) -> Result<usize, Closed> {
        let mut total = 0_usize;
        while !self.output.is_empty() && total < turn {
            match self.output.poll_write(cx, &mut self.stream)? {
                Poll::Ready(written) => total = total.saturating_add(written),
                Poll::Pending => break,
            }
        }
        self.stall.moved(total);
        self.client.server.metrics.sent(total);
        Ok(total)
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, Closed> {
        if !self.wants_input() {
            return Ok(false);
        }
        match self.input.poll_fill(cx, &mut self.stream)? {
            Poll::Pending => Ok(false),
            Poll::Ready(0) if self.input.is_empty() => {
                // It may wait for other answers still, but hardly for records or members that come later.
                if matches!(
                    self.replies.running(),
                    Some(ApiKey::Fetch | ApiKey::JoinGroup | ApiKey::SyncGroup)
                ) {
                    self.replies = Replies::default();
                }
                self.end(Closed::ByClient);
                Ok(true)
            }
            Poll::Ready(0) => Err(Closed::Truncated {
                received: self.input.len(),
            }),
            Poll::Ready(read) => {
                self.stall.moved(read);
                self.client.server.metrics.received(read);
                Ok(true)
            }
        }
    }

    /// While nothing can be dispatched one read is still made, to learn that the client has gone.
    fn wants_input(&self) -> bool {
        self.ending.is_none() && !self.account.is_waiting() && (self.input.is_empty() || self.may_dispatch())
    }

    fn may_dispatch(&self) -> bool {
        !matches!(self.ending, Some(Closed::Stopping))
            && !self.muting.is_on()
            && self.output.bytes() <= OUTPUT_BYTES_MAX
            && match (&self.deferred, self.replies.running()) {
                (_, Some(_)) => false,
                (Some(_), None) => self.replies.is_empty(),
                (None, None) => !self.replies.is_full(),
            }
    }

    fn dispatch(&mut self, cx: &mut Context<'_>) -> Result<bool, Closed> {
        let mut dispatched = false;
        while self.may_dispatch() {
            let request = match self.deferred.take() {
                Some(deferred) => *deferred,
                None => match self.next_request(cx)? {
                    Some(Incoming::Request(request)) => request,
                    Some(Incoming::Unsupported {
                        correlation_id,
                        bytes,
                    }) => {
                        self.refuse_version(bytes, correlation_id)?;
                        dispatched = true;
                        continue;
                    }
                    None => break,
                },
            };
            if !matches!(request.request, Request::Produce(_)) && !self.replies.is_empty() {
                self.deferred = Some(Box::new(request));
                break;
            }
            self.start(request)?;
            dispatched = true;
            if self.replies.running().is_some() {
                // Most requests are answered without waiting, and then the next one can start.
                self.release(cx)?;
                if self.replies.running().is_some() {
                    self.account.settle();
                }
            }
        }
        Ok(dispatched)
    }

    fn start(&mut self, dispatch: Dispatch) -> Result<(), Closed> {
        let Dispatch {
            header,
            request,
            bytes,
        } = dispatch;
        let asked = self.asked(header.api_key, bytes);
        if self.encoded.capacity() < ENCODED_BYTES_MIN {
            self.encoded = BytesMut::with_capacity(ENCODED_BYTES);
        }
        match handlers::start(&self.client, header, request, bytes, &mut self.encoded)? {
            Started::Parked(parked) => {
                self.muting.begin(parked.wait);
                self.replies.park(asked, bytes, parked);
            }
            Started::Running(running) => self.replies.run(asked, bytes, running),
        }
        Ok(())
    }

    /// Counts a request that is dispatched.
    fn asked(&self, api_key: ApiKey, bytes: usize) -> Asked {
        let Shared { metrics, broker, .. } = &*self.client.server;
        metrics.api(api_key).request(bytes);
        Asked {
            api_key,
            at: broker.clock().monotonic(),
        }
    }

    /// The next request, if its frame is whole and there is memory for it.
    fn next_request(&mut self, cx: &mut Context<'_>) -> Result<Option<Incoming>, Closed> {
        let demand = self.input.demand().map_err(Closed::Frame)?;
        let missing = demand.saturating_sub(self.admitted_bytes);
        if missing > 0 {
            if self.account.poll_take(cx, missing).is_pending() {
                return Ok(None);
            }
            self.admitted_bytes = demand;
        }
        let Some(frame) = self.input.take().map_err(Closed::Frame)? else {
            if self.admitted_bytes > 0 {
                // The rest may take long, or never come.
                self.account.settle();
            }
            return Ok(None);
        };
        self.stall.finished();
        decode(&frame, std::mem::take(&mut self.admitted_bytes)).map(Some)
    }

    /// A client that asks which versions are served in a version that is not served is told so in version 0 (KIP-511).
    fn refuse_version(&mut self, bytes: usize, correlation_id: i32) -> Result<(), Closed> {
        let asked = self.asked(ApiKey::ApiVersions, bytes);
        let response = ApiVersionsResponse::unsupported_version();
        let metrics = self.client.server.metrics.api(ApiKey::ApiVersions);
        metrics.error(response.error_code);
        let reply = handlers::encode(&mut self.encoded, 0, correlation_id, &response)?;
        self.replies.park(asked, bytes, Parked::ready(reply));
        Ok(())
    }

    /// What the client is to do before the connection can go on, if anything.
    fn awaited(&self) -> Option<Awaited> {
        if !self.output.is_empty() {
            Some(Awaited {
                what: "replies wait to be read",
                is_wanted: self.client.server.reply_memory.is_wanted() && self.output.holds_any(),
            })
        } else if self.admitted_bytes > 0 && !self.account.is_waiting() {
            Some(Awaited {
                what: "the rest of a frame is awaited",
                is_wanted: self.client.server.broker.memory().is_wanted(),
            })
        } else {
            None
        }
    }
}

fn decode(frame: &Bytes, bytes: usize) -> Result<Incoming, Closed> {
    let (header, body) = match decode_header(frame) {
        Ok(decoded) => decoded,
        Err(codec::Error::UnsupportedVersion {
            api_key: ApiKey::ApiVersions,
            correlation_id,
            ..
        }) => {
            return Ok(Incoming::Unsupported {
                correlation_id,
                bytes,
            });
        }
        Err(error) => return Err(Closed::Frame(error)),
    };
    match decode_request(&header, &body) {
        Ok(request) => Ok(Incoming::Request(Dispatch {
            header,
            request,
            bytes,
        })),
        Err(error) => Err(Closed::Request {
            api_key: header.api_key,
            version: header.api_version,
            error,
        }),
    }
}

#[cfg(test)]
mod muting_tests;
#[cfg(test)]
mod reader_tests;
#[cfg(test)]
mod tests;

//! One task and one loop per connection.
//!
//! ```text
//!           read              whole frames           commands            wait for what is durable       write
//!  socket ---------> Input -----------------> Session ---------> Outgoing ------------------------------------> socket
//!                                                ^
//!                            Mailbox: queues ----'
//! ```
//!
//! In a turn the loop takes the frames that one reading brought, stores what they published, delivers what queues gave its
//! consumers, and waits. It does not go on while much waits to be written, so a client that does not read is not served, and
//! its own socket fills.

mod end;
mod handshake;
mod input;
mod io;
mod outgoing;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use firth_amqp_codec::{Error, Frame, FrameKind, ReplyCode, Taken, take_frame};
use firth_broker::connections::{Stream, stopped};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

pub(crate) use self::end::Ending;
pub(crate) use self::handshake::{Capabilities, Opened};
use self::io::Io;
pub(crate) use self::outgoing::Outgoing;
use crate::closed::Closed;
use crate::exception::{Exception, Quoted};
use crate::server::{Client, Places};
use crate::session::Session;

/// Between two looks at a connection without heartbeats.
const TICK: Duration = Duration::from_secs(30);
/// Ticks without a sign of life after which a client is gone: twice the agreed time, as each tick is half of it.
const QUIET_TICKS_MAX: u32 = 4;
/// Type, channel and size.
const FRAME_START_BYTES: usize = 7;
/// What a method begins with, and a header.
const METHOD_BYTES_MIN: usize = 4;
const HEADER_BYTES_MIN: usize = 12;
/// Bytes of a payload that are told of it in a text.
const SNIPPET_BYTES: usize = 16;

/// Serves one client until it goes or `stopping` resolves.
pub(crate) async fn run<S: Stream>(
    stream: S,
    client: Client,
    mut places: Places,
    stopping: impl Future<Output = ()>,
) -> Closed {
    let mut io = Io::new(stream, client.clone());
    let mut stopping = pin!(stopping);
    let ms = client.server.config.handshake_ms_max;
    let handshake = timeout(Duration::from_millis(ms), handshake::run(&mut io, &client));
    let opened = tokio::select! {
        biased;
        () = &mut stopping => return Closed::Stopping,
        opened = handshake => match opened {
            Ok(Ok(opened)) => opened,
            Ok(Err(closed)) => return closed,
            Err(_elapsed) => return Closed::HandshakeTimeout { seconds: ms / 1000 },
        },
    };
    places.handshake = None;
    let heartbeat_s = opened.heartbeat_s;
    let mut connection = Connection {
        io,
        session: Session::new(client, opened),
        frames: Bytes::new(),
        ticks: ticks(heartbeat_s),
        heartbeat_s,
        quiet_ticks: 0,
    };
    let ending = connection.serve(stopping).await;
    let Connection { io, session, .. } = connection;
    end::end(io, session, ending, heartbeat_s).await
}

fn ticks(heartbeat_s: u16) -> Interval {
    let period = match heartbeat_s {
        0 => TICK,
        seconds => Duration::from_millis(u64::from(seconds).saturating_mul(500)),
    };
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

struct Connection<S> {
    io: Io<S>,
    session: Session,
    /// Whole frames that were received together and not looked at yet.
    frames: Bytes,
    ticks: Interval,
    heartbeat_s: u16,
    quiet_ticks: u32,
}

impl<S: Stream> Connection<S> {
    async fn serve(&mut self, mut stopping: Pin<&mut impl Future<Output = ()>>) -> Ending {
        loop {
            let turn = async {
                self.take_frames().await?;
                self.session.store(&mut self.io.outgoing)?;
                if self.io.has_room() {
                    self.session.deliver(&mut self.io.outgoing).await?;
                }
                self.wait(stopping.as_mut()).await
            };
            if let Err(ending) = turn.await {
                return ending;
            }
        }
    }

    async fn take_frames(&mut self) -> Result<(), Ending> {
        while self.io.has_room() {
            if self.frames.is_empty() {
                let taken = self.io.input.take_frames(self.io.frame_max);
                self.frames = taken.map_err(|error| bad_frame(&error, self.io.input.received()))?;
                if self.frames.is_empty() {
                    return match self.io.is_ended() {
                        true => Err(Ending::Closed(Closed::Gone)),
                        false => Ok(()),
                    };
                }
            }
            let front = self.frames.clone();
            let taken = take_frame(&mut self.frames, self.io.frame_max);
            match taken.map_err(|error| bad_frame(&error, &front))? {
                Taken::Whole(frame) => self.take_frame(&frame).await?,
                Taken::Incomplete { .. } => self.frames = Bytes::new(),
            }
            if self.frames.is_empty() {
                // Queues and others get their turn before more is taken.
                return Ok(());
            }
        }
        Ok(())
    }

    async fn take_frame(&mut self, frame: &Frame) -> Result<(), Ending> {
        let payload_bytes_min = match frame.kind {
            FrameKind::Method => METHOD_BYTES_MIN,
            FrameKind::Header => HEADER_BYTES_MIN,
            FrameKind::Body | FrameKind::Heartbeat => 0,
        };
        if frame.payload.len() < payload_bytes_min {
            return Err(Ending::Exception(unknown_frame(frame)));
        }
        match (frame.channel, frame.kind) {
            (0, FrameKind::Heartbeat) if frame.payload.is_empty() => Ok(()),
            (_, FrameKind::Heartbeat) if !frame.payload.is_empty() => {
                Err(Ending::Exception(unknown_frame(frame)))
            }
            (0, FrameKind::Method) => self
                .session
                .connection_method(&mut self.io.outgoing, &frame.payload),
            (0, _) | (_, FrameKind::Heartbeat) => Err(Ending::Exception(unexpected_frame(frame))),
            _ => self.session.channel_frame(&mut self.io.outgoing, frame).await,
        }
    }

    /// Waits until there is something to do.
    async fn wait(&mut self, stopping: Pin<&mut impl Future<Output = ()>>) -> Result<(), Ending> {
        let Connection {
            io, session, frames, ..
        } = self;
        let mailbox = session.mailbox().clone();
        let inbox = session.inbox().clone();
        let (virtual_host_deleted, user_deleted) = (session.virtual_host_deleted(), session.user_deleted());
        // Deliveries wait for room as everything else does.
        let has_room = io.has_room();
        tokio::select! {
            biased;
            () = stopping => Err(Ending::Stopping),
            moved = poll_fn(|cx| poll(io, session, frames, cx)) => moved,
            () = mailbox.raised(), if has_room => Ok(()),
            () = inbox.raised(), if has_room => Ok(()),
            () = stopped(virtual_host_deleted) => Err(Ending::VirtualHostDeleted),
            () = stopped(user_deleted) => Err(Ending::UserDeleted),
            _ = self.ticks.tick() => self.tick(),
        }
    }

    fn tick(&mut self) -> Result<(), Ending> {
        self.session.check_timeouts(&mut self.io.outgoing)?;
        if self.heartbeat_s == 0 {
            return Ok(());
        }
        if !std::mem::take(&mut self.io.has_sent) {
            self.io.heartbeat();
        }
        let has_received = std::mem::take(&mut self.io.has_received);
        // What the client sends is not read while it does not read itself.
        if has_received || !self.frames.is_empty() {
            self.quiet_ticks = 0;
            return Ok(());
        }
        self.quiet_ticks = self.quiet_ticks.saturating_add(1);
        if self.quiet_ticks > QUIET_TICKS_MAX {
            let seconds = u64::from(self.heartbeat_s).saturating_mul(2);
            return Err(Ending::Closed(Closed::HeartbeatTimeout { seconds }));
        }
        Ok(())
    }
}

/// Ready when something can be done that could not be done before.
fn poll<S: Stream>(
    io: &mut Io<S>,
    session: &mut Session,
    frames: &Bytes,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Ending>> {
    let had_room = io.has_room();
    session.poll_confirms(cx, &mut io.outgoing)?;
    if let Poll::Ready(Err(closed)) = io.poll_flush(cx) {
        return Poll::Ready(Err(Ending::Closed(closed)));
    }
    if !io.has_room() {
        return Poll::Pending;
    }
    let has_work = !frames.is_empty() || session.has_deliveries() || io.input.has_front(io.frame_max);
    if !had_room || has_work {
        return Poll::Ready(Ok(()));
    }
    io.poll_read(cx, session.held_bytes()).map_err(Ending::Closed)
}

/// What lies at the beginning is no frame. The texts are RabbitMQ's.
fn bad_frame(error: &Error, front: &[u8]) -> Ending {
    let kind = front.first().copied().unwrap_or_default();
    let size = front
        .get(3..)
        .and_then(<[u8]>::first_chunk::<4>)
        .copied()
        .unwrap_or_default();
    let size = usize::try_from(u32::from_be_bytes(size)).unwrap_or(usize::MAX);
    let rest = front.get(FRAME_START_BYTES..).unwrap_or_default();
    let payload = rest.get(..size).unwrap_or(rest);
    let text = match error {
        Error::FrameTooLarge { size, max } => {
            format!("{}: {{frame_too_large,{size},{max}}}", snippet(kind, &[]))
        }
        Error::Frame {
            what: "frame-end",
            value,
        } => format!("{}: {{invalid_frame_end_marker,{value}}}", snippet(kind, payload)),
        _ => format!("{}: unknown_frame", snippet(kind, payload)),
    };
    Ending::BadFrame(Exception::new(ReplyCode::FrameError, text))
}

fn snippet(kind: u8, payload: &[u8]) -> String {
    match payload.get(..SNIPPET_BYTES) {
        Some(first) if payload.len() > SNIPPET_BYTES => {
            format!("type {kind}, first {SNIPPET_BYTES} octets = {}", Quoted(first))
        }
        _ => format!("type {kind}, all octets = {}", Quoted(payload)),
    }
}

pub(crate) fn unexpected_frame(frame: &Frame) -> Exception {
    let text = snippet(frame.kind as u8, &frame.payload);
    Exception::new(ReplyCode::UnexpectedFrame, text).of_frame()
}

fn unknown_frame(frame: &Frame) -> Exception {
    let text = format!("{}: unknown_frame", snippet(frame.kind as u8, &frame.payload));
    Exception::new(ReplyCode::FrameError, text).of_frame()
}

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use firth_kafka_codec::{ApiKey, Chain};
use firth_log::Commit;
use smallvec::SmallVec;
use tokio::time::{Duration, Instant, Sleep, sleep_until};

use crate::closed::Closed;
use crate::handlers;
use crate::reply_memory::Held;

/// Requests of one connection that may be parked.
const PARKED_REQUESTS_MAX: usize = 1024;
/// Bytes of requests of one connection that may be parked; a single request may be larger.
const PARKED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Places in the queue that an idle connection keeps.
const IDLE_PLACES_MAX: usize = 32;

/// What a request is answered with.
#[derive(Default)]
pub(crate) struct Reply {
    /// Empty where the protocol wants no answer.
    pub(crate) chain: Chain,
    /// Memory that the chain needs until it is written.
    pub(crate) held: Option<Held>,
    /// For how long the client is to send nothing more.
    pub(crate) wait: Duration,
}

/// What was dispatched, and when by the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) api_key: ApiKey,
    pub(crate) at: Duration,
}

/// A request being worked on.
pub(crate) type Running = Pin<Box<dyn Future<Output = Result<Reply, Closed>> + Send>>;

/// A reply that leaves, and the memory that its request no longer takes.
pub(crate) struct Released {
    pub(crate) reply: Reply,
    pub(crate) bytes: usize,
    /// What it answers; None where nothing is, as it was before.
    pub(crate) asked: Option<Asked>,
    /// It says that something was not durable in time.
    pub(crate) timed_out: bool,
}

/// What was appended and may be answered as soon as it is durable.
pub(crate) struct Parked {
    /// None if there is nothing to wait for.
    pub(crate) commits: SmallVec<[Commit; 1]>,
    /// Empty where the protocol wants no answer: the request's memory is held until its commit all the same.
    pub(crate) reply: Bytes,
    /// None if it waits for as long as it takes.
    pub(crate) timeout: Option<Timeout>,
    /// For how long the client is to send nothing more.
    pub(crate) wait: Duration,
}

/// How long a client wants to wait until what it sent is durable.
#[derive(Clone, Copy)]
pub(crate) struct Timeout {
    pub(crate) deadline: Instant,
    /// Of the request.
    pub(crate) version: i16,
}

impl Parked {
    /// What waits for nothing but those before it.
    pub(crate) fn ready(reply: Bytes) -> Parked {
        Parked {
            commits: SmallVec::new(),
            reply,
            timeout: None,
            wait: Duration::ZERO,
        }
    }

    /// Whether all is durable.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        for commit in &mut self.commits {
            ready!(Pin::new(commit).poll(cx)).map_err(Closed::NotDurable)?;
        }
        Poll::Ready(Ok(()))
    }
}

struct Pending {
    asked: Asked,
    /// Memory that the request takes until it is answered.
    bytes: usize,
    state: State,
}

enum State {
    Parked(Parked),
    Running(Running),
}

/// Requests that were dispatched and are not answered, in order. A running request is the only one in the queue: it
/// starts when nothing is before it, and nothing is dispatched behind it.
#[derive(Default)]
pub(crate) struct Replies {
    queue: VecDeque<Pending>,
    /// What was answered with a timeout and is not durable yet, which is still in memory.
    late: VecDeque<Pending>,
    /// Of both.
    bytes: usize,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Replies {
    pub(crate) fn park(&mut self, asked: Asked, bytes: usize, parked: Parked) {
        self.push(asked, bytes, State::Parked(parked));
    }

    /// Panics if anything is queued: a request that is run waits for those before it.
    pub(crate) fn run(&mut self, asked: Asked, bytes: usize, running: Running) {
        assert!(
            self.queue.is_empty(),
            "{} overtakes a request",
            asked.api_key.name()
        );
        self.push(asked, bytes, State::Running(running));
    }

    fn push(&mut self, asked: Asked, bytes: usize, state: State) {
        if self.queue.capacity() == 0 {
            self.queue.reserve(IDLE_PLACES_MAX);
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.queue.push_back(Pending { asked, bytes, state });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether nothing is in memory any more either.
    pub(crate) fn is_settled(&self) -> bool {
        self.queue.is_empty() && self.late.is_empty()
    }

    /// What is running; nothing else may be dispatched before it is done.
    pub(crate) fn running(&self) -> Option<ApiKey> {
        let last = self.queue.back()?;
        match last.state {
            State::Running(_) => Some(last.asked.api_key),
            State::Parked(_) => None,
        }
    }

    /// Nobody reads the answers any more: what only reads is given up, and what was appended goes on.
    pub(crate) fn cancel(&mut self) {
        if self.running().is_some() {
            self.queue.pop_back();
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.queue.len().saturating_add(self.late.len()) >= PARKED_REQUESTS_MAX
            || self.bytes >= PARKED_BYTES_MAX
    }

    /// The next reply in order. Pending without a waker if nothing is queued. Only the first request is polled, so
    /// a commit wakes its connection once, however many of the connection's requests lie in it.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Released, Closed>> {
        if let Poll::Ready(released) = self.poll_late(cx) {
            return Poll::Ready(released);
        }
        let Some(front) = self.queue.front_mut() else {
            return Poll::Pending;
        };
        let chain = match &mut front.state {
            State::Running(running) => {
                let reply = ready!(running.as_mut().poll(cx))?;
                return Poll::Ready(Ok(self.release(reply)));
            }
            State::Parked(parked) => match parked.poll(cx)? {
                Poll::Ready(()) => Chain::from(std::mem::take(&mut parked.reply)),
                Poll::Pending => {
                    let Some(timeout) = parked.timeout else {
                        return Poll::Pending;
                    };
                    ready!(poll_deadline(&mut self.timer, timeout.deadline, cx));
                    let reply = handlers::timed_out(timeout.version, &parked.reply, &parked.commits)?;
                    return Poll::Ready(Ok(self.answer_late(reply)));
                }
            },
        };
        let reply = Reply {
            chain,
            ..Reply::default()
        };
        Poll::Ready(Ok(self.release(reply)))
    }

    /// What was answered with a timeout is durable now.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<Result<Released, Closed>> {
        let Some(Pending {
            state: State::Parked(parked),
            bytes,
            ..
        }) = self.late.front_mut()
        else {
            return Poll::Pending;
        };
        ready!(parked.poll(cx))?;
        let bytes = *bytes;
        self.late.pop_front();
        self.bytes = self.bytes.saturating_sub(bytes);
        let reply = Reply::default();
        Poll::Ready(Ok(Released {
            reply,
            bytes,
            asked: None,
            timed_out: false,
        }))
    }

    fn release(&mut self, reply: Reply) -> Released {
        let pending = self.pop();
        let bytes = pending.as_ref().map_or(0, |pending| pending.bytes);
        self.bytes = self.bytes.saturating_sub(bytes);
        Released {
            reply,
            bytes,
            asked: pending.map(|pending| pending.asked),
            timed_out: false,
        }
    }

    /// The answer leaves, and what it was for stays in memory.
    fn answer_late(&mut self, reply: Bytes) -> Released {
        let pending = self.pop();
        let asked = pending.as_ref().map(|pending| pending.asked);
        self.late.extend(pending);
        let reply = Reply {
            chain: Chain::from(reply),
            ..Reply::default()
        };
        Released {
            reply,
            bytes: 0,
            asked,
            timed_out: true,
        }
    }

    fn pop(&mut self) -> Option<Pending> {
        let pending = self.queue.pop_front();
        if self.queue.is_empty() && self.queue.capacity() > IDLE_PLACES_MAX {
            self.queue = VecDeque::new();
        }
        pending
    }
}

/// One timer for all requests of a connection: most are answered long before it fires, and then it is left as it is.
fn poll_deadline(timer: &mut Option<Pin<Box<Sleep>>>, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
    loop {
        let sleep = match timer {
            Some(sleep) if sleep.deadline() <= deadline => sleep,
            _ => timer.insert(Box::pin(sleep_until(deadline))),
        };
        let fires_at = sleep.deadline();
        ready!(sleep.as_mut().poll(cx));
        *timer = None;
        if fires_at >= deadline {
            return Poll::Ready(());
        }
    }
}

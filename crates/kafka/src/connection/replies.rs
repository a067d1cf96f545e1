use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use firth_kafka_codec::{ApiKey, Chain};
use firth_log::Commit;
use smallvec::SmallVec;

use crate::closed::Closed;
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
}

/// A request being worked on.
pub(crate) type Running = Pin<Box<dyn Future<Output = Result<Reply, Closed>> + Send>>;

/// A reply that leaves, and the memory that its request no longer takes.
pub(crate) struct Released {
    pub(crate) reply: Reply,
    pub(crate) bytes: usize,
}

/// What was appended and may be answered as soon as it is durable.
pub(crate) struct Parked {
    /// None if there is nothing to wait for.
    pub(crate) commits: SmallVec<[Commit; 1]>,
    /// Empty where the protocol wants no answer: the request's memory is held until its commit all the same.
    pub(crate) reply: Bytes,
}

impl Parked {
    /// What waits for nothing but those before it.
    pub(crate) fn ready(reply: Bytes) -> Parked {
        Parked {
            commits: SmallVec::new(),
            reply,
        }
    }
}

struct Pending {
    /// Memory that the request takes until it is answered.
    bytes: usize,
    state: State,
}

enum State {
    Parked(Parked),
    Running(ApiKey, Running),
}

/// Requests that were dispatched and are not answered, in order. A running request is the only one in the queue: it
/// starts when nothing is before it, and nothing is dispatched behind it.
#[derive(Default)]
pub(crate) struct Replies {
    queue: VecDeque<Pending>,
    bytes: usize,
}

impl Replies {
    pub(crate) fn park(&mut self, bytes: usize, parked: Parked) {
        self.push(bytes, State::Parked(parked));
    }

    /// Panics if anything is queued: a request that is run waits for those before it.
    pub(crate) fn run(&mut self, bytes: usize, api_key: ApiKey, running: Running) {
        assert!(self.queue.is_empty(), "{} overtakes a request", api_key.name());
        self.push(bytes, State::Running(api_key, running));
    }

    fn push(&mut self, bytes: usize, state: State) {
        if self.queue.capacity() == 0 {
            self.queue.reserve(IDLE_PLACES_MAX);
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.queue.push_back(Pending { bytes, state });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// What is running; nothing else may be dispatched before it is done.
    pub(crate) fn running(&self) -> Option<ApiKey> {
        match self.queue.back()?.state {
            State::Running(api_key, _) => Some(api_key),
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
        self.queue.len() >= PARKED_REQUESTS_MAX || self.bytes >= PARKED_BYTES_MAX
    }

    /// The next reply in order. Pending without a waker if nothing is queued. Only the first request is polled, so
    /// a commit wakes its connection once, however many of the connection's requests lie in it.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Released, Closed>> {
        let Some(front) = self.queue.front_mut() else {
            return Poll::Pending;
        };
        let reply = match &mut front.state {
            State::Running(_, running) => ready!(running.as_mut().poll(cx))?,
            State::Parked(parked) => {
                for commit in &mut parked.commits {
                    ready!(Pin::new(commit).poll(cx)).map_err(Closed::NotDurable)?;
                }
                Reply {
                    chain: Chain::from(std::mem::take(&mut parked.reply)),
                    held: None,
                }
            }
        };
        let bytes = front.bytes;
        self.bytes = self.bytes.saturating_sub(bytes);
        self.queue.pop_front();
        if self.queue.is_empty() && self.queue.capacity() > IDLE_PLACES_MAX {
            self.queue = VecDeque::new();
        }
        Poll::Ready(Ok(Released { reply, bytes }))
    }
}

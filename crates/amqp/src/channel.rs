//! What a channel knows: it is plain state, which the session and the handlers change.

mod confirms;
mod transaction;
mod unacked;

use std::collections::HashMap;
use std::sync::Arc;

use firth_amqp_codec::{Assembler, Body, ShortStr, basic};
use firth_broker::Credit;

pub(crate) use self::confirms::{Confirms, Outcome};
pub(crate) use self::transaction::{Buffered, Settlement, Transaction};
pub(crate) use self::unacked::{Run, Unacked};

/// Messages that nobody ever has at a time.
const UNLIMITED: u32 = u32::MAX;

#[derive(Default)]
pub(crate) struct Channel {
    pub(crate) state: State,
    pub(crate) assembler: Assembler,
    /// Bytes of a body that is too large, which are still to come.
    pub(crate) discarding: u64,
    /// Keys of consumers in the session, by their tags.
    pub(crate) consumers: HashMap<ShortStr, u64>,
    pub(crate) next_tag: u64,
    pub(crate) unacked: Unacked,
    /// Messages that a consumer which begins now may have unacknowledged; 0 for any number.
    pub(crate) prefetch_count: u16,
    /// What all consumers of the channel may have together.
    pub(crate) prefetch: Prefetch,
    pub(crate) mode: Mode,
    /// The queue that is meant where none is named.
    pub(crate) last_queue: Option<ShortStr>,
    /// Something was acknowledged that may not be stored yet.
    pub(crate) has_settled: bool,
    /// Who receives what is published to `amq.rabbitmq.reply-to.<token>`.
    pub(crate) reply_consumer: Option<ReplyConsumer>,
}

/// How a channel publishes.
#[derive(Default)]
pub(crate) enum Mode {
    #[default]
    Plain,
    Confirm(Confirms),
    Transaction(Transaction),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum State {
    /// Nothing but channel.open may come.
    #[default]
    New,
    Open,
    /// The client was sent channel.close; what comes before it answers means nothing.
    Closing,
}

/// How many messages all consumers of a channel may have together. There is always one, so that a limit can come later.
pub(crate) struct Prefetch {
    /// 0 for no limit.
    count: u16,
    credit: Arc<Credit>,
}

impl Default for Prefetch {
    fn default() -> Prefetch {
        Prefetch {
            count: 0,
            credit: Credit::new(UNLIMITED),
        }
    }
}

impl Prefetch {
    pub(crate) fn credit(&self) -> &Arc<Credit> {
        &self.credit
    }

    pub(crate) fn is_limited(&self) -> bool {
        self.count > 0
    }

    /// What consumers have already counts.
    pub(crate) fn limit(&mut self, count: u16) {
        let of = |count: u16| match count {
            0 => i64::from(UNLIMITED),
            count => i64::from(count),
        };
        self.credit.give(of(count).saturating_sub(of(self.count)));
        self.count = count;
    }
}

pub(crate) struct ReplyConsumer {
    pub(crate) tag: ShortStr,
    pub(crate) token: String,
}

/// A message that is to be published.
pub(crate) struct Publish {
    pub(crate) method: basic::Publish,
    /// As they are stored.
    pub(crate) properties: Vec<u8>,
    pub(crate) expiration_ms: Option<u64>,
    pub(crate) priority: u8,
    /// How long delayed exchanges keep it.
    pub(crate) delay_ms: Option<u32>,
    pub(crate) body: Body,
}

impl Channel {
    /// The tag of the next delivery. They begin with 1.
    pub(crate) fn tag(&mut self) -> u64 {
        self.next_tag = self.next_tag.saturating_add(1);
        self.next_tag
    }

    /// The size of the message that is being received, if it is over the limit. The rest of it is discarded then.
    pub(crate) fn too_large(&mut self, max: usize) -> Option<u64> {
        let missing = self.assembler.missing();
        let received = self.assembler.partial().map_or(0, |content| content.body.len());
        let size = missing.saturating_add(u64::try_from(received).unwrap_or(u64::MAX));
        if size <= u64::try_from(max).unwrap_or(u64::MAX) || missing == 0 {
            return None;
        }
        self.assembler = Assembler::default();
        self.discarding = missing;
        Some(size)
    }

    /// Bytes that are held of what is not complete.
    pub(crate) fn held_bytes(&self) -> usize {
        let of_transaction = match &self.mode {
            Mode::Transaction(transaction) => transaction.bytes(),
            Mode::Plain | Mode::Confirm(_) => 0,
        };
        let partial = self.assembler.partial();
        let of_content = partial.map_or(0, |content| {
            content.properties.len().saturating_add(content.body.len())
        });
        of_content.saturating_add(of_transaction)
    }
}

//! Exchanges: where messages are published to.

use std::sync::Arc;

/// What a new exchange is to be.
#[derive(Clone, Debug, Default)]
pub struct NewExchange {
    pub name: String,
    pub kind: ExchangeKind,
    pub durable: bool,
    /// It goes with the last binding of which it is the source.
    pub auto_delete: bool,
    /// No client may publish to it.
    pub internal: bool,
    pub alternate_exchange: Option<String>,
    /// As they were declared, in the encoding of the protocol, which compares them when the exchange is declared again.
    pub arguments: Vec<u8>,
}

/// How an exchange finds the destinations of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum ExchangeKind {
    /// Those whose binding has the message's routing key.
    #[default]
    Direct,
    /// All of them.
    Fanout,
    /// Those whose binding key, as a pattern of words, matches the routing key.
    Topic,
    /// Those whose conditions the message's headers meet.
    Headers,
    /// One of them. Each message with the same value goes to the same, for as long as that is bound.
    ConsistentHash(HashOn),
    /// Those of the other kind, after a delay that the message names.
    Delayed(Box<ExchangeKind>),
}

/// What of a message an exchange hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum HashOn {
    #[default]
    RoutingKey,
    /// The header with this name.
    Header(Box<str>),
    Property(HashProperty),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HashProperty {
    MessageId,
    CorrelationId,
    Timestamp,
}

/// An exchange that exists. It never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    pub name: Arc<str>,
    pub kind: ExchangeKind,
    pub durable: bool,
    pub auto_delete: bool,
    pub internal: bool,
    /// Where messages go that no binding matches. It need not exist.
    pub alternate_exchange: Option<Arc<str>>,
    /// As they were declared, in the encoding of the protocol.
    pub arguments: Arc<[u8]>,
    /// Every virtual host has it from the start, and it cannot be deleted.
    pub predeclared: bool,
}

/// The exchange that knows every queue of its virtual host by its name.
pub const DEFAULT_EXCHANGE: &str = "";

/// What every virtual host has.
const PREDECLARED: [(&str, ExchangeKind); 6] = [
    (DEFAULT_EXCHANGE, ExchangeKind::Direct),
    ("amq.direct", ExchangeKind::Direct),
    ("amq.fanout", ExchangeKind::Fanout),
    ("amq.topic", ExchangeKind::Topic),
    ("amq.headers", ExchangeKind::Headers),
    ("amq.match", ExchangeKind::Headers),
];

/// The exchanges that every virtual host has from the start.
pub(crate) fn predeclared() -> impl Iterator<Item = Exchange> {
    PREDECLARED.into_iter().map(|(name, kind)| Exchange {
        name: name.into(),
        kind,
        durable: true,
        auto_delete: false,
        internal: false,
        alternate_exchange: None,
        arguments: Arc::new([]),
        predeclared: true,
    })
}

impl ExchangeKind {
    /// The kind that decides about destinations.
    pub(crate) fn matching(&self) -> &ExchangeKind {
        match self {
            ExchangeKind::Delayed(inner) => inner.matching(),
            kind => kind,
        }
    }

    pub fn is_delayed(&self) -> bool {
        matches!(self, ExchangeKind::Delayed(_))
    }
}

impl Exchange {
    pub(crate) fn new(new: NewExchange) -> Exchange {
        Exchange {
            name: new.name.into(),
            kind: new.kind,
            durable: new.durable,
            auto_delete: new.auto_delete,
            internal: new.internal,
            alternate_exchange: new.alternate_exchange.map(Arc::from),
            arguments: new.arguments.into(),
            predeclared: false,
        }
    }
}

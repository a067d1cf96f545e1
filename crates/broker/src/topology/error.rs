use crate::{DefineError, InvalidName, NotDeleted, StateError};

/// Why a change to the topology was refused. Then nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopologyError {
    #[error("there is no virtual host '{0}'")]
    UnknownVirtualHost(String),
    #[error("there is no exchange '{exchange}' in virtual host '{virtual_host}'")]
    UnknownExchange { exchange: String, virtual_host: String },
    #[error("there is no queue '{queue}' in virtual host '{virtual_host}'")]
    UnknownQueue { queue: String, virtual_host: String },
    #[error("there is no topic '{0}'")]
    UnknownTopic(String),
    /// It has bindings of which it is the source.
    #[error("exchange '{0}' is in use")]
    ExchangeInUse(String),
    #[error("queue '{queue}' is not deleted: {reason}")]
    QueueNotDeleted { queue: String, reason: NotDeleted },
    #[error("virtual host '{virtual_host}' has as many queues as it may have, which is {max}")]
    TooManyQueues { virtual_host: String, max: u64 },
    #[error("virtual host '{virtual_host}' has as many connections as it may have, which is {max}")]
    TooManyConnections { virtual_host: String, max: u64 },
    #[error("exchange '{0}' belongs to its virtual host and cannot be deleted")]
    PredeclaredExchange(String),
    #[error("the default exchange knows every queue by its name and has no other bindings")]
    DefaultExchange,
    #[error("the binding key of a consistent-hash exchange is a weight, a whole number, and not '{0}'")]
    WeightNotInteger(String),
    #[error("the binding key of a consistent-hash exchange is a weight of at least 1, and not '{0}'")]
    WeightNotPositive(String),
    #[error("a {what} has at most {max} bytes, and this one has {bytes}")]
    TooLong {
        what: &'static str,
        bytes: usize,
        max: usize,
    },
    #[error("a stream is a topic, which cannot have the name '{name}': {reason}")]
    StreamName { name: String, reason: InvalidName },
    #[error("a stream is stored: it is durable, belongs to no connection, and is deleted by request alone")]
    StreamNotDurable,
    #[error("stream '{name}' cannot be the topic of that name: {reason}")]
    StreamTopic { name: String, reason: &'static str },
    /// The topic of a stream could not be created or deleted.
    #[error(transparent)]
    Topic(#[from] DefineError),
    #[error(transparent)]
    State(#[from] StateError),
}

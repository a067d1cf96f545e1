//! What stands between the protocols and the log engine: topics, their configuration, the rules for producing,
//! retention, quotas, virtual hosts with their exchanges and bindings, users and what they may do, and the memory that requests
//! may take.
//!
//! Invariants:
//! - Protocol-neutral: nothing here knows a wire format, an error code or a version. A protocol maps
//!   [`DefineError`], [`ProduceError`] and [`ReadError`] to its own codes, without a catch-all arm.
//! - A topic is seen by nobody before its creation is durable, and by nobody after its deletion is. Its logs are
//!   created and deleted in the frame that holds the record of it.
//! - Only logs of topics can be named from outside: every path starts at a [`Topic`], and the engine's and the
//!   broker's own logs belong to none.
//! - Definitions have one owner, a task; a request to it is answered when everything that the answer rests on is
//!   durable.
//! - A state log ([`StateLog`]) keeps what a state machine of a protocol stores, under keys; what the records mean is the
//!   protocol's business.
//! - Whoever does something for a client asks the [`authorizer`] first, whatever path it is. What a password was is known to nobody.
//! - Where a message goes is found by the router alone ([`RouteCache`], [`route_delayed`]), and says the same as the bindings of that
//!   moment do, remembered or not. What is declared is changed under the lock of its virtual host.
//! - Time and randomness come from the [`Environment`]. No lock is held across an await.
//!
//! Absent: timers, the rules of groups, transactions, and any I/O but the engine's.

pub mod authorizer;
mod broker;
mod cleaner;
mod clock;
mod cluster_id;
mod compaction;
mod config;
pub mod connections;
mod counters;
pub mod dead_letter;
mod definitions;
mod delete_records;
mod delivery;
mod error;
mod expiry;
mod fan_out;
pub mod fields;
pub mod fuzzing;
mod guarded_clock;
mod memory;
mod message;
mod offsets;
mod produce;
mod properties;
mod publishing;
mod queue;
mod queues;
mod quotas;
mod read;
mod reclaim;
mod retention;
mod router;
mod state_log;
mod tasks;
mod timer;
mod topic;
mod topic_config;
mod topic_name;
mod topics;
mod topology;
pub mod users;

pub use broker::{Broker, Created};
pub use clock::{Clock, Environment};
pub use cluster_id::ClusterId;
pub use config::{Config, MEMORY_BYTES_DEFAULT};
pub use counters::Counters;
pub use definitions::{NewTopic, PARTITIONS_MAX, PARTITIONS_TOTAL_MAX, QuotaEdits};
pub use error::{DefineError, Error, ProduceError, ReadError, StateError};
pub use memory::{Memory, Reservation};
pub use message::{Delay, Message};
pub use offsets::{At, OffsetAndTimestamp};
pub use produce::Appended;
pub use properties::PropertiesFormat;
pub use publishing::{Publication, Published, PublishedToTopics};
pub use queue::{
    ConnectionId, ConsumeError, Consumer, Counts, Credit, Delivered, Event, Handed, Mailbox, NewQueue,
    NotDeleted, Overflow, Queue, QueueDefinition, QueueId, QueueKind, QueueOptions, Reader, Taken,
};
pub use quotas::{
    EntityQuotas, InvalidQuota, QUOTA_ENTITIES_MAX, QUOTA_NAME_BYTES_MAX, QuotaEntity, QuotaKey, QuotaLimit,
    QuotaName, QuotaSubject, Quotas,
};
pub use router::{
    DELAY_HEADER, HeaderMatch, HeaderValue, Headers, MatchMode, NoHeaders, PARTITION_KEY_HEADER, RouteCache,
    Targets, delay_ms, partition_key, partition_of, route_delayed,
};
pub use state_log::{Replayed, StateLog, StateRecord, Unreadable};
pub use topic::{Partition, Topic, TopicId};
pub use topic_config::{
    Allowed, CleanupPolicy, CompressionType, ConfigChange, ConfigEdit, ConfigError, Effect, Ratio, SETTINGS,
    Setting, TopicConfig,
};
pub use topic_name::{InvalidName, TOPIC_NAME_BYTES_MAX, validate as validate_topic_name};
pub use topology::{
    ARGUMENTS_BYTES_MAX, Binding, DEFAULT_EXCHANGE, Declared, DeletedQueue, Destination, Exchange,
    ExchangeKind, FIRST_VIRTUAL_HOST, HashOn, HashProperty, NAME_BYTES_MAX, NewBinding, NewExchange,
    Topology, TopologyError, VirtualHost, VirtualHostConnection, VirtualHostSettings,
};
pub use users::Users;

/// The engine's types that pass through unchanged.
pub use firth_log::file::DiskUsage;
pub use firth_log::{ActiveProducer, Bounds, Commit, Failed, Read, Signal};

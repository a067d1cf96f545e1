//! What the topology stores, as keys and values of a log of its own. All integers are little-endian.
//!
//! ```text
//! key
//! 1 Ids           type u8 = 1
//! 2 VirtualHost   type u8 = 2 | id u64
//! 3 Exchange      type u8 = 3 | virtual host id u64 | name text
//! 4 Queue         type u8 = 4 | virtual host id u64 | name text
//! 5 Binding       type u8 = 5 | virtual host id u64 | source text | destination | binding key text | arguments bytes
//! destination := kind u8: 1 queue, 2 exchange, 3 topic | name text
//!
//! value           version u8 = 1, and then
//! Ids             next queue u64 | next virtual host u64        ids below these may have been given out
//! VirtualHost     name text | description text | count u32 | tag text * | max queues u64 opt | max connections u64 opt
//! Exchange        kind | durable bool | auto-delete bool | internal bool | alternate exchange text opt | arguments bytes
//! Queue           id u64 | auto-delete bool | options | arguments bytes | topic 16 bytes opt
//! Binding         header match opt | topic 16 bytes opt
//! kind         := 1 direct | 2 fanout | 3 topic | 4 headers | 5 consistent hash, hash on | 6 delayed, kind
//! hash on      := 1 routing key | 2 header, text | 3 message id | 4 correlation id | 5 timestamp
//! options      := kind u8: 1 classic, 2 quorum, 3 stream | message ttl u64 opt | expires u64 opt | max length u64 opt
//!               | max length bytes u64 opt | overflow u8: 1 drop head, 2 reject publish, 3 reject publish and dead-letter
//!               | dead-letter exchange text opt | dead-letter routing key text opt | max priority u8 opt
//!               | single active consumer bool | delivery limit u32 opt | max age u64 opt | max segment size u64 opt
//! header match := mode u8: 1 all, 2 any, 3 all with x, 4 any with x | count u32 | (name text | value) *
//! value        := 1 void | 2 bool | 3 integer i128 | 4 float f64 | 5 decimal: scale u8, value u32
//!               | 6 bytes | 7 table bytes | 8 array bytes
//! ```
//!
//! Times are in milliseconds. Text, bytes, opt and bool are those of [`crate::fields`].

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

mod decode;
mod encode;

use std::sync::Arc;

pub(crate) use self::decode::decode;
use super::{Binding, Exchange, VirtualHostSettings};
use crate::{QueueId, QueueOptions, StateRecord, TopicId};

const VERSION: u8 = 1;

const IDS: u8 = 1;
const VIRTUAL_HOST: u8 = 2;
const EXCHANGE: u8 = 3;
const QUEUE: u8 = 4;
const BINDING: u8 = 5;

const TO_QUEUE: u8 = 1;
const TO_EXCHANGE: u8 = 2;
const TO_TOPIC: u8 = 3;

/// Delayed exchanges lie in one another no deeper.
const KINDS_DEEP_MAX: usize = 2;

/// Identifies a virtual host for ever: when its name is used again, the new one has another id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct VirtualHostId(pub(crate) u64);

impl VirtualHostId {
    /// The one that is there from the start.
    pub(crate) const FIRST: VirtualHostId = VirtualHostId(0);
}

/// Ids below these may have been given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) queue: u64,
    pub(crate) virtual_host: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredQueue {
    pub(crate) id: QueueId,
    pub(crate) name: Arc<str>,
    pub(crate) auto_delete: bool,
    pub(crate) options: QueueOptions,
    pub(crate) arguments: Vec<u8>,
    pub(crate) topic: Option<TopicId>,
}

/// A record that was read, or is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    Ids(Ids),
    VirtualHost(VirtualHostId, Arc<str>, VirtualHostSettings),
    Exchange(VirtualHostId, Exchange),
    Queue(VirtualHostId, StoredQueue),
    Binding(VirtualHostId, Binding),
}

impl Stored {
    pub(crate) fn record(&self) -> StateRecord {
        StateRecord {
            key: encode::key(self).into(),
            value: Some(encode::value(self).into()),
        }
    }

    /// What removes it.
    pub(crate) fn removal(&self) -> StateRecord {
        StateRecord {
            key: encode::key(self).into(),
            value: None,
        }
    }
}

#[cfg(test)]
mod tests;

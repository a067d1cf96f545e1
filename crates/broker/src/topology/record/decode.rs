use std::borrow::Cow;
use std::sync::Arc;

use super::{
    BINDING, EXCHANGE, IDS, Ids, KINDS_DEEP_MAX, QUEUE, Stored, StoredQueue, TO_EXCHANGE, TO_QUEUE, TO_TOPIC,
    VERSION, VIRTUAL_HOST, VirtualHostId,
};
use crate::fields::{Fields, Malformed};
use crate::topology::BindingDetails;
use crate::{
    Binding, Destination, Exchange, ExchangeKind, HashOn, HashProperty, HeaderMatch, HeaderValue, MatchMode,
    Overflow, QueueId, QueueKind, QueueOptions, StateRecord, TopicId, VirtualHostSettings,
};

pub(crate) fn decode(record: &StateRecord) -> Result<Stored, Malformed> {
    let mut key = Fields(&record.key);
    let mut value = Fields(record.value.as_deref().unwrap_or_default());
    let kind = key.u8()?;
    if value.u8()? != VERSION {
        return Err(Malformed("version"));
    }
    let stored = match kind {
        IDS => Stored::Ids(Ids {
            queue: value.u64()?,
            virtual_host: value.u64()?,
        }),
        VIRTUAL_HOST => {
            let id = VirtualHostId(key.u64()?);
            Stored::VirtualHost(id, value.text()?, value.virtual_host()?)
        }
        EXCHANGE => Stored::Exchange(VirtualHostId(key.u64()?), value.exchange(key.text()?)?),
        QUEUE => Stored::Queue(VirtualHostId(key.u64()?), value.queue(key.text()?)?),
        BINDING => {
            let id = VirtualHostId(key.u64()?);
            let (source, destination, binding_key) = (key.text()?, key.destination()?, key.str()?);
            let details = BindingDetails {
                arguments: key.bytes()?.into(),
                header_match: value.optional(Fields::header_match)?,
                topic: value.optional(Fields::array)?.map(TopicId),
            };
            let binding = Binding {
                source,
                destination,
                key: binding_key.into(),
                details: details.boxed(),
            };
            Stored::Binding(id, binding)
        }
        _ => return Err(Malformed("type")),
    };
    key.end()?;
    value.end()?;
    Ok(stored)
}

impl Fields<'_> {
    fn virtual_host(&mut self) -> Result<VirtualHostSettings, Malformed> {
        Ok(VirtualHostSettings {
            description: self.str()?.to_owned(),
            tags: {
                let count = self.length()?;
                (0..count)
                    .map(|_| self.str().map(str::to_owned))
                    .collect::<Result<_, _>>()?
            },
            max_queues: self.optional(Fields::u64)?,
            max_connections: self.optional(Fields::u64)?,
        })
    }

    fn exchange(&mut self, name: Arc<str>) -> Result<Exchange, Malformed> {
        Ok(Exchange {
            name,
            kind: self.kind(KINDS_DEEP_MAX)?,
            durable: self.bool()?,
            auto_delete: self.bool()?,
            internal: self.bool()?,
            alternate_exchange: self.optional(Fields::text)?,
            arguments: self.bytes()?.into(),
            predeclared: false,
        })
    }

    fn kind(&mut self, deep: usize) -> Result<ExchangeKind, Malformed> {
        match self.u8()? {
            1 => Ok(ExchangeKind::Direct),
            2 => Ok(ExchangeKind::Fanout),
            3 => Ok(ExchangeKind::Topic),
            4 => Ok(ExchangeKind::Headers),
            5 => self.hash_on().map(ExchangeKind::ConsistentHash),
            6 => {
                let deep = deep.checked_sub(1).ok_or(Malformed("kind of exchange"))?;
                self.kind(deep)
                    .map(|inner| ExchangeKind::Delayed(Box::new(inner)))
            }
            _ => Err(Malformed("kind of exchange")),
        }
    }

    fn hash_on(&mut self) -> Result<HashOn, Malformed> {
        match self.u8()? {
            1 => Ok(HashOn::RoutingKey),
            2 => self.str().map(|name| HashOn::Header(name.into())),
            3 => Ok(HashOn::Property(HashProperty::MessageId)),
            4 => Ok(HashOn::Property(HashProperty::CorrelationId)),
            5 => Ok(HashOn::Property(HashProperty::Timestamp)),
            _ => Err(Malformed("hash")),
        }
    }

    fn queue(&mut self, name: Arc<str>) -> Result<StoredQueue, Malformed> {
        Ok(StoredQueue {
            id: QueueId(self.u64()?),
            name,
            auto_delete: self.bool()?,
            options: self.options()?,
            arguments: self.bytes()?.to_vec(),
            topic: self.optional(Fields::array)?.map(TopicId),
        })
    }

    fn options(&mut self) -> Result<QueueOptions, Malformed> {
        Ok(QueueOptions {
            kind: match self.u8()? {
                1 => QueueKind::Classic,
                2 => QueueKind::Quorum,
                3 => QueueKind::Stream,
                _ => return Err(Malformed("kind of queue")),
            },
            message_ttl_ms: self.optional(Fields::u64)?,
            expires_ms: self.optional(Fields::u64)?,
            max_length: self.optional(Fields::u64)?,
            max_length_bytes: self.optional(Fields::u64)?,
            overflow: match self.u8()? {
                1 => Overflow::DropHead,
                2 => Overflow::RejectPublish,
                3 => Overflow::RejectPublishDeadLetter,
                _ => return Err(Malformed("overflow")),
            },
            dead_letter_exchange: self.optional(Fields::str)?.map(Box::from),
            dead_letter_routing_key: self.optional(Fields::str)?.map(Box::from),
            max_priority: self.optional(Fields::u8)?,
            single_active_consumer: self.bool()?,
            delivery_limit: self.optional(Fields::u32)?,
            max_age_ms: self.optional(Fields::u64)?,
            max_segment_size_bytes: self.optional(Fields::u64)?,
        })
    }

    fn destination(&mut self) -> Result<Destination, Malformed> {
        let kind = self.u8()?;
        let name = self.text()?;
        match kind {
            TO_QUEUE => Ok(Destination::Queue(name)),
            TO_EXCHANGE => Ok(Destination::Exchange(name)),
            TO_TOPIC => Ok(Destination::Topic(name)),
            _ => Err(Malformed("destination")),
        }
    }

    fn header_match(&mut self) -> Result<HeaderMatch, Malformed> {
        let mode = match self.u8()? {
            1 => MatchMode::All,
            2 => MatchMode::Any,
            3 => MatchMode::AllWithX,
            4 => MatchMode::AnyWithX,
            _ => return Err(Malformed("match")),
        };
        let count = self.length()?;
        let condition = |_| Ok((self.str()?.into(), self.header_value()?));
        let conditions = (0..count).map(condition).collect::<Result<_, _>>()?;
        Ok(HeaderMatch { mode, conditions })
    }

    fn header_value(&mut self) -> Result<HeaderValue<'static>, Malformed> {
        Ok(match self.u8()? {
            1 => HeaderValue::Void,
            2 => HeaderValue::Bool(self.bool()?),
            3 => HeaderValue::Integer(i128::from_le_bytes(self.array()?)),
            4 => HeaderValue::Float(f64::from_bits(self.u64()?)),
            5 => HeaderValue::Decimal {
                scale: self.u8()?,
                value: self.u32()?,
            },
            6 => HeaderValue::Bytes(Cow::Owned(self.bytes()?.to_vec())),
            7 => HeaderValue::Table(Cow::Owned(self.bytes()?.to_vec())),
            8 => HeaderValue::Array(Cow::Owned(self.bytes()?.to_vec())),
            _ => return Err(Malformed("value of a condition")),
        })
    }
}

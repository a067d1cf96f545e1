use super::{
    BINDING, EXCHANGE, IDS, Ids, QUEUE, Stored, StoredQueue, TO_EXCHANGE, TO_QUEUE, TO_TOPIC, VERSION,
    VIRTUAL_HOST,
};
use crate::fields::{put, put_length, put_optional, put_text, put_u32, put_u64};
use crate::{
    Destination, Exchange, ExchangeKind, HashOn, HashProperty, HeaderMatch, HeaderValue, MatchMode, Overflow,
    QueueKind, QueueOptions, TopicId, VirtualHostSettings,
};

pub(super) fn key(stored: &Stored) -> Vec<u8> {
    let (kind, virtual_host) = match stored {
        Stored::Ids(_) => return vec![IDS],
        Stored::VirtualHost(id, ..) => (VIRTUAL_HOST, id),
        Stored::Exchange(id, _) => (EXCHANGE, id),
        Stored::Queue(id, _) => (QUEUE, id),
        Stored::Binding(id, _) => (BINDING, id),
    };
    let mut key = vec![kind];
    put_u64(&mut key, virtual_host.0);
    match stored {
        Stored::Ids(_) | Stored::VirtualHost(..) => {}
        Stored::Exchange(_, exchange) => put_text(&mut key, &exchange.name),
        Stored::Queue(_, queue) => put_text(&mut key, &queue.name),
        Stored::Binding(_, binding) => {
            put_text(&mut key, &binding.source);
            let (kind, name) = match &binding.destination {
                Destination::Queue(name) => (TO_QUEUE, name),
                Destination::Exchange(name) => (TO_EXCHANGE, name),
                Destination::Topic(name) => (TO_TOPIC, name),
            };
            key.push(kind);
            put_text(&mut key, name);
            put_text(&mut key, &binding.key);
            put(&mut key, binding.arguments());
        }
    }
    key
}

pub(super) fn value(stored: &Stored) -> Vec<u8> {
    let mut value = vec![VERSION];
    match stored {
        Stored::Ids(Ids { queue, virtual_host }) => {
            put_u64(&mut value, *queue);
            put_u64(&mut value, *virtual_host);
        }
        Stored::VirtualHost(_, name, settings) => virtual_host(&mut value, name, settings),
        Stored::Exchange(_, exchange) => put_exchange(&mut value, exchange),
        Stored::Queue(_, queue) => put_queue(&mut value, queue),
        Stored::Binding(_, binding) => {
            put_optional(&mut value, binding.header_match(), header_match);
            topic(&mut value, binding.topic());
        }
    }
    value
}

fn virtual_host(out: &mut Vec<u8>, name: &str, settings: &VirtualHostSettings) {
    put_text(out, name);
    put_text(out, &settings.description);
    put_length(out, settings.tags.len());
    settings.tags.iter().for_each(|tag| put_text(out, tag));
    put_optional(out, settings.max_queues, put_u64);
    put_optional(out, settings.max_connections, put_u64);
}

fn put_exchange(out: &mut Vec<u8>, exchange: &Exchange) {
    kind(out, &exchange.kind);
    for flag in [exchange.durable, exchange.auto_delete, exchange.internal] {
        out.push(u8::from(flag));
    }
    put_optional(out, exchange.alternate_exchange.as_deref(), put_text);
    put(out, &exchange.arguments);
}

fn kind(out: &mut Vec<u8>, of: &ExchangeKind) {
    match of {
        ExchangeKind::Direct => out.push(1),
        ExchangeKind::Fanout => out.push(2),
        ExchangeKind::Topic => out.push(3),
        ExchangeKind::Headers => out.push(4),
        ExchangeKind::ConsistentHash(on) => {
            out.push(5);
            hash_on(out, on);
        }
        ExchangeKind::Delayed(inner) => {
            out.push(6);
            kind(out, inner);
        }
    }
}

fn hash_on(out: &mut Vec<u8>, on: &HashOn) {
    match on {
        HashOn::RoutingKey => out.push(1),
        HashOn::Header(name) => {
            out.push(2);
            put_text(out, name);
        }
        HashOn::Property(HashProperty::MessageId) => out.push(3),
        HashOn::Property(HashProperty::CorrelationId) => out.push(4),
        HashOn::Property(HashProperty::Timestamp) => out.push(5),
    }
}

fn put_queue(out: &mut Vec<u8>, queue: &StoredQueue) {
    put_u64(out, queue.id.0);
    out.push(u8::from(queue.auto_delete));
    options(out, &queue.options);
    put(out, &queue.arguments);
    topic(out, queue.topic);
}

fn topic(out: &mut Vec<u8>, topic: Option<TopicId>) {
    put_optional(out, topic, |out, topic| out.extend_from_slice(&topic.0));
}

fn options(out: &mut Vec<u8>, options: &QueueOptions) {
    out.push(match options.kind {
        QueueKind::Classic => 1,
        QueueKind::Quorum => 2,
        QueueKind::Stream => 3,
    });
    for limit in [
        options.message_ttl_ms,
        options.expires_ms,
        options.max_length,
        options.max_length_bytes,
    ] {
        put_optional(out, limit, put_u64);
    }
    out.push(match options.overflow {
        Overflow::DropHead => 1,
        Overflow::RejectPublish => 2,
        Overflow::RejectPublishDeadLetter => 3,
    });
    put_optional(out, options.dead_letter_exchange.as_deref(), put_text);
    put_optional(out, options.dead_letter_routing_key.as_deref(), put_text);
    put_optional(out, options.max_priority, Vec::push);
    out.push(u8::from(options.single_active_consumer));
    put_optional(out, options.delivery_limit, put_u32);
    put_optional(out, options.max_age_ms, put_u64);
    put_optional(out, options.max_segment_size_bytes, put_u64);
}

fn header_match(out: &mut Vec<u8>, header_match: &HeaderMatch) {
    out.push(match header_match.mode {
        MatchMode::All => 1,
        MatchMode::Any => 2,
        MatchMode::AllWithX => 3,
        MatchMode::AnyWithX => 4,
    });
    put_length(out, header_match.conditions.len());
    for (name, value) in &header_match.conditions {
        put_text(out, name);
        header_value(out, value);
    }
}

fn header_value(out: &mut Vec<u8>, value: &HeaderValue<'_>) {
    match value {
        HeaderValue::Void => out.push(1),
        HeaderValue::Bool(value) => out.extend_from_slice(&[2, u8::from(*value)]),
        HeaderValue::Integer(value) => {
            out.push(3);
            out.extend_from_slice(&value.to_le_bytes());
        }
        HeaderValue::Float(value) => {
            out.push(4);
            out.extend_from_slice(&value.to_bits().to_le_bytes());
        }
        HeaderValue::Decimal { scale, value } => {
            out.extend_from_slice(&[5, *scale]);
            put_u32(out, *value);
        }
        HeaderValue::Bytes(bytes) => {
            out.push(6);
            put(out, bytes);
        }
        HeaderValue::Table(bytes) => {
            out.push(7);
            put(out, bytes);
        }
        HeaderValue::Array(bytes) => {
            out.push(8);
            put(out, bytes);
        }
    }
}

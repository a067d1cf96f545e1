//! A message, and the record that it is stored as.
//!
//! ```text
//! record := key: the routing key | value: the body | headers
//! header := 'x' the exchange that it was published to
//!         | 'p' its properties, in the encoding of the protocol that it came in
//!         | 'e' milliseconds after which it expires, u64
//!         | 'y' its priority, u8
//!         | 'd' what it died of before (dead_letter.rs)
//!         | 't' it waits for its time (timer.rs): ms since 1970 i64, name of the virtual host
//!         | 'k' the routing key, where another key decided about the partition of a topic
//! ```
//!
//! What is empty or 0 is left out. The record's timestamp is the time of its arrival. Numbers are big endian.

use firth_batch::{Builder, Record, RecordHeader};
use smallvec::SmallVec;

const EXCHANGE: u8 = b'x';
const PROPERTIES: u8 = b'p';
const EXPIRATION: u8 = b'e';
const PRIORITY: u8 = b'y';
const DEATHS: u8 = b'd';
const DELAY: u8 = b't';
const ROUTING_KEY: u8 = b'k';

/// What is published, and what is delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Message<'a> {
    pub exchange: &'a [u8],
    pub routing_key: &'a [u8],
    /// In the encoding of a protocol, which begins with a byte that says which one.
    pub properties: &'a [u8],
    /// It is dropped when it has waited in a queue for so long.
    pub expiration_ms: Option<u64>,
    pub priority: u8,
    /// As [`crate::dead_letter`] encodes them.
    pub deaths: &'a [u8],
    /// It waits in a bucket; None for every message that is in a queue.
    pub delay: Option<Delay<'a>>,
    pub body: &'a [u8],
}

/// When a message is published to its exchange, and where that is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delay<'a> {
    /// In milliseconds since 1970.
    pub(crate) due_ms: i64,
    pub(crate) virtual_host: &'a [u8],
}

impl<'a> Message<'a> {
    /// Adds the message to a batch.
    pub(crate) fn push(&self, builder: &mut Builder, now_ms: i64) {
        self.push_with_key(builder, now_ms, Some(self.routing_key));
    }

    /// Adds the message to a batch, as a record with this key.
    pub(crate) fn push_with_key(&self, builder: &mut Builder, now_ms: i64, key: Option<&[u8]>) {
        let expiration = self.expiration_ms.map(u64::to_be_bytes);
        let priority = [self.priority];
        let delay: Option<SmallVec<[u8; 40]>> = self.delay.map(|delay| {
            let due_ms = delay.due_ms.to_be_bytes();
            due_ms.iter().chain(delay.virtual_host).copied().collect()
        });
        let mut headers: SmallVec<[RecordHeader<'_>; 7]> = SmallVec::new();
        let mut add = |key: &'static [u8], value: Option<&'a [u8]>| {
            headers.extend(value.filter(|value| !value.is_empty()).map(|value| RecordHeader {
                key,
                value: Some(value),
            }));
        };
        add(&[EXCHANGE], Some(self.exchange));
        add(&[PROPERTIES], Some(self.properties));
        add(&[DEATHS], Some(self.deaths));
        let is_key = self.routing_key == key.unwrap_or_default();
        add(&[ROUTING_KEY], Some(self.routing_key).filter(|_| !is_key));
        let owned = [
            (&[EXPIRATION], expiration.as_ref().map(|value| &value[..])),
            (&[PRIORITY], (self.priority > 0).then_some(&priority[..])),
            (&[DELAY], delay.as_deref()),
        ];
        for (key, value) in owned {
            headers.extend(value.map(|value| RecordHeader {
                key: &key[..],
                value: Some(value),
            }));
        }
        builder.push(now_ms.max(0), key, Some(self.body), &headers);
    }

    /// The message that a record is. What is not known of it is left out: a newer version wrote it.
    pub(crate) fn of(record: &Record<'a>) -> Message<'a> {
        let mut message = Message {
            routing_key: record.key.unwrap_or_default(),
            body: record.value.unwrap_or_default(),
            ..Message::default()
        };
        for header in record.headers {
            let value = header.value.unwrap_or_default();
            match header.key {
                [EXCHANGE] => message.exchange = value,
                [PROPERTIES] => message.properties = value,
                [EXPIRATION] => message.expiration_ms = value.try_into().ok().map(u64::from_be_bytes),
                [PRIORITY] => message.priority = value.first().copied().unwrap_or(0),
                [DEATHS] => message.deaths = value,
                [DELAY] => message.delay = Delay::of(value),
                [ROUTING_KEY] => message.routing_key = value,
                _ => {}
            }
        }
        message
    }

    /// About as many bytes as the record takes.
    pub(crate) fn len(&self) -> usize {
        const AROUND: usize = 40;
        let parts = [
            self.exchange,
            self.routing_key,
            self.properties,
            self.deaths,
            self.body,
        ];
        parts.iter().fold(AROUND, |sum, part| sum + part.len())
    }
}

impl<'a> Delay<'a> {
    fn of(value: &'a [u8]) -> Option<Delay<'a>> {
        let (due_ms, virtual_host) = value.split_first_chunk()?;
        Some(Delay {
            due_ms: i64::from_be_bytes(*due_ms),
            virtual_host,
        })
    }
}

#[cfg(test)]
mod tests {
    use firth_batch::Compression;

    use super::*;

    fn stored(message: &Message<'_>) -> firth_batch::Records {
        let mut builder = Builder::new(Compression::None);
        message.push(&mut builder, 77);
        builder.build().records(usize::MAX).unwrap()
    }

    #[test]
    fn a_record_holds_all_of_a_message() {
        let full = Message {
            exchange: b"x",
            routing_key: b"a.b",
            properties: b"\x01props",
            expiration_ms: Some(5),
            priority: 9,
            deaths: b"deaths",
            delay: Some(Delay {
                due_ms: 9,
                virtual_host: b"/",
            }),
            body: b"body",
        };
        for message in [full, Message::default()] {
            let records = stored(&message);
            let record = records.iter().next().unwrap().unwrap();
            assert_eq!(Message::of(&record), message);
            assert_eq!(record.timestamp, 77);
        }
        let mut builder = Builder::new(Compression::None);
        full.push_with_key(&mut builder, 77, Some(b"other"));
        full.push_with_key(&mut builder, 77, None);
        let records = builder.build().records(usize::MAX).unwrap();
        let keys = records.iter().map(|record| {
            let record = record.unwrap();
            assert_eq!(Message::of(&record), full);
            record.key
        });
        assert_eq!(keys.collect::<Vec<_>>(), [Some(&b"other"[..]), None]);
        let plain = stored(&Message::default());
        assert_eq!(plain.iter().next().unwrap().unwrap().headers.len(), 0);
    }
}

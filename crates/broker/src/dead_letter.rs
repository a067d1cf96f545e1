//! Messages that died: rejected, expired, too many, or returned too often.
//!
//! What died stays acquired until it is published where its queue says, in the frame that says that it left the queue. What
//! it died of travels with it, newest first:
//!
//! ```text
//! deaths := death*
//! death  := reason u8 | count u64 | time i64 (ms since 1970) | queue text | exchange text | key count u16 | key text*
//!         | expiration u64, 0 for none
//! text   := length u16 | bytes
//! ```

mod burying;

use std::sync::Arc;

pub(crate) use burying::Burying;
use bytes::{Buf, BufMut};

use crate::queue::{Queue, Taken};

/// Why a message died.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A consumer rejected it, and did not want it to be delivered again.
    Rejected,
    /// It waited longer than it or its queue allows.
    Expired,
    /// Its queue had too many messages.
    MaxLength,
    /// It was returned more often than its queue allows.
    DeliveryLimit,
}

/// Messages of a queue that died of the same.
#[derive(Debug)]
pub(crate) struct Death {
    pub(crate) queue: Arc<Queue>,
    pub(crate) taken: Taken,
    pub(crate) reason: Reason,
}

/// What happened to a message before, in one queue and for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeathRecord {
    pub reason: Reason,
    pub count: u64,
    /// Of the first time, in milliseconds since 1970.
    pub time_ms: i64,
    pub queue: Vec<u8>,
    /// Where it was published to when it came into that queue.
    pub exchange: Vec<u8>,
    pub routing_keys: Vec<Vec<u8>>,
    /// After how many milliseconds it was to expire. That is taken from it when it dies.
    pub expiration_ms: Option<u64>,
}

/// Reads what a message died of. What cannot be read ends it.
pub fn deaths(mut encoded: &[u8]) -> Vec<DeathRecord> {
    std::iter::from_fn(|| read(&mut encoded)).collect()
}

fn read(bytes: &mut &[u8]) -> Option<DeathRecord> {
    let reason = match bytes.try_get_u8().ok()? {
        1 => Reason::Rejected,
        2 => Reason::Expired,
        3 => Reason::MaxLength,
        4 => Reason::DeliveryLimit,
        _ => return None,
    };
    let count = bytes.try_get_u64().ok()?;
    let time_ms = bytes.try_get_i64().ok()?;
    let queue = read_text(bytes)?;
    let exchange = read_text(bytes)?;
    let keys = bytes.try_get_u16().ok()?;
    let routing_keys = (0..keys).map(|_| read_text(bytes)).collect::<Option<Vec<_>>>()?;
    let expiration_ms = Some(bytes.try_get_u64().ok()?).filter(|ms| *ms > 0);
    Some(DeathRecord {
        reason,
        count,
        time_ms,
        queue,
        exchange,
        routing_keys,
        expiration_ms,
    })
}

fn read_text(bytes: &mut &[u8]) -> Option<Vec<u8>> {
    let len = usize::from(bytes.try_get_u16().ok()?);
    let (text, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(text.to_vec())
}

pub(crate) fn encode(deaths: &[DeathRecord]) -> Vec<u8> {
    let mut out = Vec::new();
    for death in deaths {
        out.put_u8(match death.reason {
            Reason::Rejected => 1,
            Reason::Expired => 2,
            Reason::MaxLength => 3,
            Reason::DeliveryLimit => 4,
        });
        out.put_u64(death.count);
        out.put_i64(death.time_ms);
        put_text(&mut out, &death.queue);
        put_text(&mut out, &death.exchange);
        out.put_u16(death.routing_keys.len().min(usize::from(u16::MAX)) as u16);
        for key in death.routing_keys.iter().take(usize::from(u16::MAX)) {
            put_text(&mut out, key);
        }
        out.put_u64(death.expiration_ms.unwrap_or(0));
    }
    out
}

/// Names and keys are much shorter than the limit.
fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    let text = text.get(..usize::from(u16::MAX)).unwrap_or(text);
    out.put_u16(text.len() as u16);
    out.extend_from_slice(text);
}

/// What a message died of, once it dies again: in the same queue of the same it is counted, and moves to the front.
pub(crate) fn add(mut deaths: Vec<DeathRecord>, new: DeathRecord) -> Vec<DeathRecord> {
    let same = |death: &DeathRecord| death.queue == new.queue && death.reason == new.reason;
    let newest = match deaths.iter().position(same) {
        Some(at) => {
            let mut known = deaths.remove(at);
            known.count = known.count.saturating_add(1);
            known
        }
        None => new,
    };
    deaths.insert(0, newest);
    deaths
}

/// Whether a message that dies again would come to this queue in a circle in which nobody rejected it.
pub(crate) fn is_cycle(deaths: &[DeathRecord], queue: &[u8]) -> bool {
    let since = deaths.iter().position(|death| death.queue == queue);
    since.is_some_and(|at| {
        deaths
            .iter()
            .take(at + 1)
            .all(|death| death.reason != Reason::Rejected)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn death(queue: &[u8], reason: Reason) -> DeathRecord {
        DeathRecord {
            reason,
            count: 1,
            time_ms: 5,
            queue: queue.to_vec(),
            exchange: b"x".to_vec(),
            routing_keys: vec![b"k".to_vec(), Vec::new()],
            expiration_ms: None,
        }
    }

    #[test]
    fn deaths_come_back_as_they_were() {
        let both = vec![
            death(b"q", Reason::Expired),
            DeathRecord {
                expiration_ms: Some(9),
                ..death(b"", Reason::MaxLength)
            },
        ];
        assert_eq!(deaths(&encode(&both)), both);
        let encoded = encode(&both);
        for end in 0..encoded.len() {
            assert!(deaths(&encoded[..end]).len() < 2);
        }
    }

    #[test]
    fn the_same_death_is_counted_and_comes_first() {
        let once = add(Vec::new(), death(b"a", Reason::Expired));
        let twice = add(
            add(once, death(b"b", Reason::Expired)),
            death(b"a", Reason::Expired),
        );
        let summary: Vec<_> = twice.iter().map(|death| (death.queue[0], death.count)).collect();
        assert_eq!(summary, [(b'a', 2), (b'b', 1)]);
    }

    #[test]
    fn a_circle_is_one_where_nobody_rejected() {
        let expired = vec![death(b"b", Reason::Expired), death(b"a", Reason::Expired)];
        assert!(is_cycle(&expired, b"a") && !is_cycle(&expired, b"c"));
        let rejected = vec![death(b"b", Reason::Rejected), death(b"a", Reason::Expired)];
        assert!(!is_cycle(&rejected, b"a"));
    }
}

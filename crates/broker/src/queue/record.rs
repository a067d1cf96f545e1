//! What the state log holds of queues: for each lane a cursor, and pages of what was settled out of order.
//!
//! ```text
//! key    := 'c' queue u64 priority u8                  cursor of a lane
//!         | 'p' queue u64 priority u8 page u64         4,096 offsets of it
//!         | 'f' log u64                                a fan-out log
//! cursor := version u8 log u64 low i64 delivered_to i64
//! page   := version u8 count u16 (position u16, length u16)*  what is settled, as ranges
//!           (position u16, returns u32)*                      to the end
//!         | ... count = 0xFFFF, then a bitmap of 512 bytes instead of ranges
//! fanout := version u8
//! ```
//!
//! All numbers are big endian. A length of 4,096 is the whole page. What is settled below the cursor's `low` does not count.

use std::ops::Range;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use firth_log::LogId;

use super::QueueId;
use super::lane::{Change, Cursor};
use super::offsets::{OffsetSet, PAGE, Page};
use crate::StateRecord;

const VERSION: u8 = 1;
const AS_BITS: u16 = u16::MAX;

/// What a key names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Cursor {
        queue: QueueId,
        priority: u8,
    },
    Page {
        queue: QueueId,
        priority: u8,
        number: i64,
    },
    FanOut {
        log: LogId,
    },
}

/// A page as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StoredPage {
    pub(crate) settled: Vec<Range<i64>>,
    pub(crate) returns: Vec<(i64, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is cut short or has what no queue has")]
pub(crate) struct Malformed;

impl Key {
    pub(crate) fn encode(self) -> Bytes {
        let mut out = BytesMut::with_capacity(18);
        match self {
            Key::Cursor { queue, priority } => {
                out.put_u8(b'c');
                out.put_u64(queue.0);
                out.put_u8(priority);
            }
            Key::Page {
                queue,
                priority,
                number,
            } => {
                out.put_u8(b'p');
                out.put_u64(queue.0);
                out.put_u8(priority);
                out.put_i64(number);
            }
            Key::FanOut { log } => {
                out.put_u8(b'f');
                out.put_u64(log.0);
            }
        }
        out.freeze()
    }

    pub(crate) fn decode(mut bytes: &[u8]) -> Result<Key, Malformed> {
        let bytes = &mut bytes;
        let key = match bytes.try_get_u8().map_err(malformed)? {
            b'c' => Key::Cursor {
                queue: QueueId(bytes.try_get_u64().map_err(malformed)?),
                priority: bytes.try_get_u8().map_err(malformed)?,
            },
            b'p' => Key::Page {
                queue: QueueId(bytes.try_get_u64().map_err(malformed)?),
                priority: bytes.try_get_u8().map_err(malformed)?,
                number: not_negative(bytes.try_get_i64().map_err(malformed)?)?,
            },
            b'f' => Key::FanOut {
                log: LogId(bytes.try_get_u64().map_err(malformed)?),
            },
            _ => return Err(Malformed),
        };
        if bytes.is_empty() { Ok(key) } else { Err(Malformed) }
    }
}

/// The record that says what changed of a lane.
pub(crate) fn of_lane(queue: QueueId, priority: u8, change: Change<'_>) -> StateRecord {
    let page = |number| Key::Page {
        queue,
        priority,
        number,
    };
    match change {
        Change::Cursor(cursor) => StateRecord {
            key: Key::Cursor { queue, priority }.encode(),
            value: Some(encode_cursor(cursor)),
        },
        Change::PageGone(number) => StateRecord {
            key: page(number).encode(),
            value: None,
        },
        Change::Page {
            number,
            settled,
            returns,
        } => StateRecord {
            key: page(number).encode(),
            value: Some(encode_page(number, settled, &returns)),
        },
    }
}

/// The record that there is a fan-out log, or that there is none any more.
pub(crate) fn of_fan_out(log: LogId, exists: bool) -> StateRecord {
    StateRecord {
        key: Key::FanOut { log }.encode(),
        value: exists.then(|| Bytes::from_static(&[VERSION])),
    }
}

fn encode_cursor(cursor: Cursor) -> Bytes {
    let mut out = BytesMut::with_capacity(25);
    out.put_u8(VERSION);
    out.put_u64(cursor.log.0);
    out.put_i64(cursor.low);
    out.put_i64(cursor.delivered_to);
    out.freeze()
}

pub(crate) fn decode_cursor(mut value: &[u8]) -> Result<Cursor, Malformed> {
    let value = &mut value;
    value.try_get_u8().map_err(malformed)?;
    let cursor = Cursor {
        log: LogId(value.try_get_u64().map_err(malformed)?),
        low: not_negative(value.try_get_i64().map_err(malformed)?)?,
        delivered_to: not_negative(value.try_get_i64().map_err(malformed)?)?,
    };
    if value.is_empty() {
        Ok(cursor)
    } else {
        Err(Malformed)
    }
}

fn encode_page(number: i64, settled: Option<&Page>, returns: &[(i64, u32)]) -> Bytes {
    let first = number * PAGE;
    let mut out = BytesMut::new();
    out.put_u8(VERSION);
    match settled {
        Some(Page::Bits(words)) => {
            out.put_u16(AS_BITS);
            words.iter().for_each(|word| out.put_u64(*word));
        }
        settled => {
            let ranges = settled.map(|page| page.ranges(0)).unwrap_or_default();
            out.put_u16(ranges.len() as u16);
            for range in ranges {
                out.put_u16(range.start as u16);
                out.put_u16((range.end - range.start) as u16);
            }
        }
    }
    for (offset, count) in returns {
        out.put_u16((offset - first) as u16);
        out.put_u32(*count);
    }
    out.freeze()
}

pub(crate) fn decode_page(number: i64, mut value: &[u8]) -> Result<StoredPage, Malformed> {
    let first = number.checked_mul(PAGE).ok_or(Malformed)?;
    first.checked_add(PAGE).ok_or(Malformed)?;
    let value = &mut value;
    value.try_get_u8().map_err(malformed)?;
    let mut settled = OffsetSet::default();
    match value.try_get_u16().map_err(malformed)? {
        AS_BITS => {
            for word in 0..PAGE / 64 {
                let bits = value.try_get_u64().map_err(malformed)?;
                let at = first + word * 64;
                (0..64).filter(|bit| bits >> bit & 1 == 1).for_each(|bit| {
                    settled.insert(at + bit..at + bit + 1);
                });
            }
        }
        count => {
            for _ in 0..count {
                let start = i64::from(value.try_get_u16().map_err(malformed)?);
                let len = i64::from(value.try_get_u16().map_err(malformed)?);
                if start + len > PAGE {
                    return Err(Malformed);
                }
                settled.insert(first + start..first + start + len);
            }
        }
    }
    let mut returns = Vec::new();
    while !value.is_empty() {
        let position = i64::from(value.try_get_u16().map_err(malformed)?);
        let count = value.try_get_u32().map_err(malformed)?;
        if position >= PAGE {
            return Err(Malformed);
        }
        returns.push((first + position, count));
    }
    Ok(StoredPage {
        settled: settled.ranges().collect(),
        returns,
    })
}

/// What a record says, and what it says when it is written again.
pub(crate) fn read_twice(key: &[u8], value: &[u8]) -> Option<(String, String)> {
    let key = Key::decode(key).ok()?;
    let again = Key::decode(&key.encode()).ok()?;
    match key {
        Key::Cursor { .. } => {
            let cursor = decode_cursor(value).ok()?;
            let written = decode_cursor(&encode_cursor(cursor)).ok()?;
            Some((format!("{key:?} {cursor:?}"), format!("{again:?} {written:?}")))
        }
        Key::Page { number, .. } => {
            let page = decode_page(number, value).ok()?;
            let mut settled = OffsetSet::default();
            page.settled
                .iter()
                .for_each(|range| _ = settled.insert(range.clone()));
            let written = encode_page(number, settled.page(number), &page.returns);
            let written = decode_page(number, &written).ok()?;
            Some((format!("{key:?} {page:?}"), format!("{again:?} {written:?}")))
        }
        Key::FanOut { .. } => Some((format!("{key:?}"), format!("{again:?}"))),
    }
}

fn malformed(_: bytes::TryGetError) -> Malformed {
    Malformed
}

fn not_negative(value: i64) -> Result<i64, Malformed> {
    if value < 0 { Err(Malformed) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_page_comes_back_as_it_was(
            number in 0..3i64,
            settled in prop::collection::vec((0..PAGE, 1..40i64), 0..60),
            returns in prop::collection::btree_map(0..PAGE, any::<u32>(), 0..5),
        ) {
            let first = number * PAGE;
            let mut set = OffsetSet::default();
            for (start, len) in settled {
                set.insert(first + start..(first + start + len).min(first + PAGE));
            }
            let returns: Vec<_> = returns.into_iter().map(|(at, count)| (first + at, count)).collect();
            let value = encode_page(number, set.page(number), &returns);
            let page = decode_page(number, &value).unwrap();
            prop_assert_eq!(page.settled, set.ranges().collect::<Vec<_>>());
            prop_assert_eq!(page.returns, returns);
        }

        #[test]
        fn any_bytes_are_a_record_or_malformed(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            if let Ok(key) = Key::decode(&bytes) {
                prop_assert_eq!(&key.encode()[..], &bytes[..]);
            }
            let _ = decode_cursor(&bytes);
            let _ = decode_page(i64::MAX / PAGE, &bytes);
        }
    }

    #[test]
    fn keys_and_cursors_come_back_as_they_were() {
        let queue = QueueId(7);
        for key in [
            Key::Cursor { queue, priority: 255 },
            Key::Page {
                queue,
                priority: 0,
                number: 9,
            },
            Key::FanOut { log: LogId(16) },
        ] {
            assert_eq!(Key::decode(&key.encode()), Ok(key));
        }
        let cursor = Cursor {
            log: LogId(16),
            low: 5,
            delivered_to: 1029,
        };
        assert_eq!(decode_cursor(&encode_cursor(cursor)), Ok(cursor));
    }
}

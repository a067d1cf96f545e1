//! The windows of idempotent producers in one log: which batches were appended already, and which comes next.
//!
//! The rules are those of Kafka's `ProducerAppendInfo` (KIP-98, KIP-360): the last five batches of a producer are
//! remembered, so a retry of one of them is answered with the original's offset; a new epoch starts at sequence 0;
//! the first batch of an unknown producer may have any sequence, since its state may have been trimmed.
//!
//! Encoding (little-endian), one per log in a segment's footer and in the catalog:
//! ```text
//! version u8 = 1, count u32, then per producer:
//!   producer_id i64, epoch i16, last_timestamp i64, batches u8,
//!   then per batch, oldest first: base_sequence i32, last_sequence i32, base_offset i64, timestamp i64
//! ```

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use firth_batch::Header;
use smallvec::SmallVec;

use crate::frame::AppendError;

/// Batches that a producer may have in flight (`max.in.flight.requests.per.connection` of an idempotent producer).
const WINDOW: usize = 5;
const VERSION: u8 = 1;

/// Most logs of a broker with very many have no producer at the moment, so that one without takes a pointer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Producers {
    windows: Option<Box<Windows>>,
}

/// By producer id. The smallest map has four places, of which most logs use one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Windows(HashMap<i64, Box<Window>>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Window {
    epoch: i16,
    /// The wall clock's time of the last append, in milliseconds; a producer idle for long is forgotten.
    last_timestamp: i64,
    batches: SmallVec<[Sequenced; WINDOW]>,
}

/// A batch in a producer's window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sequenced {
    pub(crate) base_sequence: i32,
    pub(crate) last_sequence: i32,
    pub(crate) base_offset: i64,
    pub(crate) timestamp: i64,
}

/// An idempotent producer that a log remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveProducer {
    pub producer_id: i64,
    pub epoch: i16,
    /// Of the last record of its last batch.
    pub last_sequence: i32,
    /// The largest timestamp of its last batch, in milliseconds since 1970.
    pub last_timestamp: i64,
}

/// What the window says about a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    Next,
    Duplicate(Sequenced),
}

impl Producers {
    /// Decides about a batch that carries a producer id; changes nothing.
    pub(crate) fn check(&self, header: &Header) -> Result<Check, AppendError> {
        let producer_id = header.producer_id;
        let window = self
            .windows
            .as_ref()
            .and_then(|windows| windows.0.get(&producer_id));
        let Some(window) = window else {
            return Ok(Check::Next);
        };
        let out_of_order = |expected| AppendError::OutOfOrderSequence {
            producer_id,
            expected,
            found: header.base_sequence,
        };
        if header.producer_epoch < window.epoch {
            return Err(AppendError::StaleProducerEpoch {
                producer_id,
                current: window.epoch,
                found: header.producer_epoch,
            });
        }
        if header.producer_epoch > window.epoch {
            return if header.base_sequence == 0 {
                Ok(Check::Next)
            } else {
                Err(out_of_order(0))
            };
        }
        let last_sequence = header.last_sequence();
        let original = window.batches.iter().find(|batch| {
            batch.base_sequence == header.base_sequence && batch.last_sequence == last_sequence
        });
        if let Some(original) = original {
            return Ok(Check::Duplicate(*original));
        }
        let Some(last) = window.batches.last() else {
            return Ok(Check::Next);
        };
        // Sequences wrap from 2^31-1 to 0.
        let expected = last.last_sequence.checked_add(1).unwrap_or(0);
        if header.base_sequence == expected {
            Ok(Check::Next)
        } else {
            Err(out_of_order(expected))
        }
    }

    /// Takes note of a batch that was appended at `base_offset`. Noting it again changes nothing, so that replay may
    /// begin before the snapshot that it completes.
    pub(crate) fn observe(&mut self, header: &Header, base_offset: i64, now_ms: i64) {
        if !header.has_producer_id() {
            return;
        }
        let batch = Sequenced {
            base_sequence: header.base_sequence,
            last_sequence: header.last_sequence(),
            base_offset,
            timestamp: header.max_timestamp,
        };
        let windows = self.windows.get_or_insert_default();
        let window = windows.0.entry(header.producer_id).or_insert_with(|| {
            Box::new(Window {
                epoch: header.producer_epoch,
                last_timestamp: now_ms,
                batches: SmallVec::new(),
            })
        });
        if window
            .batches
            .last()
            .is_some_and(|last| last.base_offset >= base_offset)
        {
            return;
        }
        if window.epoch != header.producer_epoch {
            window.epoch = header.producer_epoch;
            window.batches.clear();
        }
        if window.batches.len() == WINDOW {
            window.batches.remove(0);
        }
        window.batches.push(batch);
        window.last_timestamp = window.last_timestamp.max(now_ms);
    }

    /// Forgets producers that have not appended since `horizon_ms`. Gives their ids, and where their last batches lie.
    pub(crate) fn expire(&mut self, horizon_ms: i64) -> Vec<(i64, i64)> {
        let Some(windows) = &mut self.windows else {
            return Vec::new();
        };
        let is_idle = |_: &i64, window: &mut Box<Window>| window.last_timestamp < horizon_ms;
        let idle = windows.0.extract_if(is_idle);
        let idle = idle.map(|(producer_id, window)| (producer_id, window.last_offset()));
        let idle = idle.collect();
        self.windows.take_if(|windows| windows.0.is_empty());
        idle
    }

    /// Forgets a producer, unless it has appended behind that offset.
    pub(crate) fn forget(&mut self, producer_id: i64, last_offset: i64) {
        if let Some(windows) = &mut self.windows {
            let window = windows.0.get(&producer_id);
            if window.is_some_and(|window| window.last_offset() <= last_offset) {
                windows.0.remove(&producer_id);
            }
            self.windows.take_if(|windows| windows.0.is_empty());
        }
    }

    /// All producers that are remembered, by their ids.
    pub(crate) fn active(&self) -> Vec<ActiveProducer> {
        let windows = self.windows.iter().flat_map(|windows| &windows.0);
        let active = windows.map(|(producer_id, window)| {
            let last = window.batches.last();
            ActiveProducer {
                producer_id: *producer_id,
                epoch: window.epoch,
                last_sequence: last.map_or(-1, |batch| batch.last_sequence),
                last_timestamp: last.map_or(-1, |batch| batch.timestamp),
            }
        });
        let mut active: Vec<_> = active.collect();
        active.sort_unstable_by_key(|producer| producer.producer_id);
        active
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.windows.is_none()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let windows = self.windows.iter().flat_map(|windows| &windows.0);
        let mut windows: Vec<_> = windows.collect();
        let mut out = vec![VERSION];
        out.extend_from_slice(&(windows.len() as u32).to_le_bytes());
        windows.sort_unstable_by_key(|(producer_id, _)| **producer_id);
        for (producer_id, window) in windows {
            out.extend_from_slice(&producer_id.to_le_bytes());
            out.extend_from_slice(&window.epoch.to_le_bytes());
            out.extend_from_slice(&window.last_timestamp.to_le_bytes());
            out.push(window.batches.len() as u8);
            for batch in &window.batches {
                out.extend_from_slice(&batch.base_sequence.to_le_bytes());
                out.extend_from_slice(&batch.last_sequence.to_le_bytes());
                out.extend_from_slice(&batch.base_offset.to_le_bytes());
                out.extend_from_slice(&batch.timestamp.to_le_bytes());
            }
        }
        out
    }

    /// Whether the bytes say that a newer version encoded them.
    pub(crate) fn is_newer(bytes: &[u8]) -> bool {
        bytes.first().is_some_and(|version| *version > VERSION)
    }

    /// `None` where the bytes are not an encoding of windows.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Producers> {
        let mut reader = Reader { bytes };
        if u8::from_le_bytes(reader.take()?) != VERSION {
            return None;
        }
        let count = u32::from_le_bytes(reader.take()?);
        let mut windows = HashMap::new();
        for _ in 0..count {
            let producer_id = i64::from_le_bytes(reader.take()?);
            let epoch = i16::from_le_bytes(reader.take()?);
            let last_timestamp = i64::from_le_bytes(reader.take()?);
            let mut batches = SmallVec::new();
            for _ in 0..u8::from_le_bytes(reader.take()?) {
                batches.push(Sequenced {
                    base_sequence: i32::from_le_bytes(reader.take()?),
                    last_sequence: i32::from_le_bytes(reader.take()?),
                    base_offset: i64::from_le_bytes(reader.take()?),
                    timestamp: i64::from_le_bytes(reader.take()?),
                });
            }
            let window = Window {
                epoch,
                last_timestamp,
                batches,
            };
            windows.insert(producer_id, Box::new(window));
        }
        let windows = (!windows.is_empty()).then(|| Box::new(Windows(windows)));
        reader.bytes.is_empty().then_some(Producers { windows })
    }
}

impl Window {
    fn last_offset(&self) -> i64 {
        self.batches.last().map_or(i64::MIN, |batch| batch.base_offset)
    }
}

/// Takes fixed-size fields off the front of a slice.
pub(crate) struct Reader<'a> {
    pub(crate) bytes: &'a [u8],
}

impl Reader<'_> {
    pub(crate) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.bytes.split_first_chunk::<N>()?;
        self.bytes = rest;
        Some(*field)
    }
}

//! Consistent-hash exchanges: each value goes to one binding, and to as many of all values as the binding's weight says.
//!
//! Every binding draws a number for the value, from a hash of both, such that the largest is its own with the
//! probability that its weight has among all weights (rendezvous hashing). So a binding that comes takes values from the
//! others, and one that goes gives its values to the others, but no value moves between bindings that stay.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use super::header_match::{HeaderValue, Headers};
use super::sinks::Sink;
use crate::{Binding, HashOn};

/// 2^53, which a float can count to.
const STEPS: f64 = (1_u64 << 53) as f64;

#[derive(Debug)]
pub(crate) struct ConsistentHash {
    hash_on: HashOn,
    /// Sorted by seed, so that a tie is not decided by who came first.
    candidates: Vec<Candidate>,
}

#[derive(Debug)]
struct Candidate {
    seed: u64,
    weight: f64,
    sink: Sink,
}

impl ConsistentHash {
    pub(crate) fn new(hash_on: HashOn) -> ConsistentHash {
        ConsistentHash {
            hash_on,
            candidates: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, binding: &Binding, sink: Sink) {
        let candidate = Candidate {
            seed: seed(binding),
            weight: weight(&binding.key).map_or(1.0, |weight| weight as f64),
            sink,
        };
        let at = self
            .candidates
            .partition_point(|other| other.seed < candidate.seed);
        self.candidates.insert(at, candidate);
    }

    pub(crate) fn remove(&mut self, binding: &Binding, sink: &Sink) {
        let seed = seed(binding);
        let found = self
            .candidates
            .iter()
            .position(|candidate| candidate.seed == seed && candidate.sink == *sink);
        if let Some(at) = found {
            self.candidates.remove(at);
        }
    }

    /// Of several routing keys the first counts.
    pub(crate) fn choose(&self, key: &str, headers: &(impl Headers + ?Sized)) -> Option<&Sink> {
        let value = match &self.hash_on {
            HashOn::RoutingKey => hash(1, key.as_bytes()),
            HashOn::Header(name) => headers.get(name).map_or(0, |value| hash_of(&value)),
            HashOn::Property(property) => headers.property(*property).map_or(0, |value| hash(1, &value)),
        };
        let drawn = self
            .candidates
            .iter()
            .map(|candidate| (candidate.draw(value), candidate));
        let largest = drawn.max_by(|(a, _), (b, _)| a.total_cmp(b));
        largest.map(|(_, candidate)| &candidate.sink)
    }
}

impl Candidate {
    fn draw(&self, value: u64) -> f64 {
        let mixed = hash(2, &(value ^ self.seed).to_le_bytes());
        // Above 0 and below 1.
        let uniform = ((mixed >> 11) as f64 + 0.5) / STEPS;
        -self.weight / uniform.ln()
    }
}

/// The weight that a binding key is.
pub(crate) fn weight(key: &str) -> Result<i64, std::num::ParseIntError> {
    key.parse()
}

/// The same after each restart, and in each version: else values would move.
fn seed(binding: &Binding) -> u64 {
    let mut hasher = SipHasher13::new();
    let (kind, name) = match &binding.destination {
        crate::Destination::Queue(name) => (1, name),
        crate::Destination::Exchange(name) => (2, name),
        crate::Destination::Topic(name) => (3, name),
    };
    for bytes in [name.as_bytes(), binding.key.as_bytes(), binding.arguments()] {
        hasher.write_u64(bytes.len() as u64);
        hasher.write(bytes);
    }
    hasher.write_u8(kind);
    hasher.finish()
}

fn hash_of(value: &HeaderValue<'_>) -> u64 {
    match value {
        HeaderValue::Void => hash(3, &[]),
        HeaderValue::Bool(value) => hash(4, &[u8::from(*value)]),
        HeaderValue::Integer(value) => hash(5, &value.to_le_bytes()),
        HeaderValue::Float(value) => hash(6, &value.to_bits().to_le_bytes()),
        HeaderValue::Decimal { scale, value } => {
            let [a, b, c, d] = value.to_le_bytes();
            hash(7, &[*scale, a, b, c, d])
        }
        HeaderValue::Bytes(bytes) => hash(1, bytes),
        HeaderValue::Table(bytes) => hash(8, bytes),
        HeaderValue::Array(bytes) => hash(9, bytes),
    }
}

fn hash(kind: u8, bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write_u8(kind);
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests;

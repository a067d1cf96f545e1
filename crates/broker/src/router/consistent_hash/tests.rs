use std::collections::HashMap;

use super::super::NoHeaders;
use super::*;
use crate::{Destination, HashProperty, TopicId};

const KEYS: u32 = 20_000;

fn binding(n: u8, weight: &str) -> (Binding, Sink) {
    let binding = Binding {
        source: "x".into(),
        destination: Destination::Topic(n.to_string().into()),
        key: weight.into(),
        details: None,
    };
    (binding, Sink::Topic(Box::new(TopicId([n; 16]))))
}

fn hash_of_keys(bindings: &[(u8, &str)]) -> ConsistentHash {
    let mut hash = ConsistentHash::new(HashOn::RoutingKey);
    for (n, weight) in bindings {
        let (binding, sink) = binding(*n, weight);
        hash.add(&binding, sink);
    }
    hash
}

fn choices(hash: &ConsistentHash) -> Vec<Option<u8>> {
    let number = |sink: &Sink| match sink {
        Sink::Topic(id) => id.0[0],
        Sink::Queue(_) | Sink::Exchange(_) => unreachable!("the tests bind topics"),
    };
    let keys = (0..KEYS).map(|key| format!("key-{key}"));
    keys.map(|key| hash.choose(&key, &NoHeaders).map(number))
        .collect()
}

fn shares(choices: &[Option<u8>]) -> HashMap<u8, f64> {
    let mut shares = HashMap::new();
    for n in choices.iter().flatten() {
        *shares.entry(*n).or_insert(0.0) += 1.0 / f64::from(KEYS);
    }
    shares
}

#[test]
fn each_gets_the_share_that_its_weight_has() {
    assert!(choices(&hash_of_keys(&[])).iter().all(Option::is_none));
    let shares = shares(&choices(&hash_of_keys(&[(1, "1"), (2, "2"), (3, "5"), (4, "2")])));
    for (n, expected) in [(1, 0.1), (2, 0.2), (3, 0.5), (4, 0.2)] {
        assert!((shares[&n] - expected).abs() < 0.015, "{n} has {}", shares[&n]);
    }
}

#[test]
fn values_move_only_from_what_goes_and_to_what_comes() {
    let mut hash = hash_of_keys(&[(1, "10"), (2, "10"), (3, "20")]);
    let before = choices(&hash);
    let (binding, sink) = binding(4, "10");
    hash.add(&binding, sink.clone());
    let with_another = choices(&hash);
    let moved = before.iter().zip(&with_another).filter(|(a, b)| a != b);
    let moved: Vec<_> = moved.collect();
    assert!(moved.iter().all(|(_, to)| **to == Some(4)));
    assert!((f64::from(u32::try_from(moved.len()).unwrap()) / f64::from(KEYS) - 0.2).abs() < 0.015);
    hash.remove(&binding, &sink);
    assert_eq!(choices(&hash), before);
}

#[test]
fn the_order_of_bindings_does_not_matter() {
    let bindings = [(1, "1"), (2, "1"), (3, "3")];
    let reversed: Vec<_> = bindings.iter().rev().copied().collect();
    assert_eq!(
        choices(&hash_of_keys(&bindings)),
        choices(&hash_of_keys(&reversed))
    );
}

/// They are where messages of a running system go: a version that changes them moves values.
#[test]
fn a_value_stays_where_earlier_versions_put_it() {
    let hash = hash_of_keys(&[(1, "1"), (2, "1"), (3, "1")]);
    let first: Vec<u8> = choices(&hash).into_iter().take(16).flatten().collect();
    assert_eq!(first, EARLIER);
}

const EARLIER: [u8; 16] = [1, 2, 2, 2, 3, 3, 2, 2, 2, 3, 1, 2, 3, 3, 1, 3];

struct Properties(Option<&'static [u8]>);

impl Headers for Properties {
    fn get(&self, name: &str) -> Option<HeaderValue<'_>> {
        (name == "h").then(|| self.0.map(|value| HeaderValue::Bytes(value.into())))?
    }

    fn property(&self, property: HashProperty) -> Option<std::borrow::Cow<'_, [u8]>> {
        (property == HashProperty::MessageId).then(|| self.0.map(Into::into))?
    }
}

#[test]
fn a_header_or_a_property_decides_where_the_exchange_says_so() {
    for hash_on in [
        HashOn::Header("h".into()),
        HashOn::Property(HashProperty::MessageId),
    ] {
        let mut hash = ConsistentHash::new(hash_on);
        for n in 0..50 {
            let (binding, sink) = binding(n, "1");
            hash.add(&binding, sink);
        }
        let choose = |key: &str, value| hash.choose(key, &Properties(value)).cloned();
        let chosen = choose("k", Some(b"one"));
        assert_eq!(choose("other", Some(b"one")), chosen, "the key does not matter");
        let values: [&[u8]; 5] = [b"two", b"three", b"four", b"five", b"six"];
        assert!(values.into_iter().any(|value| choose("k", Some(value)) != chosen));
        assert_eq!(
            choose("k", None),
            choose("other", None),
            "without a value all go to one"
        );
    }
}

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::topology::predeclared;
use crate::{Exchange, TopicId};

/// A destination that is told from others by a number.
fn sink(n: u8) -> Sink {
    Sink::Topic(Box::new(TopicId([n; 16])))
}

fn number(sink: &Sink) -> u8 {
    match sink {
        Sink::Topic(id) => id.0[0],
        Sink::Queue(_) | Sink::Exchange(_) => unreachable!("the tests add topics"),
    }
}

fn found(trie: &TopicTrie, key: &str) -> BTreeSet<u8> {
    let mut found = BTreeSet::new();
    trie.matching(key, |sink| _ = found.insert(number(sink)));
    found
}

fn is_match(pattern: &str, key: &str) -> bool {
    let mut trie = TopicTrie::default();
    trie.add(pattern, sink(1));
    !found(&trie, key).is_empty()
}

/// As RabbitMQ's documentation says what a pattern means, tried in every way there is.
fn matches(pattern: &[&str], key: &[&str]) -> bool {
    match (pattern.split_first(), key.split_first()) {
        (None, None) => true,
        (Some((&"#", rest)), None) => matches(rest, key),
        (Some((&"#", rest)), Some((_, others))) => matches(rest, key) || matches(pattern, others),
        (Some((&"*", rest)), Some((_, others))) => matches(rest, others),
        (Some((word, rest)), Some((other, others))) => word == other && matches(rest, others),
        _ => false,
    }
}

fn split(key: &str) -> Vec<&str> {
    match key {
        "" => Vec::new(),
        key => key.split('.').collect(),
    }
}

#[test]
fn words_are_what_lies_between_dots() {
    for (pattern, key, expected) in [
        ("", "", true),
        ("", "a", false),
        ("#", "", true),
        ("#", "a.b.c", true),
        ("*", "", false),
        ("*", "a", true),
        ("*", "a.b", false),
        ("*", ".", false),
        ("*.*", ".", true),
        ("*.*", "a.", true),
        ("a.", "a.", true),
        ("a.", "a", false),
        ("a.*", "a.", true),
        ("a..b", "a..b", true),
        ("a.*.b", "a..b", true),
        ("a.#.b", "a.b", true),
        ("a.#.b", "a.x.y.b", true),
        ("a.#.b", "a.b.x", false),
        ("#.b", "b", true),
        ("#.#", "", true),
        ("#.*", "", false),
        ("#.*", "a", true),
        ("*.#", "a", true),
        ("a#", "ab", false),
        ("a#", "a#", true),
        ("a*", "ab", false),
        // In a routing key they are words like others.
        ("*", "*", true),
        ("*", "#", true),
        ("x", "*", false),
        ("x", "#", false),
        ("#.x", "#", false),
    ] {
        assert_eq!(is_match(pattern, key), expected, "{pattern:?} {key:?}");
        assert_eq!(
            matches(&split(pattern), &split(key)),
            expected,
            "{pattern:?} {key:?}"
        );
    }
}

#[test]
fn many_wildcards_take_no_time_that_matters() {
    let mut trie = TopicTrie::default();
    let any = vec!["#"; 128].join(".");
    let mixed = vec!["#.*"; 63].join(".");
    let ends_otherwise = format!("{any}.x");
    for (n, pattern) in [&any, &mixed, &ends_otherwise].into_iter().enumerate() {
        trie.add(pattern, sink(u8::try_from(n).unwrap()));
    }
    let key = vec!["w"; 128].join(".");
    assert_eq!(found(&trie, &key), BTreeSet::from([0, 1]));
}

#[test]
fn a_destination_stays_until_its_last_binding_with_the_key_goes() {
    let mut trie = TopicTrie::default();
    trie.add("a.*", sink(1));
    trie.add("a.*", sink(1));
    trie.add("a.#", sink(1));
    trie.remove("a.*", &sink(1));
    assert_eq!(found(&trie, "a.b"), BTreeSet::from([1]));
    trie.remove("a.#", &sink(1));
    assert_eq!(found(&trie, "a.b"), BTreeSet::from([1]));
    trie.remove("a.*", &sink(1));
    assert_eq!(found(&trie, "a.b"), BTreeSet::new());
    assert!(trie.root.is_empty(), "nothing is kept of what went");
}

#[test]
fn exchanges_and_queues_are_other_destinations() {
    let exchange = |name: &str| {
        Arc::new(Exchange {
            name: name.into(),
            ..predeclared().next().unwrap()
        })
    };
    let mut sinks = Sinks::default();
    for sink in [
        sink(2),
        Sink::Exchange(exchange("b")),
        sink(1),
        Sink::Exchange(exchange("a")),
    ] {
        sinks.add(sink.clone());
        sinks.add(sink);
    }
    assert_eq!(sinks.iter().count(), 4);
    sinks.remove(&sink(1));
    assert_eq!(sinks.iter().count(), 4);
    sinks.remove(&sink(1));
    sinks.remove(&sink(3));
    assert_eq!(sinks.iter().count(), 3);
}

/// Few words, so that much matches.
fn key() -> impl Strategy<Value = String> {
    let word = prop_oneof![Just("a"), Just("b"), Just(""), Just("*"), Just("#")];
    proptest::collection::vec(word, 0..6).prop_map(|words| words.join("."))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_trie_finds_what_the_patterns_mean(
        patterns in proptest::collection::vec((key(), 0_u8..4), 0..12),
        removed in proptest::collection::vec(any::<bool>(), 12),
        keys in proptest::collection::vec(key(), 8),
    ) {
        let mut trie = TopicTrie::default();
        for (pattern, n) in &patterns {
            trie.add(pattern, sink(*n));
        }
        let (gone, left): (Vec<_>, Vec<_>) =
            patterns.iter().zip(&removed).partition(|(_, removed)| **removed);
        for ((pattern, n), _) in gone {
            trie.remove(pattern, &sink(*n));
        }
        for key in &keys {
            let expected: BTreeSet<u8> = left
                .iter()
                .filter(|((pattern, _), _)| matches(&split(pattern), &split(key)))
                .map(|((_, n), _)| *n)
                .collect();
            prop_assert_eq!(found(&trie, key), expected, "{:?} of {:?}", key, &left);
        }
        for ((pattern, n), _) in left {
            trie.remove(pattern, &sink(*n));
        }
        prop_assert!(trie.root.is_empty());
    }
}

//! What an exchange has of its bindings to find destinations by.

use std::collections::HashMap;
use std::sync::Arc;

use super::consistent_hash::ConsistentHash;
use super::header_match::Headers;
use super::sinks::{Sink, Sinks};
use super::topic_trie::TopicTrie;
use crate::{Binding, ExchangeKind, HashOn};

#[derive(Debug)]
pub(crate) enum Matcher {
    Direct(HashMap<Box<str>, Sinks>),
    Fanout(Sinks),
    Topic(TopicTrie),
    Headers(Vec<(Arc<Binding>, Sink)>),
    ConsistentHash(ConsistentHash),
}

impl Matcher {
    pub(crate) fn new(kind: &ExchangeKind) -> Matcher {
        match kind {
            ExchangeKind::Direct => Matcher::Direct(HashMap::new()),
            ExchangeKind::Fanout => Matcher::Fanout(Sinks::default()),
            ExchangeKind::Topic => Matcher::Topic(TopicTrie::default()),
            ExchangeKind::Headers => Matcher::Headers(Vec::new()),
            ExchangeKind::ConsistentHash(hash_on) => {
                Matcher::ConsistentHash(ConsistentHash::new(hash_on.clone()))
            }
            ExchangeKind::Delayed(inner) => Matcher::new(inner),
        }
    }

    pub(crate) fn add(&mut self, binding: &Arc<Binding>, sink: Sink) {
        match self {
            Matcher::Direct(by_key) => match by_key.get_mut(&binding.key) {
                Some(sinks) => sinks.add(sink),
                None => by_key.entry(binding.key.clone()).or_default().add(sink),
            },
            Matcher::Fanout(sinks) => sinks.add(sink),
            Matcher::Topic(trie) => trie.add(&binding.key, sink),
            Matcher::Headers(bindings) => bindings.push((binding.clone(), sink)),
            Matcher::ConsistentHash(hash) => hash.add(binding, sink),
        }
    }

    pub(crate) fn remove(&mut self, binding: &Arc<Binding>, sink: &Sink) {
        match self {
            Matcher::Direct(by_key) => {
                let Some(sinks) = by_key.get_mut(&binding.key) else {
                    return;
                };
                sinks.remove(sink);
                if sinks.is_empty() {
                    by_key.remove(&binding.key);
                }
            }
            Matcher::Fanout(sinks) => sinks.remove(sink),
            Matcher::Topic(trie) => trie.remove(&binding.key, sink),
            Matcher::Headers(bindings) => bindings.retain(|(other, _)| !Arc::ptr_eq(other, binding)),
            Matcher::ConsistentHash(hash) => hash.remove(binding, sink),
        }
    }

    /// Calls `found` for the destinations of a message, for some more than once.
    pub(crate) fn matching<'a>(
        &'a self,
        keys: &[&str],
        headers: &(impl Headers + ?Sized),
        mut found: impl FnMut(&'a Sink),
    ) {
        match self {
            Matcher::Direct(by_key) => {
                let matching = keys.iter().filter_map(|key| by_key.get(*key));
                matching.flat_map(Sinks::iter).for_each(found);
            }
            Matcher::Fanout(sinks) => sinks.iter().for_each(found),
            Matcher::Topic(trie) => keys.iter().for_each(|key| trie.matching(key, &mut found)),
            Matcher::Headers(bindings) => {
                let is_met = |binding: &Binding| {
                    let asked = binding.header_match();
                    asked.is_some_and(|asked| asked.matches(headers))
                };
                let matching = bindings.iter().filter(|(binding, _)| is_met(binding));
                matching.for_each(|(_, sink)| found(sink));
            }
            Matcher::ConsistentHash(hash) => {
                let key = keys.first().copied().unwrap_or_default();
                hash.choose(key, headers).into_iter().for_each(found);
            }
        }
    }
}

/// What of a message decides where it goes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Looks {
    pub(crate) at_keys: bool,
    pub(crate) at_headers: bool,
}

impl Looks {
    pub(crate) fn add(&mut self, kind: &ExchangeKind) {
        match kind {
            ExchangeKind::Direct | ExchangeKind::Topic | ExchangeKind::ConsistentHash(HashOn::RoutingKey) => {
                self.at_keys = true;
            }
            ExchangeKind::Fanout => {}
            ExchangeKind::Headers
            | ExchangeKind::ConsistentHash(HashOn::Header(_) | HashOn::Property(_))
            // How long the delay is stands in a header.
            | ExchangeKind::Delayed(_) => self.at_headers = true,
        }
    }
}

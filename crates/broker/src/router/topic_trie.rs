//! Topic exchanges: a trie of the words of binding keys.
//!
//! A key is a list of words with dots between them; the empty key has no word, and `a.` has two, of which the second is
//! empty. In a binding key `*` stands for one word, also an empty one, and `#` for any number of words.
//!
//! A routing key is matched word by word with the set of all nodes that the words so far lead to. Every node is in the set
//! once, so that no binding key makes a match take more than (words of the routing key) x (nodes) steps; trying each
//! number of words for each `#` in turn would take exponentially many.

use std::collections::HashMap;

use smallvec::SmallVec;

use super::sinks::{Sink, Sinks};

const ONE_WORD: &str = "*";
const ANY_WORDS: &str = "#";

#[derive(Debug, Default)]
pub(crate) struct TopicTrie {
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    words: HashMap<Box<str>, Node>,
    one_word: Option<Box<Node>>,
    any_words: Option<Box<Node>>,
    /// Of the binding keys that end here.
    sinks: Sinks,
}

impl TopicTrie {
    pub(crate) fn add(&mut self, key: &str, sink: Sink) {
        let mut node = &mut self.root;
        for word in words(key) {
            node = node.child_mut(word);
        }
        node.sinks.add(sink);
    }

    pub(crate) fn remove(&mut self, key: &str, sink: &Sink) {
        let words: SmallVec<[&str; 16]> = words(key).collect();
        self.root.remove(&words, sink);
    }

    /// Calls `found` for the destinations of every binding key that matches, for some more than once.
    pub(crate) fn matching<'a>(&'a self, key: &str, mut found: impl FnMut(&'a Sink)) {
        let mut active = Active::default();
        active.reach(&self.root);
        for word in words(key) {
            active = active.after(word);
        }
        let nodes = active.nodes.into_iter().chain(active.any_words);
        nodes.flat_map(|node| node.sinks.iter()).for_each(&mut found);
    }
}

/// The nodes that some words of a routing key lead to.
#[derive(Default)]
struct Active<'a> {
    nodes: SmallVec<[&'a Node; 16]>,
    /// Those that a `#` leads to: they stay active whatever words come. Sorted by address, since some are reached again.
    any_words: SmallVec<[&'a Node; 8]>,
}

impl<'a> Active<'a> {
    fn reach(&mut self, node: &'a Node) {
        self.nodes.push(node);
        self.reach_any_words(node);
    }

    /// A `#` stands for no word at all as well.
    fn reach_any_words(&mut self, node: &'a Node) {
        let mut node = node;
        while let Some(any_words) = &node.any_words {
            match self
                .any_words
                .binary_search_by_key(&address(any_words), |other| address(other))
            {
                // What is behind it was reached with it.
                Ok(_) => return,
                Err(at) => self.any_words.insert(at, any_words),
            }
            node = any_words;
        }
    }

    fn after(&self, word: &str) -> Active<'a> {
        let mut next = Active {
            nodes: SmallVec::new(),
            any_words: self.any_words.clone(),
        };
        for node in self.nodes.iter().chain(&self.any_words) {
            let by_word = node.words.get(word);
            let children = by_word.into_iter().chain(node.one_word.as_deref());
            children.for_each(|child| next.reach(child));
        }
        next
    }
}

fn address(node: &Node) -> usize {
    std::ptr::from_ref(node).addr()
}

impl Node {
    fn child_mut(&mut self, word: &str) -> &mut Node {
        match word {
            ONE_WORD => self.one_word.get_or_insert_default(),
            ANY_WORDS => self.any_words.get_or_insert_default(),
            _ => self.words.entry(word.into()).or_default(),
        }
    }

    /// Nodes that lead nowhere any more go.
    fn remove(&mut self, words: &[&str], sink: &Sink) {
        let Some((word, rest)) = words.split_first() else {
            self.sinks.remove(sink);
            return;
        };
        match *word {
            ONE_WORD => remove_from(&mut self.one_word, rest, sink),
            ANY_WORDS => remove_from(&mut self.any_words, rest, sink),
            word => {
                let Some(child) = self.words.get_mut(word) else {
                    return;
                };
                child.remove(rest, sink);
                if child.is_empty() {
                    self.words.remove(word);
                }
                if self.words.is_empty() {
                    self.words.shrink_to_fit();
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.sinks.is_empty() && self.words.is_empty() && self.one_word.is_none() && self.any_words.is_none()
    }
}

fn remove_from(child: &mut Option<Box<Node>>, rest: &[&str], sink: &Sink) {
    if let Some(node) = child {
        node.remove(rest, sink);
        if node.is_empty() {
            *child = None;
        }
    }
}

fn words(key: &str) -> impl Iterator<Item = &str> {
    key.split('.').filter(move |_| !key.is_empty())
}

#[cfg(test)]
mod tests;

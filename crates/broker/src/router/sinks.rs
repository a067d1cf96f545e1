//! Where bindings lead to, each destination once however many bindings lead there.

use std::cmp::Ordering;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::{Exchange, Queue, TopicId};

/// A destination that exists.
#[derive(Clone, Debug)]
pub(crate) enum Sink {
    Queue(Arc<Queue>),
    Exchange(Arc<Exchange>),
    Topic(Box<TopicId>),
}

/// Sorted: most have one, some have very many.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sinks(SmallVec<[Counted; 1]>);

#[derive(Clone, Debug)]
struct Counted {
    sink: Sink,
    bindings: u32,
}

impl Sinks {
    pub(crate) fn add(&mut self, sink: Sink) {
        match self.position(&sink) {
            Ok(at) => {
                if let Some(counted) = self.0.get_mut(at) {
                    counted.bindings += 1;
                }
            }
            Err(at) => self.0.insert(at, Counted { sink, bindings: 1 }),
        }
    }

    pub(crate) fn remove(&mut self, sink: &Sink) {
        let Ok(at) = self.position(sink) else { return };
        let Some(counted) = self.0.get_mut(at) else { return };
        counted.bindings -= 1;
        if counted.bindings == 0 {
            self.0.remove(at);
        }
        if self.0.len() <= 1 {
            self.0.shrink_to_fit();
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Sink> {
        self.0.iter().map(|counted| &counted.sink)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn position(&self, sink: &Sink) -> Result<usize, usize> {
        self.0.binary_search_by(|counted| counted.sink.cmp(sink))
    }
}

impl Ord for Sink {
    fn cmp(&self, other: &Sink) -> Ordering {
        match (self, other) {
            (Sink::Queue(a), Sink::Queue(b)) => a.id().cmp(&b.id()),
            (Sink::Exchange(a), Sink::Exchange(b)) => a.name.cmp(&b.name),
            (Sink::Topic(a), Sink::Topic(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl Sink {
    fn rank(&self) -> u8 {
        match self {
            Sink::Queue(_) => 0,
            Sink::Exchange(_) => 1,
            Sink::Topic(_) => 2,
        }
    }
}

impl PartialOrd for Sink {
    fn partial_cmp(&self, other: &Sink) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Sink {
    fn eq(&self, other: &Sink) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Sink {}

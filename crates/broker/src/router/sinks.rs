//! Where bindings lead to, each destination once however many bindings lead there.

use std::cmp::Ordering;
use std::mem;
use std::sync::Arc;

use crate::{Exchange, Queue, TopicId};

/// A destination that exists.
#[derive(Clone, Debug)]
pub(crate) enum Sink {
    Queue(Arc<Queue>),
    Exchange(Arc<Exchange>),
    Topic(Box<TopicId>),
}

/// Most have one, some have very many.
#[derive(Clone, Debug, Default)]
pub(crate) enum Sinks {
    #[default]
    None,
    One(Counted),
    /// Sorted.
    Many(Vec<Counted>),
}

#[derive(Clone, Debug)]
pub(crate) struct Counted {
    sink: Sink,
    bindings: u32,
}

impl Sinks {
    pub(crate) fn add(&mut self, sink: Sink) {
        match self.position(&sink) {
            Ok(at) => {
                if let Some(counted) = self.as_mut_slice().get_mut(at) {
                    counted.bindings += 1;
                }
            }
            Err(at) => self.insert(at, Counted { sink, bindings: 1 }),
        }
    }

    fn insert(&mut self, at: usize, new: Counted) {
        *self = match mem::take(self) {
            Sinks::None => Sinks::One(new),
            Sinks::One(old) if at == 0 => Sinks::Many(vec![new, old]),
            Sinks::One(old) => Sinks::Many(vec![old, new]),
            Sinks::Many(mut many) => {
                many.insert(at, new);
                Sinks::Many(many)
            }
        };
    }

    pub(crate) fn remove(&mut self, sink: &Sink) {
        let Ok(at) = self.position(sink) else { return };
        let Some(counted) = self.as_mut_slice().get_mut(at) else {
            return;
        };
        counted.bindings -= 1;
        if counted.bindings > 0 {
            return;
        }
        *self = match mem::take(self) {
            Sinks::None | Sinks::One(_) => Sinks::None,
            Sinks::Many(mut many) => {
                many.remove(at);
                match many.len() {
                    1 => many.pop().map_or(Sinks::None, Sinks::One),
                    _ => Sinks::Many(many),
                }
            }
        };
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Sink> {
        self.as_slice().iter().map(|counted| &counted.sink)
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Sinks::None)
    }

    fn position(&self, sink: &Sink) -> Result<usize, usize> {
        self.as_slice().binary_search_by(|counted| counted.sink.cmp(sink))
    }

    fn as_slice(&self) -> &[Counted] {
        match self {
            Sinks::None => &[],
            Sinks::One(one) => std::slice::from_ref(one),
            Sinks::Many(many) => many,
        }
    }

    fn as_mut_slice(&mut self) -> &mut [Counted] {
        match self {
            Sinks::None => &mut [],
            Sinks::One(one) => std::slice::from_mut(one),
            Sinks::Many(many) => many,
        }
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

//! Bindings: from an exchange to where its messages go.

use std::sync::Arc;

use super::{DEFAULT_EXCHANGE, HeaderMatch};
use crate::TopicId;

/// Where a binding leads to, as a request names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Destination {
    Queue(Arc<str>),
    Exchange(Arc<str>),
    /// The topic with this name; a message goes to one of its partitions.
    Topic(Arc<str>),
}

/// A binding as it is asked for. Two with the same source, destination, key and arguments are the same.
#[derive(Clone, Debug)]
pub struct NewBinding {
    pub source: Arc<str>,
    pub destination: Destination,
    pub key: String,
    /// In the encoding of the protocol, which brings equal ones into one form: they are compared as bytes.
    pub arguments: Vec<u8>,
    /// What the arguments say to a headers exchange; others do not look at it.
    pub header_match: HeaderMatch,
}

/// A binding that exists. There may be very many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    pub source: Arc<str>,
    pub destination: Destination,
    pub key: Box<str>,
    /// None where there are none, which is so for most.
    pub(crate) details: Option<Box<BindingDetails>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BindingDetails {
    pub(crate) arguments: Box<[u8]>,
    /// None where the source is no headers exchange.
    pub(crate) header_match: Option<HeaderMatch>,
    /// The topic that it leads to.
    pub(crate) topic: Option<TopicId>,
}

impl Binding {
    /// What binds a queue to the default exchange by its name. Nothing of it is kept anywhere.
    pub fn by_name(queue: &Arc<str>) -> Binding {
        Binding {
            source: DEFAULT_EXCHANGE.into(),
            destination: Destination::Queue(queue.clone()),
            key: (**queue).into(),
            details: None,
        }
    }

    /// As they were given, in the encoding of the protocol.
    pub fn arguments(&self) -> &[u8] {
        self.details.as_ref().map_or(&[], |details| &details.arguments)
    }

    /// What a headers exchange asks for.
    pub fn header_match(&self) -> Option<&HeaderMatch> {
        self.details.as_ref()?.header_match.as_ref()
    }

    /// The topic that it leads to, where that is its destination.
    pub fn topic(&self) -> Option<TopicId> {
        self.details.as_ref()?.topic
    }
}

impl BindingDetails {
    pub(crate) fn boxed(self) -> Option<Box<BindingDetails>> {
        (self != BindingDetails::default()).then(|| Box::new(self))
    }
}

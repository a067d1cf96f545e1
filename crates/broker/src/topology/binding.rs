//! Bindings: from an exchange to where its messages go.

use std::sync::Arc;

use super::HeaderMatch;
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

/// A binding that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    pub source: Arc<str>,
    pub destination: Destination,
    pub key: Box<str>,
    /// As they were given, in the encoding of the protocol.
    pub arguments: Box<[u8]>,
    /// None where the source is no headers exchange.
    pub header_match: Option<Box<HeaderMatch>>,
    /// The topic that it leads to.
    pub topic: Option<Box<TopicId>>,
}

//! How the broker looks into properties, which are in the encoding of the protocol that a message came in.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::router::{Headers, NoHeaders};

/// What a protocol tells of properties in its encoding.
pub trait PropertiesFormat: Send + Sync {
    /// The headers, to be matched.
    fn headers<'a>(&self, properties: &'a [u8]) -> Box<dyn Headers + 'a>;

    /// Further routing keys that the message was published with.
    fn routing_keys<'a>(&self, properties: &'a [u8]) -> Vec<&'a str>;
}

/// The formats of the protocols, by the first byte of properties.
#[derive(Clone, Default)]
pub(crate) struct PropertiesFormats {
    by_tag: Arc<RwLock<HashMap<u8, Arc<dyn PropertiesFormat>>>>,
}

impl PropertiesFormats {
    pub(crate) fn register(&self, tag: u8, format: Arc<dyn PropertiesFormat>) {
        let mut by_tag = self.by_tag.write().unwrap_or_else(PoisonError::into_inner);
        by_tag.insert(tag, format);
    }

    /// Properties in an encoding that nobody registered have no headers.
    pub(crate) fn look<T>(&self, properties: &[u8], look: impl FnOnce(&dyn Headers, &[&str]) -> T) -> T {
        let by_tag = self.by_tag.read().unwrap_or_else(PoisonError::into_inner);
        match properties.first().and_then(|tag| by_tag.get(tag)) {
            Some(format) => look(&*format.headers(properties), &format.routing_keys(properties)),
            None => look(&NoHeaders, &[]),
        }
    }
}

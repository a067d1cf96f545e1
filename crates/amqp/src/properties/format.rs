use std::borrow::Cow;

use firth_amqp_codec::{BasicProperties, Table};
use firth_broker::{HashProperty, HeaderValue, Headers, NoHeaders, PropertiesFormat};

use super::{BCC, CC, of_stored, strings};
use crate::arguments::header_value;

/// What the broker asks about properties.
pub(crate) struct Format;

impl PropertiesFormat for Format {
    fn headers<'a>(&self, properties: &'a [u8]) -> Box<dyn Headers + 'a> {
        match of_stored(properties).map(BasicProperties::read) {
            Some(Ok(properties)) => Box::new(MessageHeaders(properties)),
            _ => Box::new(NoHeaders),
        }
    }

    fn routing_keys<'a>(&self, properties: &'a [u8]) -> Vec<&'a str> {
        match of_stored(properties).map(BasicProperties::read) {
            Some(Ok(BasicProperties {
                headers: Some(headers),
                ..
            })) => routing_keys(headers),
            _ => Vec::new(),
        }
    }
}

/// The further routing keys of a message, of CC and BCC. What is no text matches nothing.
pub(crate) fn routing_keys(headers: Table<'_>) -> Vec<&str> {
    [CC, BCC]
        .into_iter()
        .filter_map(|header| headers.get(header))
        .flat_map(strings)
        .filter_map(|key| std::str::from_utf8(key).ok())
        .collect()
}

/// Headers and properties as the router looks at them.
pub(crate) struct MessageHeaders<'a>(pub(crate) BasicProperties<'a>);

impl Headers for MessageHeaders<'_> {
    fn get(&self, name: &str) -> Option<HeaderValue<'_>> {
        self.0.headers?.get(name).map(header_value)
    }

    fn property(&self, property: HashProperty) -> Option<Cow<'_, [u8]>> {
        match property {
            HashProperty::MessageId => self.0.message_id.map(Cow::Borrowed),
            HashProperty::CorrelationId => self.0.correlation_id.map(Cow::Borrowed),
            HashProperty::Timestamp => {
                let timestamp = self.0.timestamp?;
                Some(Cow::Owned(timestamp.to_string().into_bytes()))
            }
        }
    }
}

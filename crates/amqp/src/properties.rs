//! The properties of a message as they are stored: a byte that says that they are of this protocol, then flags and list as they
//! were received.

mod death;
mod format;

use bytes::BytesMut;
use firth_amqp_codec::{BasicProperties, Error, FieldTable, FieldValue, Table};

pub(crate) use self::death::{Added, with_added};
pub(crate) use self::format::{Format, MessageHeaders, routing_keys};

/// The first byte of properties of AMQP 0-9-1.
pub(crate) const FORMAT: u8 = b'A';
/// Headers with further routing keys. Nobody who receives the message sees the second.
pub(crate) const CC: &str = "CC";
pub(crate) const BCC: &str = "BCC";

/// Flags and list, if the stored properties are of this protocol.
pub(crate) fn of_stored(stored: &[u8]) -> Option<&[u8]> {
    match stored.split_first() {
        Some((&FORMAT, properties)) => Some(properties),
        _ => None,
    }
}

/// The headers without one of them.
pub(crate) fn headers_without(headers: Table<'_>, left_out: &str) -> FieldTable {
    let kept = FieldTable::build(|table| {
        for (name, value) in headers {
            if name != left_out.as_bytes() {
                table.put_bytes(name, value);
            }
        }
    });
    kept.unwrap_or_default()
}

/// Writes changed properties, as they are stored.
pub(crate) fn store(properties: &BasicProperties<'_>, into: &mut Vec<u8>) -> Result<(), Error> {
    let mut written = BytesMut::new();
    properties.write(&mut written)?;
    into.push(FORMAT);
    into.extend_from_slice(&written);
    Ok(())
}

/// The strings of an array.
fn strings<'a>(value: FieldValue<'a>) -> impl Iterator<Item = &'a [u8]> {
    let array = match value {
        FieldValue::Array(array) => Some(array),
        _ => None,
    };
    array.into_iter().flatten().filter_map(|value| match value {
        FieldValue::LongStr(text) => Some(text),
        _ => None,
    })
}

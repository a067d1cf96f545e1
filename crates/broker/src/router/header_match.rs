//! What a headers exchange asks of a message.
//!
//! Values are equal as RabbitMQ finds them equal: numbers by what they say and not by how they are written, text as its
//! bytes, and a table or an array as its bytes, of which an empty one is like the other.

use std::borrow::Cow;

/// The value of a header, or of a condition.
#[derive(Clone, Debug)]
pub enum HeaderValue<'a> {
    /// As a condition: the header is there, whatever its value is.
    Void,
    Bool(bool),
    /// A whole number, and a time.
    Integer(i128),
    Float(f64),
    Decimal {
        scale: u8,
        value: u32,
    },
    /// Text, or bytes.
    Bytes(Cow<'a, [u8]>),
    /// The fields in the encoding of the protocol, without their length.
    Table(Cow<'a, [u8]>),
    /// The elements in the encoding of the protocol, without their length.
    Array(Cow<'a, [u8]>),
}

/// Headers and properties of a message, as its protocol has them.
pub trait Headers {
    /// The first header with this name.
    fn get(&self, name: &str) -> Option<HeaderValue<'_>>;
    /// A time as decimal digits.
    fn property(&self, property: crate::HashProperty) -> Option<Cow<'_, [u8]>>;
}

/// A message without headers and properties.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHeaders;

impl Headers for NoHeaders {
    fn get(&self, _name: &str) -> Option<HeaderValue<'_>> {
        None
    }

    fn property(&self, _property: crate::HashProperty) -> Option<Cow<'_, [u8]>> {
        None
    }
}

/// How many of the conditions must be met, and which of them count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MatchMode {
    /// All but those on headers whose names begin with `x-`.
    #[default]
    All,
    /// At least one, but for those on headers whose names begin with `x-`.
    Any,
    AllWithX,
    AnyWithX,
}

/// The conditions of a binding, without its mode itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeaderMatch {
    pub mode: MatchMode,
    /// Name and value.
    pub conditions: Vec<(Box<str>, HeaderValue<'static>)>,
}

/// There are no floats in it that are not equal to themselves: what reads one says so.
impl Eq for HeaderMatch {}

impl HeaderMatch {
    /// Without a condition that counts, all are met, and none is.
    pub fn matches(&self, headers: &(impl Headers + ?Sized)) -> bool {
        let with_x = matches!(self.mode, MatchMode::AllWithX | MatchMode::AnyWithX);
        let mut counting = self
            .conditions
            .iter()
            .filter(|(name, _)| with_x || !name.starts_with("x-"));
        let is_met = |(name, wanted): &(Box<str>, HeaderValue<'static>)| {
            headers
                .get(name)
                .is_some_and(|value| matches!(wanted, HeaderValue::Void) || value == *wanted)
        };
        match self.mode {
            MatchMode::All | MatchMode::AllWithX => counting.all(is_met),
            MatchMode::Any | MatchMode::AnyWithX => counting.any(is_met),
        }
    }
}

impl PartialEq<HeaderValue<'_>> for HeaderValue<'_> {
    fn eq(&self, other: &HeaderValue<'_>) -> bool {
        match (self, other) {
            (HeaderValue::Void, HeaderValue::Void) => true,
            (HeaderValue::Bool(a), HeaderValue::Bool(b)) => a == b,
            (HeaderValue::Integer(a), HeaderValue::Integer(b)) => a == b,
            (HeaderValue::Float(a), HeaderValue::Float(b)) => a == b,
            (HeaderValue::Integer(integer), HeaderValue::Float(float))
            | (HeaderValue::Float(float), HeaderValue::Integer(integer)) => is_same_number(*integer, *float),
            (HeaderValue::Decimal { scale, value }, HeaderValue::Decimal { scale: s, value: v }) => {
                (scale, value) == (s, v)
            }
            (HeaderValue::Bytes(a), HeaderValue::Bytes(b))
            | (HeaderValue::Table(a), HeaderValue::Table(b))
            | (HeaderValue::Array(a), HeaderValue::Array(b)) => a == b,
            (HeaderValue::Table(a), HeaderValue::Array(b))
            | (HeaderValue::Array(a), HeaderValue::Table(b)) => a.is_empty() && b.is_empty(),
            _ => false,
        }
    }
}

/// Neither is rounded to be like the other.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a float beyond the range becomes its end, which is no float"
)]
fn is_same_number(integer: i128, float: f64) -> bool {
    float.fract() == 0.0 && float.abs() < 1e38 && float as i128 == integer
}

#[cfg(test)]
mod tests;

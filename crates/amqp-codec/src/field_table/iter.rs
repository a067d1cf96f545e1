use super::FieldValue;
use crate::primitives::Cursor;

/// The fields of a table, in their order.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    cursor: Cursor<'a>,
}

/// The values of an array, in their order.
#[derive(Debug, Clone)]
pub struct Values<'a> {
    cursor: Cursor<'a>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Fields<'a> {
        Fields {
            cursor: Cursor::new(bytes),
        }
    }
}

impl<'a> Values<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Values<'a> {
        Values {
            cursor: Cursor::new(bytes),
        }
    }
}

// What is iterated was checked when it was read, so an error is the end and nothing else.

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a [u8], FieldValue<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let name = self.cursor.short_str().ok()?;
        let value = FieldValue::read_shallow(&mut self.cursor).ok()?;
        Some((name, value))
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = FieldValue<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        FieldValue::read_shallow(&mut self.cursor).ok()
    }
}

use super::FieldValue;
use crate::error::Error;
use crate::primitives::Cursor;

/// How deep tables and arrays may lie in each other. Clients need three or four; RabbitMQ has no limit but its memory.
pub const TABLE_DEPTH_MAX: usize = 64;

/// Whether these bytes are a table, and all that is in it as well.
pub(super) fn table(bytes: &[u8]) -> Result<(), Error> {
    table_within(bytes, TABLE_DEPTH_MAX)
}

fn table_within(bytes: &[u8], depth_left: usize) -> Result<(), Error> {
    let depth_left = deeper(depth_left)?;
    let mut cursor = Cursor::new(bytes);
    while !cursor.is_empty() {
        cursor.short_str()?;
        value(&mut cursor, depth_left)?;
    }
    Ok(())
}

fn array_within(bytes: &[u8], depth_left: usize) -> Result<(), Error> {
    let depth_left = deeper(depth_left)?;
    let mut cursor = Cursor::new(bytes);
    while !cursor.is_empty() {
        value(&mut cursor, depth_left)?;
    }
    Ok(())
}

fn deeper(depth_left: usize) -> Result<usize, Error> {
    let too_deep = || {
        let depth = u64::try_from(TABLE_DEPTH_MAX).unwrap_or(u64::MAX);
        Error::malformed("depth of a table", depth.saturating_add(1))
    };
    depth_left.checked_sub(1).ok_or_else(too_deep)
}

fn value(cursor: &mut Cursor<'_>, depth_left: usize) -> Result<(), Error> {
    match FieldValue::read_shallow(cursor)? {
        FieldValue::Table(table) => table_within(table.as_bytes(), depth_left),
        FieldValue::Array(array) => array_within(array.as_bytes(), depth_left),
        _ => Ok(()),
    }
}

use std::borrow::Cow;

use firth_amqp_codec::{FieldTable, FieldValue};
use firth_broker::{HeaderMatch, HeaderValue, MatchMode};

use super::type_name;
use crate::exception::{Exception, Quoted, fail};

/// The arguments in the order of their names: two bindings are the same if these are.
pub(crate) fn binding_arguments(arguments: &FieldTable) -> Vec<u8> {
    let mut fields: Vec<_> = arguments.iter().collect();
    if fields.is_sorted_by_key(|(name, _)| *name) {
        return arguments.as_bytes().to_vec();
    }
    fields.sort_by_key(|(name, _)| *name);
    let sorted = FieldTable::build(|table| {
        for (name, value) in fields {
            table.put_bytes(name, value);
        }
    });
    sorted.unwrap_or_default().as_bytes().to_vec()
}

/// What a binding asks of headers, in case its source looks at them.
pub(crate) fn header_match(arguments: &FieldTable, is_headers: bool) -> Result<HeaderMatch, Exception> {
    let mode = match arguments.get("x-match") {
        None => MatchMode::All,
        Some(FieldValue::LongStr(mode)) => match mode {
            b"all" => MatchMode::All,
            b"any" => MatchMode::Any,
            b"all-with-x" => MatchMode::AllWithX,
            b"any-with-x" => MatchMode::AnyWithX,
            _ if !is_headers => MatchMode::All,
            mode => fail!(
                PreconditionFailed,
                "Invalid x-match field value {}; expected all, any, all-with-x, or any-with-x",
                Quoted(mode)
            ),
        },
        Some(_) if !is_headers => MatchMode::All,
        Some(value) => fail!(
            PreconditionFailed,
            "Invalid x-match field type {} (value {value:?}); expected longstr",
            type_name(&value)
        ),
    };
    let conditions = arguments
        .iter()
        .filter(|(name, _)| *name != b"x-match")
        .filter_map(|(name, value)| Some((String::from_utf8_lossy(name).into(), owned(value)?)))
        .collect();
    Ok(HeaderMatch { mode, conditions })
}

/// None of a number that is equal to nothing.
fn owned(value: FieldValue<'_>) -> Option<HeaderValue<'static>> {
    Some(match header_value(value) {
        HeaderValue::Bytes(bytes) => HeaderValue::Bytes(Cow::Owned(bytes.into_owned())),
        HeaderValue::Table(bytes) => HeaderValue::Table(Cow::Owned(bytes.into_owned())),
        HeaderValue::Array(bytes) => HeaderValue::Array(Cow::Owned(bytes.into_owned())),
        HeaderValue::Float(float) if float.is_nan() => return None,
        HeaderValue::Float(float) => HeaderValue::Float(float),
        HeaderValue::Void => HeaderValue::Void,
        HeaderValue::Bool(value) => HeaderValue::Bool(value),
        HeaderValue::Integer(value) => HeaderValue::Integer(value),
        HeaderValue::Decimal { scale, value } => HeaderValue::Decimal { scale, value },
    })
}

/// A value as the router compares it.
pub(crate) fn header_value(value: FieldValue<'_>) -> HeaderValue<'_> {
    match value {
        FieldValue::Bool(value) => HeaderValue::Bool(value),
        FieldValue::I8(value) => HeaderValue::Integer(value.into()),
        FieldValue::U8(value) => HeaderValue::Integer(value.into()),
        FieldValue::I16(value) => HeaderValue::Integer(value.into()),
        FieldValue::U16(value) => HeaderValue::Integer(value.into()),
        FieldValue::I32(value) => HeaderValue::Integer(value.into()),
        FieldValue::U32(value) => HeaderValue::Integer(value.into()),
        FieldValue::I64(value) => HeaderValue::Integer(value.into()),
        FieldValue::Timestamp(value) => HeaderValue::Integer(value.into()),
        FieldValue::F32(value) => HeaderValue::Float(value.into()),
        FieldValue::F64(value) => HeaderValue::Float(value),
        FieldValue::Decimal { scale, value } => HeaderValue::Decimal { scale, value },
        FieldValue::LongStr(bytes) | FieldValue::Bytes(bytes) => HeaderValue::Bytes(Cow::Borrowed(bytes)),
        FieldValue::Table(table) => HeaderValue::Table(Cow::Borrowed(table.as_bytes())),
        FieldValue::Array(array) => HeaderValue::Array(Cow::Borrowed(array.as_bytes())),
        FieldValue::Void => HeaderValue::Void,
    }
}

//! Arguments of queues, exchanges and bindings: what they ask for, and whether two say the same. Texts are RabbitMQ's.

mod binding;
mod queue;

use std::fmt::Display;

use firth_amqp_codec::{FieldTable, FieldValue};

pub(crate) use self::binding::{binding_arguments, header_match, header_value};
pub(crate) use self::queue::{CONSUMER_ARGUMENTS, queue_arguments_of, queue_options};
use crate::exception::{Exception, fail};

/// A queue or an exchange as texts name it: `queue 'q' in vhost '/'`.
pub(crate) fn named(kind: &str, name: &str, virtual_host: &str) -> String {
    format!("{kind} '{name}' in vhost '{virtual_host}'")
}

/// The name of a value's type in RabbitMQ's texts.
pub(crate) fn type_name(value: &FieldValue<'_>) -> &'static str {
    match value {
        FieldValue::Bool(_) => "bool",
        FieldValue::I8(_) => "byte",
        FieldValue::U8(_) => "unsignedbyte",
        FieldValue::I16(_) => "short",
        FieldValue::U16(_) => "unsignedshort",
        FieldValue::I32(_) => "signedint",
        FieldValue::U32(_) => "unsignedint",
        FieldValue::I64(_) => "long",
        FieldValue::F32(_) => "float",
        FieldValue::F64(_) => "double",
        FieldValue::Decimal { .. } => "decimal",
        FieldValue::LongStr(_) => "longstr",
        FieldValue::Bytes(_) => "binary",
        FieldValue::Timestamp(_) => "timestamp",
        FieldValue::Table(_) => "table",
        FieldValue::Array(_) => "array",
        FieldValue::Void => "void",
    }
}

/// What was asked for and is not what is there.
pub(crate) fn inequivalent(
    argument: &str,
    of: &str,
    received: impl Display,
    current: impl Display,
) -> Exception {
    Exception::new(
        firth_amqp_codec::ReplyCode::PreconditionFailed,
        format!("inequivalent arg '{argument}' for {of}: received {received} but current is {current}"),
    )
}

/// Fails unless the flag is as it was declared.
pub(crate) fn check_flag(argument: &str, of: &str, received: bool, current: bool) -> Result<(), Exception> {
    if received == current {
        return Ok(());
    }
    Err(inequivalent(
        argument,
        of,
        format_args!("'{received}'"),
        format_args!("'{current}'"),
    ))
}

/// Fails unless each of these arguments says the same in both. Of numbers only their values count.
pub(crate) fn check_arguments(
    arguments: &[&str],
    of: &str,
    received: &FieldTable,
    current: &FieldTable,
) -> Result<(), Exception> {
    for argument in arguments {
        let (new, old) = (received.get(argument), current.get(argument));
        if is_same(argument, new, old) {
            continue;
        }
        // Where both are of one kind, RabbitMQ prints the values alone.
        let (new, old) = match (new, old) {
            (Some(new), Some(old)) => (format!("'{}'", Shown(new)), format!("'{}'", Shown(old))),
            (new, old) => (typed(new), typed(old)),
        };
        return Err(inequivalent(argument, of, new, old));
    }
    Ok(())
}

fn is_same(argument: &str, new: Option<FieldValue<'_>>, old: Option<FieldValue<'_>>) -> bool {
    let classic = |value: Option<FieldValue<'_>>| match value {
        None => true,
        Some(value) => value.as_str() == Some("classic"),
    };
    match (new, old) {
        _ if argument == "x-queue-type" && classic(new) && classic(old) => true,
        (Some(new), Some(old)) => match (new.as_integer(), old.as_integer()) {
            (Some(new), Some(old)) => new == old,
            _ => new == old,
        },
        (new, old) => new.is_none() && old.is_none(),
    }
}

fn typed(value: Option<FieldValue<'_>>) -> String {
    match value {
        None => "none".to_owned(),
        Some(value) => format!("the value '{}' of type '{}'", Shown(value), type_name(&value)),
    }
}

struct Shown<'a>(FieldValue<'a>);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            FieldValue::LongStr(bytes) | FieldValue::Bytes(bytes) => {
                f.write_str(&String::from_utf8_lossy(bytes))
            }
            value => write!(f, "{value:?}"),
        }
    }
}

/// The name of an exchange among the arguments, as in `alternate-exchange`.
pub(crate) fn exchange_argument(
    arguments: &FieldTable,
    argument: &str,
    of: &str,
) -> Result<Option<String>, Exception> {
    match arguments.get(argument) {
        None => Ok(None),
        Some(FieldValue::LongStr(name)) => Ok(Some(String::from_utf8_lossy(name).into_owned())),
        Some(value) => fail!(
            PreconditionFailed,
            "invalid type '{}' for arg '{argument}' in {of}",
            type_name(&value)
        ),
    }
}

/// Line breaks are taken out of names that are declared, as RabbitMQ does.
pub(crate) fn without_line_breaks(name: &str) -> String {
    name.replace(['\r', '\n'], "")
}

#[cfg(test)]
mod tests;

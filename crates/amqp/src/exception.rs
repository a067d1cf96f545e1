use std::fmt::{self, Write as _};

use firth_amqp_codec::{Method, ReplyCode, ShortStr, Unassembled, channel, connection};
use firth_broker::authorizer::Denied;
use firth_broker::{StateError, TopologyError};

/// Texts are cut after so many bytes, and end with three dots then.
const TEXT_BYTES_MAX: usize = 252;

/// What closes a channel, or where it is a hard one the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exception {
    pub(crate) code: ReplyCode,
    text: String,
    /// Class and method of what failed; None where that is to be named still.
    method: Option<(u16, u16)>,
}

/// Leaves a function with an [`Exception`] of this code and text.
macro_rules! fail {
    ($code:ident, $($text:tt)*) => {
        return Err($crate::exception::Exception::new(
            firth_amqp_codec::ReplyCode::$code,
            format!($($text)*),
        ))
    };
}

pub(crate) use fail;

impl Exception {
    pub(crate) fn new(code: ReplyCode, text: impl Into<String>) -> Exception {
        Exception {
            code,
            text: text.into(),
            method: None,
        }
    }

    /// Names the method that failed, unless one is named.
    pub(crate) fn of(self, method: &Method) -> Exception {
        self.of_ids(method.class_id(), method.method_id())
    }

    /// As [`Exception::of`], where the method itself is gone.
    pub(crate) fn of_ids(mut self, class_id: u16, method_id: u16) -> Exception {
        self.method.get_or_insert((class_id, method_id));
        self
    }

    /// Without the name of its code.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// No method is named: it is the frame that is wrong.
    pub(crate) fn of_frame(self) -> Exception {
        self.of_ids(0, 0)
    }

    pub(crate) fn is_hard(&self) -> bool {
        self.code.is_hard()
    }

    /// As `NOT_FOUND - no queue 'q' in vhost '/'`.
    fn reply_text(&self) -> ShortStr {
        let whole = self.to_string();
        if whole.len() <= ShortStr::BYTES_MAX {
            return ShortStr::truncated(&whole);
        }
        let end = whole.floor_char_boundary(TEXT_BYTES_MAX);
        let cut = whole.get(..end).unwrap_or_default();
        ShortStr::truncated(&format!("{cut}..."))
    }

    pub(crate) fn channel_close(&self) -> channel::Close {
        channel::Close {
            reply_code: self.code.code(),
            reply_text: self.reply_text(),
            class_id: self.method.unwrap_or_default().0,
            method_id: self.method.unwrap_or_default().1,
        }
    }

    pub(crate) fn connection_close(&self) -> connection::Close {
        connection::Close {
            reply_code: self.code.code(),
            reply_text: self.reply_text(),
            class_id: self.method.unwrap_or_default().0,
            method_id: self.method.unwrap_or_default().1,
        }
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text.is_empty() {
            true => f.write_str(self.code.text()),
            false => write!(f, "{} - {}", self.code.text(), self.text),
        }
    }
}

impl From<Unassembled> for Exception {
    fn from(error: Unassembled) -> Exception {
        Exception::new(error.reply_code(), error.to_string())
    }
}

impl From<firth_amqp_codec::Error> for Exception {
    fn from(error: firth_amqp_codec::Error) -> Exception {
        Exception::new(error.reply_code(), error.to_string())
    }
}

impl From<Denied> for Exception {
    fn from(denied: Denied) -> Exception {
        Exception::new(ReplyCode::AccessRefused, denied.to_string())
    }
}

impl From<StateError> for Exception {
    fn from(error: StateError) -> Exception {
        let code = match error {
            // As RabbitMQ calls what is there again later.
            StateError::Full => ReplyCode::ResourceError,
            StateError::TooLarge { .. } => ReplyCode::PreconditionFailed,
            StateError::Failed => ReplyCode::InternalError,
        };
        Exception::new(code, error.to_string())
    }
}

/// What the handlers do not know better than to say so.
impl From<TopologyError> for Exception {
    fn from(error: TopologyError) -> Exception {
        use ReplyCode::{AccessRefused, InternalError, NotFound, PreconditionFailed, ResourceError};
        let (code, text) = match &error {
            TopologyError::State(error) => return error.clone().into(),
            TopologyError::UnknownExchange {
                exchange,
                virtual_host,
            } => (
                NotFound,
                format!("no exchange '{exchange}' in vhost '{virtual_host}'"),
            ),
            TopologyError::UnknownQueue { queue, virtual_host } => {
                (NotFound, format!("no queue '{queue}' in vhost '{virtual_host}'"))
            }
            TopologyError::UnknownVirtualHost(name) => (NotFound, format!("vhost '{name}' not found")),
            TopologyError::UnknownTopic(_) => (NotFound, error.to_string()),
            TopologyError::DefaultExchange => (
                AccessRefused,
                "operation not permitted on the default exchange".to_owned(),
            ),
            TopologyError::PredeclaredExchange(_) => (AccessRefused, error.to_string()),
            TopologyError::WeightNotInteger(key) => (
                PreconditionFailed,
                format!("The binding key must be an integer: {}", Quoted(key.as_bytes())),
            ),
            TopologyError::WeightNotPositive(_) => (
                PreconditionFailed,
                "The binding key must be greater than 0".to_owned(),
            ),
            TopologyError::ExchangeInUse(_)
            | TopologyError::QueueNotDeleted { .. }
            | TopologyError::TooManyQueues { .. }
            | TopologyError::TooManyConnections { .. }
            | TopologyError::TooLong { .. }
            | TopologyError::StreamName { .. }
            | TopologyError::StreamNotDurable
            | TopologyError::StreamTopic { .. } => (PreconditionFailed, error.to_string()),
            TopologyError::Topic(firth_broker::DefineError::Full) => (ResourceError, error.to_string()),
            TopologyError::Topic(_) => (InternalError, error.to_string()),
        };
        Exception::new(code, text)
    }
}

/// Bytes as RabbitMQ prints them in its texts: `<<"text">>`, or `<<1,2>>` where they are none.
pub(crate) struct Quoted<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_text = !self.0.is_empty() && self.0.iter().all(|byte| (b' '..=b'~').contains(byte));
        f.write_str("<<")?;
        if is_text {
            f.write_char('"')?;
            for byte in self.0 {
                if matches!(byte, b'"' | b'\\') {
                    f.write_char('\\')?;
                }
                f.write_char(char::from(*byte))?;
            }
            f.write_char('"')?;
        } else {
            for (index, byte) in self.0.iter().enumerate() {
                let comma = if index > 0 { "," } else { "" };
                write!(f, "{comma}{byte}")?;
            }
        }
        f.write_str(">>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_where_they_are_too_long() {
        let text = "q".repeat(300);
        let close = Exception::new(ReplyCode::NotFound, text).channel_close();
        let text = close.reply_text.to_str().unwrap();
        assert_eq!(text.len(), 255);
        assert!(text.starts_with("NOT_FOUND - qqq") && text.ends_with("q..."));
    }

    #[test]
    fn bytes_are_printed_as_in_erlang() {
        assert_eq!(Quoted(b"a\"b").to_string(), r#"<<"a\"b">>"#);
        assert_eq!(Quoted(b"\x01\xff").to_string(), "<<1,255>>");
        assert_eq!(Quoted(b"").to_string(), "<<>>");
    }
}

use crate::reply_code::ReplyCode;

/// Why bytes could not be read, or a value not be written.
///
/// `field` is the innermost field that was being read, as `class.method.field`; it is empty where the failure lies
/// in the frame itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The frame ends inside a field. The frame was whole, so more bytes will not help.
    #[error("{field}: the frame ends {missing} bytes too early")]
    Incomplete { field: &'static str, missing: usize },

    /// Bytes follow the last field.
    #[error("{field}: {bytes} bytes follow the last field")]
    Trailing { field: &'static str, bytes: usize },

    /// A value that the protocol does not allow here.
    #[error("{field}: {what} is {value}")]
    Malformed {
        field: &'static str,
        what: &'static str,
        value: u64,
    },

    /// A short string that has to be text and is none.
    #[error("{field}: malformed UTF-8")]
    NotText { field: &'static str },

    /// A frame of a type that there is not, or one that does not end with the frame-end octet.
    #[error("frame: {what} is {value}")]
    Frame { what: &'static str, value: u8 },

    /// A frame longer than what was agreed. Both are sizes of payloads.
    #[error("a frame of {size} bytes is over the {max} that were agreed")]
    FrameTooLarge { size: usize, max: usize },

    /// No class has such a method.
    #[error("there is no method {method_id} of class {class_id}")]
    UnknownMethod { class_id: u16, method_id: u16 },

    /// A value to be written is longer than its length can say.
    #[error("{what}: {length} bytes are over {max}")]
    TooLong {
        what: &'static str,
        length: usize,
        max: usize,
    },
}

impl Error {
    pub(crate) fn incomplete(missing: usize) -> Error {
        Error::Incomplete { field: "", missing }
    }

    pub(crate) fn malformed(what: &'static str, value: u64) -> Error {
        Error::Malformed {
            field: "",
            what,
            value,
        }
    }

    /// Names the field, unless a field inside it is already named.
    #[cold]
    pub(crate) fn at(mut self, name: &'static str) -> Error {
        match &mut self {
            Error::Incomplete { field, .. }
            | Error::Trailing { field, .. }
            | Error::Malformed { field, .. }
            | Error::NotText { field } => {
                if field.is_empty() {
                    *field = name;
                }
            }
            Error::Frame { .. }
            | Error::FrameTooLarge { .. }
            | Error::UnknownMethod { .. }
            | Error::TooLong { .. } => {}
        }
        self
    }

    /// The code with which the connection ends because of this.
    pub fn reply_code(&self) -> ReplyCode {
        match self {
            Error::Frame { .. }
            | Error::FrameTooLarge { .. }
            | Error::Incomplete { .. }
            | Error::Trailing { .. }
            | Error::NotText { .. } => ReplyCode::FrameError,
            Error::UnknownMethod { .. } => ReplyCode::NotImplemented,
            Error::Malformed { .. } | Error::TooLong { .. } => ReplyCode::SyntaxError,
        }
    }
}

use crate::api::ApiKey;

/// Why bytes could not be read as a message, or a message not be written as bytes.
///
/// `field` is the innermost field that was being read, as `Message.field`; it is empty where the failure lies
/// in the frame itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The frame ends inside a field. The frame was whole, so more bytes will not help: the message is malformed.
    #[error("{field}: the frame ends {missing} bytes too early")]
    Incomplete { field: &'static str, missing: usize },

    /// A value that the protocol does not allow here.
    #[error("{field}: {what} is {value}")]
    Malformed {
        field: &'static str,
        what: &'static str,
        value: i64,
    },

    /// No API with this key is served.
    #[error("API key {api_key} (version {api_version}) is not served")]
    UnsupportedApi {
        api_key: i16,
        api_version: i16,
        correlation_id: i32,
    },

    /// The API is served, but not in this version.
    #[error("{api_key:?} version {api_version} is not served")]
    UnsupportedVersion {
        api_key: ApiKey,
        api_version: i16,
        correlation_id: i32,
    },

    /// A field of a message to be written is longer than its length prefix can say.
    #[error("{field}: {length} does not fit its length prefix")]
    TooLong { field: &'static str, length: usize },

    /// A field of a message to be written is null in a version that has no null for it.
    #[error("{field}: null in a version that has no null here")]
    Null { field: &'static str },
}

impl Error {
    pub(crate) fn incomplete(missing: usize) -> Error {
        Error::Incomplete { field: "", missing }
    }

    pub(crate) fn malformed(what: &'static str, value: i64) -> Error {
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
            | Error::Malformed { field, .. }
            | Error::TooLong { field, .. }
            | Error::Null { field } => {
                if field.is_empty() {
                    *field = name;
                }
            }
            Error::UnsupportedApi { .. } | Error::UnsupportedVersion { .. } => {}
        }
        self
    }
}

use std::io;

use firth_kafka_codec::{self as codec, ApiKey};
use firth_log::Failed;

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Closed {
    #[error("the client closed it")]
    ByClient,
    #[error("the broker is stopping")]
    Stopping,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the client closed it inside of a frame, of which {received} bytes arrived")]
    Truncated { received: usize },
    /// The bytes cannot be answered, because their sender could not read the answer.
    #[error("bad frame: {0}")]
    Frame(#[source] codec::Error),
    #[error("bad {} request, version {version}: {error}", .api_key.name())]
    Request {
        api_key: ApiKey,
        version: i16,
        error: codec::Error,
    },
    /// A producer that wants no answer learns of an error in no other way.
    #[error("Produce without acknowledgement was refused: {reason}")]
    Unacknowledged { reason: String },
    #[error("{0}")]
    NotDurable(#[source] Failed),
    #[error("nothing moved for {seconds} s while {what}")]
    Stalled { what: &'static str, seconds: u64 },
    #[error("the answer to {} version {version} cannot be written: {error}", .api_key.name())]
    Unwritable {
        api_key: ApiKey,
        version: i16,
        error: codec::Error,
    },
}

impl Closed {
    /// Whether this is how connections end every day.
    pub(crate) fn is_usual(&self) -> bool {
        match self {
            Closed::ByClient | Closed::Stopping => true,
            Closed::Io(error) => matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted
            ),
            Closed::Truncated { .. }
            | Closed::Frame(_)
            | Closed::Request { .. }
            | Closed::Unacknowledged { .. }
            | Closed::NotDurable(_)
            | Closed::Stalled { .. }
            | Closed::Unwritable { .. } => false,
        }
    }
}

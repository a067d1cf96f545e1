use std::io;

use firth_amqp_codec as codec;
use firth_log::Failed;

use crate::exception::Exception;

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Closed {
    #[error("the client closed it")]
    ByClient,
    /// Without connection.close, as many clients do when they end.
    #[error("the client went away")]
    Gone,
    #[error("the broker is stopping")]
    Stopping,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it does not speak AMQP 0-9-1: it began with {0:02x?}")]
    OtherProtocol([u8; 8]),
    #[error("bad frame: {0}")]
    Frame(#[from] codec::Error),
    #[error("{0}")]
    Exception(Exception),
    /// Before the login a client is not told what it did wrong.
    #[error("during the handshake: {0}")]
    Handshake(String),
    #[error("it took over {seconds} s to log in")]
    HandshakeTimeout { seconds: u64 },
    #[error("{0}")]
    NotDurable(#[from] Failed),
    #[error("no sign of life in {seconds} s")]
    HeartbeatTimeout { seconds: u64 },
    #[error("nothing moved for {seconds} s while {what}")]
    Stalled { what: &'static str, seconds: u64 },
}

impl Closed {
    /// Whether this is how connections end every day.
    pub(crate) fn is_usual(&self) -> bool {
        match self {
            Closed::ByClient | Closed::Gone | Closed::Stopping => true,
            Closed::Io(error) => matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted
            ),
            Closed::OtherProtocol(_)
            | Closed::Frame(_)
            | Closed::Exception(_)
            | Closed::Handshake(_)
            | Closed::HandshakeTimeout { .. }
            | Closed::NotDurable(_)
            | Closed::HeartbeatTimeout { .. }
            | Closed::Stalled { .. } => false,
        }
    }
}

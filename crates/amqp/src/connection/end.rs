use std::future::poll_fn;
use std::time::Duration;

use firth_amqp_codec::{FrameKind, Method, ReplyCode, Taken, connection, decode_method, take_frame};
use firth_broker::connections::Stream;
use tokio::time::timeout;

use super::io::Io;
use crate::closed::Closed;
use crate::exception::Exception;
use crate::session::Session;

/// How long a client may take to answer connection.close, and to close the socket.
const CLOSING_MAX: Duration = Duration::from_secs(30);
/// How long the socket stays open after the last frame, so that the client receives it.
const LINGER_MAX: Duration = Duration::from_secs(3);

/// Why a session ends.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The client asked for it.
    Asked,
    Stopping,
    VirtualHostDeleted,
    UserDeleted,
    Exception(Exception),
    /// What follows cannot be made out any more.
    BadFrame(Exception),
    /// There is nobody to tell.
    Closed(Closed),
}

impl Ending {
    /// As what a handler may fail with.
    pub(crate) fn into_exception(self) -> Exception {
        match self {
            Ending::Exception(exception) | Ending::BadFrame(exception) => exception,
            Ending::Asked
            | Ending::Stopping
            | Ending::VirtualHostDeleted
            | Ending::UserDeleted
            | Ending::Closed(_) => Exception::new(ReplyCode::InternalError, "the storage has failed"),
        }
    }
}

impl From<Closed> for Ending {
    fn from(closed: Closed) -> Ending {
        Ending::Closed(closed)
    }
}

impl From<Exception> for Ending {
    fn from(exception: Exception) -> Ending {
        Ending::Exception(exception)
    }
}

/// Ends a session and its connection. What the client is told is true by then: what it had exclusively is gone, and what it
/// published before is stored.
pub(super) async fn end<S: Stream>(
    mut io: Io<S>,
    mut session: Session,
    ending: Ending,
    heartbeat_s: u16,
) -> Closed {
    if let Err(closed) = session.end(&mut io.outgoing).await {
        return closed;
    }
    let forced = |text: &str| Exception::new(ReplyCode::ConnectionForced, text);
    let (exception, can_go_on, closed) = match ending {
        Ending::Closed(closed) => return closed,
        Ending::Asked => {
            io.method(0, &connection::CloseOk {});
            let _ = timeout(CLOSING_MAX, finish(&mut io)).await;
            return Closed::ByClient;
        }
        Ending::Stopping => {
            let text = "broker forced connection closure with reason 'shutdown'";
            (forced(text), true, Closed::Stopping)
        }
        Ending::VirtualHostDeleted => {
            let exception = forced(&format!("vhost '{}' is deleted", session.virtual_host_name()));
            (exception.clone(), true, Closed::Exception(exception))
        }
        Ending::UserDeleted => {
            let user = session.access.principal().name();
            let exception = forced(&format!("user '{user}' is deleted"));
            (exception.clone(), true, Closed::Exception(exception))
        }
        Ending::Exception(exception) => (exception.clone(), true, Closed::Exception(exception)),
        Ending::BadFrame(exception) => (exception.clone(), false, Closed::Exception(exception)),
    };
    let patience = match heartbeat_s {
        0 => CLOSING_MAX,
        seconds => CLOSING_MAX.min(Duration::from_secs(seconds.into())),
    };
    // Whether it answers or not, the connection is over.
    let _ = timeout(patience, close(&mut io, &exception, can_go_on)).await;
    closed
}

/// Tells the client why the connection is closed, and waits until it has said that it knows.
pub(super) async fn close<S: Stream>(
    io: &mut Io<S>,
    exception: &Exception,
    can_go_on: bool,
) -> Result<(), Closed> {
    io.method(0, &exception.connection_close());
    poll_fn(|cx| io.poll_flush(cx)).await?;
    if !can_go_on {
        return finish(io).await;
    }
    loop {
        let mut frames = io.input.take_frames(io.frame_max)?;
        while let Taken::Whole(frame) = take_frame(&mut frames, io.frame_max)? {
            if (frame.channel, frame.kind) != (0, FrameKind::Method) {
                continue;
            }
            match decode_method(&frame.payload) {
                Ok(Method::Connection(connection::Method::CloseOk(_))) => return finish(io).await,
                Ok(Method::Connection(connection::Method::Close(_))) => {
                    io.method(0, &connection::CloseOk {});
                    return finish(io).await;
                }
                _ => {}
            }
        }
        if io.is_ended() {
            return Ok(());
        }
        poll_fn(|cx| io.poll_read(cx, 0)).await?;
    }
}

/// Writes what is left, and lets the client read it before the socket is gone.
async fn finish<S: Stream>(io: &mut Io<S>) -> Result<(), Closed> {
    poll_fn(|cx| io.poll_flush(cx)).await?;
    poll_fn(|cx| io.poll_shutdown(cx)).await?;
    let _ = timeout(LINGER_MAX, poll_fn(|cx| io.poll_discard(cx))).await;
    Ok(())
}

//! From the protocol header to connection.open-ok (section 2.2.4):
//!
//! ```text
//! client                    server
//! protocol header
//!                           start (what the server is, mechanisms)
//! start-ok (mechanism, response)
//!                           tune (what is offered)
//! tune-ok (what is taken)
//! open (virtual host)
//!                           open-ok
//! ```
//!
//! Before the login a client that does something else is not told so, and has to wait until it is closed.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use firth_amqp_codec::{
    Error, FRAME_MAX_MIN, FieldTable, FieldValue, Frame, FrameKind, LongStr, Method, PROTOCOL_HEADER,
    ProtocolHeader, ReplyCode, Table, TableWriter, Taken, connection, decode_method, frame_size,
    read_protocol_header, take_frame,
};
use firth_broker::authorizer::{Access, Operation};
use firth_broker::connections::Stream;
use firth_broker::users::{Principal, Refused};
use firth_broker::{TopologyError, VirtualHostConnection};

use super::end;
use super::io::Io;
use super::unexpected_frame;
use crate::closed::Closed;
use crate::exception::{Exception, fail};
use crate::server::Client;

/// How long a client that did wrong before its login has to wait until the connection ends, as in RabbitMQ.
const SILENT_CLOSE: Duration = Duration::from_secs(3);
const MECHANISMS: &str = "PLAIN AMQPLAIN";

/// What the client says that it understands, beyond the specification.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Capabilities {
    /// It wants to know when a consumer ends without its doing.
    pub(crate) consumer_cancel_notify: bool,
    /// It wants to be told that the login failed.
    authentication_failure_close: bool,
}

/// A connection that is open.
pub(crate) struct Opened {
    pub(crate) access: Access,
    pub(crate) link: VirtualHostConnection,
    pub(crate) capabilities: Capabilities,
    pub(crate) channel_max: u16,
    pub(crate) frame_max: u32,
    pub(crate) heartbeat_s: u16,
}

/// Why a connection is not opened.
enum Refusal {
    /// The client is not told.
    Silent(String),
    /// It is told, as it has logged in or wants to know.
    Told(Exception),
    /// A frame that may not come. The client is not told.
    Frame(Frame),
    Closed(Closed),
}

impl From<Closed> for Refusal {
    fn from(closed: Closed) -> Refusal {
        Refusal::Closed(closed)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal::Silent(error.to_string())
    }
}

pub(super) async fn run<S: Stream>(io: &mut Io<S>, client: &Client) -> Result<Opened, Closed> {
    match open(io, client).await {
        Ok(opened) => Ok(opened),
        Err(Refusal::Closed(closed)) => Err(closed),
        Err(Refusal::Frame(frame)) => {
            tokio::time::sleep(SILENT_CLOSE).await;
            Err(Closed::Exception(unexpected_frame(&frame)))
        }
        Err(Refusal::Silent(reason)) => {
            tokio::time::sleep(SILENT_CLOSE).await;
            Err(Closed::Handshake(reason))
        }
        Err(Refusal::Told(exception)) => {
            end::close(io, &exception, true).await?;
            Err(Closed::Exception(exception))
        }
    }
}

async fn open<S: Stream>(io: &mut Io<S>, client: &Client) -> Result<Opened, Refusal> {
    protocol_header(io).await?;
    io.method(0, &start());
    let start_ok = match next_method(io).await? {
        Method::Connection(connection::Method::StartOk(start_ok)) => start_ok,
        other => return Err(unexpected(&other, "starting")),
    };
    let capabilities = capabilities(&start_ok.client_properties);
    let principal = login(client, &start_ok, capabilities).await?;

    let config = &client.server.config;
    io.method(
        0,
        &connection::Tune {
            channel_max: config.channel_max,
            frame_max: config.frame_max,
            heartbeat: config.heartbeat_s,
        },
    );
    let tune_ok = match next_method(io).await? {
        Method::Connection(connection::Method::TuneOk(tune_ok)) => tune_ok,
        other => return Err(unexpected(&other, "tuning")),
    };
    check_tuning(client, &tune_ok).map_err(Refusal::Told)?;
    io.frame_max = tune_ok.frame_max;

    let method = match next_method(io).await {
        // It has logged in, so it is told what it does wrong.
        Err(Refusal::Frame(frame)) => return Err(Refusal::Told(unexpected_frame(&frame))),
        method => method?,
    };
    let Method::Connection(connection::Method::Open(open)) = &method else {
        let text = "unexpected method in connection state opening";
        return Err(Refusal::Told(
            Exception::new(ReplyCode::ChannelError, text).of(&method),
        ));
    };
    let (link, access) = enter(client, &principal, open).map_err(|error| Refusal::Told(error.of(&method)))?;
    link.virtual_host().commit().await.map_err(Closed::from)?;
    io.method(0, &connection::OpenOk {});
    Ok(Opened {
        access,
        link,
        capabilities,
        channel_max: tune_ok.channel_max,
        frame_max: tune_ok.frame_max,
        heartbeat_s: tune_ok.heartbeat,
    })
}

async fn protocol_header<S: Stream>(io: &mut Io<S>) -> Result<(), Closed> {
    loop {
        match read_protocol_header(io.input.received()) {
            ProtocolHeader::Served => {
                io.input.take(PROTOCOL_HEADER.len());
                return Ok(());
            }
            ProtocolHeader::Other(header) => {
                io.outgoing.buf().extend_from_slice(&PROTOCOL_HEADER);
                poll_fn(|cx| io.poll_flush(cx)).await?;
                poll_fn(|cx| io.poll_shutdown(cx)).await?;
                return Err(Closed::OtherProtocol(header));
            }
            ProtocolHeader::Incomplete { .. } => read(io).await?,
        }
    }
}

/// Writes what there is to write, and reads.
async fn read<S: Stream>(io: &mut Io<S>) -> Result<(), Closed> {
    if io.is_ended() {
        return Err(Closed::Gone);
    }
    poll_fn(|cx| {
        if let std::task::Poll::Ready(Err(closed)) = io.poll_flush(cx) {
            return std::task::Poll::Ready(Err(closed));
        }
        io.poll_read(cx, 0)
    })
    .await
}

async fn next_method<S: Stream>(io: &mut Io<S>) -> Result<Method, Refusal> {
    loop {
        match next_frame(io).await? {
            Frame {
                kind: FrameKind::Heartbeat,
                channel: 0,
                ..
            } => {}
            Frame {
                kind: FrameKind::Method,
                channel: 0,
                payload,
            } => return Ok(decode_method(&payload)?),
            frame => return Err(Refusal::Frame(frame)),
        }
    }
}

/// One frame, as the size that frames may have changes from one to the next.
async fn next_frame<S: Stream>(io: &mut Io<S>) -> Result<Frame, Refusal> {
    loop {
        let received = io.input.received();
        if let Some(size) = frame_size(received, io.frame_max)?.filter(|size| *size <= received.len()) {
            let mut bytes = io.input.take(size);
            if let Taken::Whole(frame) = take_frame(&mut bytes, io.frame_max)? {
                return Ok(frame);
            }
        }
        read(io).await?;
    }
}

fn unexpected(method: &Method, state: &str) -> Refusal {
    Refusal::Silent(format!(
        "unexpected {} in connection state {state}",
        method.name()
    ))
}

fn start() -> connection::Start {
    let properties = FieldTable::build(server_properties).unwrap_or_default();
    connection::Start {
        version_major: 0,
        version_minor: 9,
        server_properties: properties,
        mechanisms: LongStr::try_from(MECHANISMS).unwrap_or_default(),
        locales: LongStr::try_from("en_US").unwrap_or_default(),
    }
}

fn server_properties(properties: &mut TableWriter<'_>) {
    properties.put_table("capabilities", |capabilities| {
        let served = [
            "publisher_confirms",
            "exchange_exchange_bindings",
            "basic.nack",
            "consumer_cancel_notify",
            "connection.blocked",
            "consumer_priorities",
            "authentication_failure_close",
            "per_consumer_qos",
            "direct_reply_to",
        ];
        for capability in served {
            capabilities.put(capability, FieldValue::Bool(true));
        }
    });
    properties
        .put_str("cluster_name", "firth")
        .put_str("information", "https://github.com/firth-mq/firth")
        .put_str("platform", "Rust")
        .put_str("product", "Firth")
        .put_str("version", env!("CARGO_PKG_VERSION"));
}

fn capabilities(client_properties: &FieldTable) -> Capabilities {
    let Some(FieldValue::Table(told)) = client_properties.get("capabilities") else {
        return Capabilities::default();
    };
    let has = |name: &str| told.get(name).and_then(|value| value.as_bool()) == Some(true);
    Capabilities {
        consumer_cancel_notify: has("consumer_cancel_notify"),
        authentication_failure_close: has("authentication_failure_close"),
    }
}

async fn login(
    client: &Client,
    start_ok: &connection::StartOk,
    capabilities: Capabilities,
) -> Result<Principal, Refusal> {
    let mechanism = start_ok.mechanism.to_string();
    let response = start_ok.response.as_bytes();
    let (name, password) = match mechanism.as_str() {
        "PLAIN" => plain(response),
        "AMQPLAIN" => amqplain(response),
        _ => {
            return Err(Refusal::Silent(format!(
                "unknown authentication mechanism '{mechanism}'"
            )));
        }
    }
    .ok_or_else(|| Refusal::Silent(format!("the response to {mechanism} is invalid")))?;
    // A name that is no text is nobody's.
    let name = String::from_utf8_lossy(&name);
    let users = client.server.broker.users();
    let refused = match users.authenticate(&name, &password, client.origin).await {
        Ok(principal) => return Ok(principal),
        Err(Refused::Failed) => return Err(Refusal::Silent("the storage has failed".to_owned())),
        Err(refused) => refused,
    };
    let reason = format!("{mechanism} login refused: user '{name}': {refused}");
    tracing::warn!(peer = %client.peer, "{reason}");
    if !capabilities.authentication_failure_close {
        return Err(Refusal::Silent(reason));
    }
    let text = format!(
        "Login was refused using authentication mechanism {mechanism}. For details see the broker logfile."
    );
    Err(Refusal::Told(Exception::new(ReplyCode::AccessRefused, text)))
}

type NameAndPassword = (Bytes, Bytes);

/// `NUL name NUL password`, where RFC 4616 may have another name in front, which RabbitMQ does not take.
fn plain(response: &Bytes) -> Option<NameAndPassword> {
    let rest = response.strip_prefix(&[0])?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    let (name, password) = rest.split_at_checked(end)?;
    let password = password.strip_prefix(&[0])?;
    if password.contains(&0) {
        return None;
    }
    Some((response.slice_ref(name), response.slice_ref(password)))
}

/// A field table without the length in front, with LOGIN and PASSWORD in it.
fn amqplain(response: &Bytes) -> Option<NameAndPassword> {
    let table = Table::read(response).ok()?;
    let text = |name: &str| match table.get(name) {
        Some(FieldValue::LongStr(bytes) | FieldValue::Bytes(bytes)) => Some(response.slice_ref(bytes)),
        _ => None,
    };
    Some((text("LOGIN")?, text("PASSWORD")?))
}

fn check_tuning(client: &Client, tune_ok: &connection::TuneOk) -> Result<(), Exception> {
    let config = &client.server.config;
    let frame_max = ("frame_max", FRAME_MAX_MIN, config.frame_max, tune_ok.frame_max);
    let channel_max = (
        "channel_max",
        1,
        config.channel_max.into(),
        tune_ok.channel_max.into(),
    );
    for (field, min, max, chosen) in [frame_max, channel_max] {
        let detail = if field == "channel_max" && chosen == 0 {
            " (no limit)"
        } else {
            ""
        };
        if chosen != 0 && chosen < min {
            fail!(
                NotAllowed,
                "negotiated {field} = {chosen}{detail} is lower than the minimum allowed value ({min})"
            );
        }
        if max != 0 && (chosen == 0 || chosen > max) {
            fail!(
                NotAllowed,
                "negotiated {field} = {chosen}{detail} is higher than the maximum allowed value ({max})"
            );
        }
    }
    Ok(())
}

fn enter(
    client: &Client,
    principal: &Principal,
    open: &connection::Open,
) -> Result<(VirtualHostConnection, Access), Exception> {
    let broker = &client.server.broker;
    let (name, user) = (open.virtual_host.to_string(), principal.name());
    let Some(virtual_host) = broker.topology().virtual_host(&name) else {
        fail!(NotAllowed, "vhost {name} not found");
    };
    let mut access = broker.users().authorizer().access(principal, &name);
    if let Err(denied) = access.authorize(&Operation::Open) {
        fail!(NotAllowed, "{denied}");
    }
    let link = virtual_host.connect().map_err(|error| match error {
        TopologyError::TooManyConnections { max, .. } => Exception::new(
            ReplyCode::NotAllowed,
            format!(
                "access to vhost '{name}' refused for user '{user}': connection limit ({max}) is reached"
            ),
        ),
        _ => Exception::new(ReplyCode::NotAllowed, format!("vhost {name} not found")),
    })?;
    Ok((link, access))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_is_what_rabbitmq_takes_for_it() {
        let read = |response: &'static [u8]| plain(&Bytes::from_static(response));
        let (name, password) = read(b"\0guest\0secret").unwrap();
        assert_eq!((&name[..], &password[..]), (&b"guest"[..], &b"secret"[..]));
        assert!(read(b"\0guest\0").unwrap().1.is_empty());
        for wrong in [
            &b""[..],
            b"guest\0secret",
            b"\0guest",
            b"other\0guest\0secret",
            b"\0a\0b\0c",
        ] {
            assert!(read(wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn amqplain_is_a_table() {
        let table = FieldTable::build(|table| {
            table.put_str("LOGIN", "guest").put_str("PASSWORD", "secret");
        });
        let (name, password) = amqplain(table.unwrap().as_bytes()).unwrap();
        assert_eq!((&name[..], &password[..]), (&b"guest"[..], &b"secret"[..]));
        assert!(amqplain(&Bytes::from_static(b"\x05LOGINV")).is_none());
        assert!(amqplain(&Bytes::from_static(b"\x05LOG")).is_none());
    }

    #[test]
    fn what_the_server_says_of_itself_fits_the_first_frame() {
        let mut buf = bytes::BytesMut::new();
        firth_amqp_codec::write_method(&mut buf, 0, &start());
        assert!(buf.len() < usize::try_from(FRAME_MAX_MIN).unwrap());
    }
}

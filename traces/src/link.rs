//! One connection: a socket, a thread that reads it, and the handshake that a script need not tell.

use std::collections::HashSet;
use std::io::{BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::frame::{self, Assembly, Frame};
use crate::method::Call;
use crate::text::Line;

/// A frame, or why none could be read, and the connection that it came from.
pub(crate) type Arrival = (String, Result<Frame>);

const WRITE_PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Link {
    /// Its name in the script, and a number that no other has.
    pub id: String,
    socket: TcpStream,
    pub assembly: Assembly,
    pub options: Options,
    /// Agreed on, or what a frame may have before that.
    pub frame_max: usize,
    pub open_channels: HashSet<u16>,
    pub phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The script speaks for itself.
    Told,
    /// The player answers what the server asks.
    Opening,
    Open,
    /// One side has said that it closes, so that the end is no news.
    Closing,
    Ended,
}

/// How a connection is made where the script does not tell it.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    user: String,
    password: String,
    vhost: String,
    mechanism: String,
    /// What is asked for of what the server offers; nothing takes the offer.
    frame_max: Option<u64>,
    channel_max: Option<u64>,
    heartbeat: u64,
    client_properties: String,
}

impl Options {
    pub(crate) fn new(vhost: &str) -> Options {
        Options {
            user: "guest".to_owned(),
            password: "guest".to_owned(),
            vhost: vhost.to_owned(),
            mechanism: "PLAIN".to_owned(),
            frame_max: None,
            channel_max: None,
            heartbeat: 0,
            client_properties: "{capabilities: {publisher_confirms: true, exchange_exchange_bindings: true, \
                                basic.nack: true, consumer_cancel_notify: true, connection.blocked: true, \
                                authentication_failure_close: true}}"
                .to_owned(),
        }
    }

    pub(crate) fn read(&mut self, text: &str) -> Result<()> {
        let mut line = Line::new(text);
        while !line.is_empty() {
            if line.skip("client-properties=") {
                line.rest().clone_into(&mut self.client_properties);
                return Ok(());
            }
            let word = line.word();
            let (name, value) = word.split_once('=').context("an option is name=value")?;
            match name {
                "user" => value.clone_into(&mut self.user),
                "password" => value.clone_into(&mut self.password),
                "vhost" => value.clone_into(&mut self.vhost),
                "mechanism" => value.clone_into(&mut self.mechanism),
                "frame-max" => self.frame_max = Some(value.parse()?),
                "channel-max" => self.channel_max = Some(value.parse()?),
                "heartbeat" => self.heartbeat = value.parse()?,
                _ => anyhow::bail!("there is no option `{name}`"),
            }
        }
        Ok(())
    }

    fn start_ok(&self) -> String {
        let response = match self.mechanism.as_str() {
            "PLAIN" => format!("\\x00{}\\x00{}", self.user, self.password),
            _ => String::new(),
        };
        format!(
            "connection.start-ok mechanism={} response=\"{response}\" locale=en_US client-properties={}",
            self.mechanism, self.client_properties
        )
    }
}

impl Link {
    pub(crate) fn connect(
        id: &str,
        address: &str,
        options: Options,
        arrivals: Sender<Arrival>,
    ) -> Result<Link> {
        let socket = TcpStream::connect(address).with_context(|| format!("no broker is at {address}"))?;
        socket.set_nodelay(true)?;
        socket.set_write_timeout(Some(WRITE_PATIENCE))?;
        let mut reader = BufReader::new(socket.try_clone()?);
        let name = id.to_owned();
        thread::spawn(move || {
            loop {
                let frame = Frame::read(&mut reader);
                let last = matches!(frame, Ok(Frame::End) | Err(_));
                // Nobody listens any more when the scenario is over.
                if arrivals.send((name.clone(), frame)).is_err() || last {
                    return;
                }
            }
        });
        Ok(Link {
            id: id.to_owned(),
            socket,
            assembly: Assembly::default(),
            options,
            frame_max: 131_072,
            open_channels: HashSet::new(),
            phase: Phase::Told,
        })
    }

    /// A server may have closed while this is written; then its reader says so.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let _ = self.socket.write_all(bytes);
    }

    pub(crate) fn send(&mut self, channel: u16, text: &str) -> Result<()> {
        let call = Call::parse(&mut Line::new(text))?;
        let mut out = Vec::new();
        frame::put(frame::METHOD, channel, &call.encode()?, &mut out)?;
        self.write(&out);
        Ok(())
    }

    pub(crate) fn begin(&mut self) {
        self.phase = Phase::Opening;
        self.write(b"AMQP\x00\x00\x09\x01");
    }

    /// Answers a step of the handshake. What it has no answer to is for the trace.
    pub(crate) fn answer(&mut self, call: &Call) -> Result<bool> {
        match call.method.name {
            "connection.start" => self.send(0, &self.options.start_ok())?,
            "connection.tune" => {
                let channel_max = self.options.channel_max.unwrap_or(call.number("channel-max"));
                let frame_max = self.options.frame_max.unwrap_or(call.number("frame-max"));
                let heartbeat = self.options.heartbeat;
                self.agree(frame_max);
                self.send(
                    0,
                    &format!(
                        "connection.tune-ok channel-max={channel_max} frame-max={frame_max} heartbeat={heartbeat}"
                    ),
                )?;
                self.send(0, &format!("connection.open virtual-host={}", self.options.vhost))?;
            }
            "connection.open-ok" => self.phase = Phase::Open,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Takes what a tune-ok says.
    pub(crate) fn agree(&mut self, frame_max: u64) {
        self.frame_max = match usize::try_from(frame_max) {
            Ok(0) | Err(_) => usize::MAX >> 1,
            Ok(bytes) => bytes.max(4096),
        };
    }

    pub(crate) fn drop_socket(&mut self) {
        self.phase = Phase::Closing;
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

//! One connection of AMQP with one channel: the handshake, calls one at a time, and then its two halves.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::BytesMut;
use firth_amqp_codec::{
    Assembler, Command, FrameKind, Method, PROTOCOL_HEADER, Taken, basic, channel, connection, frame_size,
    take_frame,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

pub(super) const CHANNEL: u16 = 1;
const CONNECT_MAX: Duration = Duration::from_secs(10);
const ANSWER_MAX: Duration = Duration::from_secs(30);
const READ_BYTES: usize = 64 * 1024;

/// Where, and as whom.
#[derive(clap::Args)]
pub(super) struct Server {
    /// Where AMQP is spoken
    #[arg(long, value_name = "HOST:PORT", default_value = "localhost:5672")]
    server: String,
    /// The user
    #[arg(long, value_name = "NAME", default_value = "guest")]
    user: String,
    /// The user's password
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "guest",
        env = "FIRTH_AMQP_PASSWORD",
        hide_env_values = true
    )]
    password: String,
    /// The virtual host
    #[arg(long, value_name = "NAME", default_value = "/")]
    vhost: String,
}

/// What has come, in frames.
pub(super) struct Frames {
    received: BytesMut,
    pub(super) frame_max: u32,
    assembler: Assembler,
}

pub(super) struct Link {
    stream: TcpStream,
    frames: Frames,
    unsent: BytesMut,
}

/// The half of a link that reads.
pub(super) struct Reading {
    stream: OwnedReadHalf,
    frames: Frames,
}

impl Link {
    /// A connection with an open channel.
    pub(super) async fn open(server: &Server) -> Result<Link> {
        let address = &server.server;
        let connecting = timeout(CONNECT_MAX, TcpStream::connect(address)).await;
        let stream = connecting
            .with_context(|| format!("cannot connect to {address} within {} s", CONNECT_MAX.as_secs()))?
            .with_context(|| format!("cannot connect to {address}: is AMQP spoken there?"))?;
        stream.set_nodelay(true)?;
        let mut link = Link {
            stream,
            frames: Frames {
                received: BytesMut::new(),
                frame_max: 0,
                assembler: Assembler::default(),
            },
            unsent: BytesMut::from(&PROTOCOL_HEADER[..]),
        };
        link.handshake(server)
            .await
            .with_context(|| format!("{address} lets nobody in"))?;
        link.call(channel::Open::default()).await?;
        Ok(link)
    }

    async fn handshake(&mut self, server: &Server) -> Result<()> {
        let Method::Connection(connection::Method::Start(_)) = self.exchange().await? else {
            bail!("no connection was started");
        };
        let start_ok = connection::StartOk {
            mechanism: "PLAIN".try_into()?,
            response: format!("\0{}\0{}", server.user, server.password)
                .as_str()
                .try_into()?,
            locale: "en_US".try_into()?,
            client_properties: capabilities()?,
        };
        Method::from(start_ok).write(&mut self.unsent, 0);
        let Method::Connection(connection::Method::Tune(tune)) = self.exchange().await? else {
            bail!("the connection was not tuned");
        };
        self.frames.frame_max = tune.frame_max;
        let tune_ok = connection::TuneOk {
            channel_max: tune.channel_max,
            frame_max: tune.frame_max,
            // A bench is never silent for long, and ends with what it measures.
            heartbeat: 0,
        };
        Method::from(tune_ok).write(&mut self.unsent, 0);
        let virtual_host = server.vhost.as_str().try_into()?;
        Method::from(connection::Open { virtual_host }).write(&mut self.unsent, 0);
        let Method::Connection(connection::Method::OpenOk(_)) = self.exchange().await? else {
            bail!("the connection was not opened");
        };
        Ok(())
    }

    /// Sends a method and waits for its answer.
    pub(super) async fn call(&mut self, method: impl Into<Method>) -> Result<Method> {
        method.into().write(&mut self.unsent, CHANNEL);
        self.exchange().await
    }

    async fn exchange(&mut self) -> Result<Method> {
        self.stream.write_all_buf(&mut self.unsent).await?;
        let answer = async {
            loop {
                if let Some(command) = self.frames.take()? {
                    return Ok(command.method);
                }
                read(self.stream.read_buf(&mut self.frames.received).await)?;
            }
        };
        let answered = timeout(ANSWER_MAX, answer).await;
        answered.with_context(|| format!("no answer came within {} s", ANSWER_MAX.as_secs()))?
    }

    pub(super) fn into_halves(self) -> (Reading, OwnedWriteHalf) {
        let frames = self.frames;
        let (stream, write) = self.stream.into_split();
        (Reading { stream, frames }, write)
    }
}

/// Without this one a server only hangs up where a password is wrong.
fn capabilities() -> Result<firth_amqp_codec::FieldTable> {
    Ok(firth_amqp_codec::FieldTable::build(|table| {
        table.put_table("capabilities", |table| {
            table.put(
                "authentication_failure_close",
                firth_amqp_codec::FieldValue::Bool(true),
            );
        });
    })?)
}

fn read(outcome: std::io::Result<usize>) -> Result<()> {
    match outcome.context("the connection is gone")? {
        0 => bail!("the server closed the connection"),
        _ => Ok(()),
    }
}

impl Reading {
    pub(super) fn frame_max(&self) -> u32 {
        self.frames.frame_max
    }

    /// What is there already.
    pub(super) fn received(&mut self) -> Result<Option<Command>> {
        self.frames.take()
    }

    /// The next that comes. Nothing is lost where this is not waited for to its end.
    pub(super) async fn next(&mut self) -> Result<Command> {
        loop {
            if let Some(command) = self.frames.take()? {
                return Ok(command);
            }
            self.frames.received.reserve(READ_BYTES);
            read(self.stream.read_buf(&mut self.frames.received).await)?;
        }
    }
}

impl Frames {
    fn take(&mut self) -> Result<Option<Command>> {
        loop {
            let Some(size) = frame_size(&self.received, self.frame_max)? else {
                return Ok(None);
            };
            if self.received.len() < size {
                return Ok(None);
            }
            let mut bytes = self.received.split_to(size).freeze();
            let Taken::Whole(frame) = take_frame(&mut bytes, self.frame_max)? else {
                bail!("a frame of {size} bytes is not whole");
            };
            if frame.kind == FrameKind::Heartbeat {
                continue;
            }
            // Nothing on channel 0 has a content, so one assembler does for both.
            let Some(command) = self.assembler.accept(&frame)? else {
                continue;
            };
            match &command.method {
                Method::Connection(connection::Method::Close(close)) => bail!("{}", close.reply_text),
                Method::Channel(channel::Method::Close(close)) => bail!("{}", close.reply_text),
                Method::Basic(basic::Method::Cancel(_)) => bail!("the queue is gone"),
                Method::Connection(connection::Method::Blocked(blocked)) => {
                    eprintln!("the server takes no messages: {}", blocked.reason);
                }
                Method::Connection(connection::Method::Unblocked(_)) => {
                    eprintln!("the server takes messages again");
                }
                _ => return Ok(Some(command)),
            }
        }
    }
}

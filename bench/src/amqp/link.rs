//! One AMQP connection with one channel: the handshake and calls that wait, and then frames without waiting.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use bytes::BytesMut;
use firth_amqp_codec::{
    Assembler, Command, Method, PROTOCOL_HEADER, Taken, basic, channel, confirm, connection, frame_size,
    take_frame,
};
use rustix::event::PollFlags;

/// The only channel of a connection.
pub(super) const CHANNEL: u16 = 1;
const RECEIVE_BYTES: usize = 256 << 10;
/// How much is read before something else gets its turn.
const RECEIVES_AT_ONCE: usize = 8;
/// A broker that declares 10,000 queues or deletes a million messages takes its time.
const ANSWER_MAX: Duration = Duration::from_secs(120);

#[derive(Debug, Clone)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) vhost: String,
}

impl Login {
    /// Who is there from the start.
    pub(crate) fn guest() -> Self {
        let guest = || "guest".to_owned();
        Self {
            user: guest(),
            password: guest(),
            vhost: "/".to_owned(),
        }
    }
}

pub(super) struct Link {
    pub(super) stream: TcpStream,
    pub(super) frame_max: u32,
    chunk: Vec<u8>,
    received: BytesMut,
    assembler: Assembler,
    /// Written when there is room.
    pub(super) unsent: BytesMut,
}

impl Link {
    /// A connection with an open channel.
    pub(super) fn open(server: SocketAddr, login: &Login) -> Result<Self> {
        let stream = TcpStream::connect(server).with_context(|| format!("cannot connect to {server}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        let mut link = Self {
            stream,
            frame_max: 0,
            chunk: vec![0; RECEIVE_BYTES],
            received: BytesMut::new(),
            assembler: Assembler::default(),
            unsent: BytesMut::from(&PROTOCOL_HEADER[..]),
        };
        link.handshake(login)?;
        link.call(channel::Open::default())?;
        Ok(link)
    }

    fn handshake(&mut self, login: &Login) -> Result<()> {
        self.write_all()?;
        let Method::Connection(connection::Method::Start(_)) = self.answer()? else {
            bail!("the server does not start a connection");
        };
        let start_ok = connection::StartOk {
            mechanism: "PLAIN".try_into()?,
            response: format!("\0{}\0{}", login.user, login.password)
                .as_str()
                .try_into()?,
            locale: "en_US".try_into()?,
            ..connection::StartOk::default()
        };
        self.queue_on(0, start_ok);
        self.write_all()?;
        let Method::Connection(connection::Method::Tune(tune)) = self.answer()? else {
            bail!("the server does not tune the connection");
        };
        self.frame_max = tune.frame_max;
        let (channel_max, frame_max) = (tune.channel_max, tune.frame_max);
        // A driver measures the server, not its patience.
        let heartbeat = 0;
        self.queue_on(
            0,
            connection::TuneOk {
                channel_max,
                frame_max,
                heartbeat,
            },
        );
        let virtual_host = login.vhost.as_str().try_into()?;
        self.queue_on(0, connection::Open { virtual_host });
        self.write_all()?;
        let Method::Connection(connection::Method::OpenOk(_)) = self.answer()? else {
            bail!("the server does not open the connection");
        };
        Ok(())
    }

    /// Puts a method behind what is to be sent.
    pub(super) fn queue(&mut self, method: impl Into<Method>) {
        self.queue_on(CHANNEL, method);
    }

    fn queue_on(&mut self, channel: u16, method: impl Into<Method>) {
        method.into().write(&mut self.unsent, channel);
    }

    /// Sends a method and waits for what answers it.
    pub(super) fn call(&mut self, method: impl Into<Method>) -> Result<Method> {
        self.queue(method);
        self.write_all()?;
        self.answer()
    }

    /// Sends all of them before it waits for their answers.
    pub(super) fn calls(&mut self, methods: impl Iterator<Item = Method>) -> Result<()> {
        let mut count = 0;
        for method in methods {
            self.queue(method);
            count += 1;
        }
        self.write_all()?;
        (0..count).try_for_each(|_| self.answer().map(drop))
    }

    pub(super) fn select_confirms(&mut self) -> Result<()> {
        self.call(confirm::Select::default()).map(drop)
    }

    fn write_all(&mut self) -> Result<()> {
        self.stream.write_all(&self.unsent)?;
        self.unsent.clear();
        Ok(())
    }

    fn answer(&mut self) -> Result<Method> {
        loop {
            if let Some(command) = self.next_command()? {
                return Ok(command.method);
            }
            match self.stream.read(&mut self.chunk)? {
                0 => bail!("the server closed the connection"),
                read => self.received.extend_from_slice(&self.chunk[..read]),
            }
        }
    }

    pub(super) fn set_nonblocking(&self) -> Result<()> {
        Ok(self.stream.set_nonblocking(true)?)
    }

    pub(super) fn interest(&self) -> PollFlags {
        match self.unsent.is_empty() {
            true => PollFlags::IN,
            false => PollFlags::IN | PollFlags::OUT,
        }
    }

    /// Sends as much as the socket has room for.
    pub(super) fn flush(&mut self) -> Result<()> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(0) => bail!("the server takes no more bytes"),
                Ok(written) => drop(self.unsent.split_to(written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    pub(super) fn receive(&mut self) -> Result<()> {
        for _ in 0..RECEIVES_AT_ONCE {
            match self.stream.read(&mut self.chunk) {
                Ok(0) => bail!("the server closed the connection"),
                Ok(read) => {
                    self.received.extend_from_slice(&self.chunk[..read]);
                    if read < self.chunk.len() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The next whole method with its content, of those that have come.
    pub(super) fn next_command(&mut self) -> Result<Option<Command>> {
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
            if frame.kind == firth_amqp_codec::FrameKind::Heartbeat {
                continue;
            }
            // Nothing on channel 0 has a content, so its methods need no assembler of their own.
            ensure!(frame.channel <= CHANNEL, "a frame on channel {}", frame.channel);
            let Some(command) = self.assembler.accept(&frame)? else {
                continue;
            };
            match &command.method {
                Method::Connection(connection::Method::Close(close)) => {
                    bail!(
                        "the server closes the connection: {} {}",
                        close.reply_code,
                        close.reply_text
                    )
                }
                Method::Channel(channel::Method::Close(close)) => {
                    bail!(
                        "the server closes the channel: {} {}",
                        close.reply_code,
                        close.reply_text
                    )
                }
                Method::Basic(basic::Method::Cancel(cancel)) => {
                    bail!("the server cancels consumer {}", cancel.consumer_tag)
                }
                Method::Connection(connection::Method::Blocked(blocked)) => {
                    eprintln!("the server blocks publishers: {}", blocked.reason);
                }
                Method::Connection(connection::Method::Unblocked(_)) => {
                    eprintln!("the server lets publishers go on");
                }
                _ => return Ok(Some(command)),
            }
        }
    }

    /// Ends the connection, so that its consumers and what they have not acknowledged are gone from the server.
    pub(super) fn close(mut self) -> Result<()> {
        self.stream.set_nonblocking(false)?;
        let close = connection::Close {
            reply_code: 200,
            ..connection::Close::default()
        };
        self.queue_on(0, close);
        self.write_all()?;
        loop {
            // Deliveries may still be under way.
            if let Method::Connection(connection::Method::CloseOk(_)) = self.answer()? {
                return Ok(());
            }
        }
    }
}

//! Frames, and how those of one channel become events.
//!
//! ```text
//! frame: type (1) | channel (2) | size (4) | payload (size) | 0xce
//! ```

use std::collections::HashMap;
use std::io::{self, Read};

use anyhow::{Result, bail};

use crate::content::Content;
use crate::method::Call;

pub(crate) const METHOD: u8 = 1;
pub(crate) const HEADER: u8 = 2;
pub(crate) const BODY: u8 = 3;
pub(crate) const HEARTBEAT: u8 = 8;
/// What a frame has around its payload.
pub(crate) const OVERHEAD: usize = 8;
const FRAME_END: u8 = 0xce;

/// What a server sent, or that it will send nothing more.
#[derive(Debug)]
pub(crate) enum Frame {
    Payload {
        kind: u8,
        channel: u16,
        payload: Vec<u8>,
    },
    /// What a server answers a protocol header with that it does not speak.
    ProtocolHeader([u8; 4]),
    End,
}

#[derive(Debug)]
pub(crate) enum Event {
    Call(Call, Option<Content>),
    Heartbeat,
    ProtocolHeader([u8; 4]),
    End,
}

impl Frame {
    pub(crate) fn read(source: &mut impl Read) -> Result<Frame> {
        let mut head = [0; 7];
        if let Err(error) = source.read_exact(&mut head) {
            return match error.kind() {
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                    Ok(Frame::End)
                }
                _ => Err(error.into()),
            };
        }
        let [kind, c0, c1, s0, s1, s2, s3] = head;
        if head.starts_with(b"AMQP") {
            let mut last = [0];
            source.read_exact(&mut last)?;
            return Ok(Frame::ProtocolHeader([s1, s2, s3, last[0]]));
        }
        let size = u32::from_be_bytes([s0, s1, s2, s3]);
        let mut payload = vec![0; usize::try_from(size)?];
        source.read_exact(&mut payload)?;
        let mut end = [0];
        source.read_exact(&mut end)?;
        if end != [FRAME_END] {
            bail!("a frame of {size} bytes ends with {end:x?}");
        }
        let channel = u16::from_be_bytes([c0, c1]);
        Ok(Frame::Payload {
            kind,
            channel,
            payload,
        })
    }
}

pub(crate) fn put(kind: u8, channel: u16, payload: &[u8], out: &mut Vec<u8>) -> Result<()> {
    out.push(kind);
    out.extend_from_slice(&channel.to_be_bytes());
    out.extend_from_slice(&u32::try_from(payload.len())?.to_be_bytes());
    out.extend_from_slice(payload);
    out.push(FRAME_END);
    Ok(())
}

/// The frames of a message, its body cut to the size of a frame.
pub(crate) fn put_message(
    call: &Call,
    content: &Content,
    channel: u16,
    frame_max: usize,
    out: &mut Vec<u8>,
) -> Result<()> {
    put(METHOD, channel, &call.encode()?, out)?;
    let size = u64::try_from(content.body.len())?;
    put(HEADER, channel, &content.header(call.method.class, size)?, out)?;
    for part in content.body.chunks(frame_max - OVERHEAD) {
        put(BODY, channel, part, out)?;
    }
    Ok(())
}

/// The message of which a channel has not got all frames.
struct Partial {
    call: Call,
    content: Option<(Content, u64)>,
}

/// Puts the frames of a connection together.
#[derive(Default)]
pub(crate) struct Assembly {
    partial: HashMap<u16, Partial>,
}

impl Assembly {
    /// The event that `frame` completes, with its channel. A frame where none may be is an error, whatever a trace says.
    pub(crate) fn push(&mut self, frame: Frame, frame_max: usize) -> Result<Option<(u16, Event)>> {
        let (kind, channel, payload) = match frame {
            Frame::End => return Ok(Some((0, Event::End))),
            Frame::ProtocolHeader(version) => return Ok(Some((0, Event::ProtocolHeader(version)))),
            Frame::Payload {
                kind,
                channel,
                payload,
            } => (kind, channel, payload),
        };
        if payload.len() + OVERHEAD > frame_max {
            bail!(
                "a frame of {} bytes is above the limit of {frame_max}",
                payload.len() + OVERHEAD
            );
        }
        let partial = self.partial.remove(&channel);
        match (kind, partial) {
            (HEARTBEAT, None) => Ok(Some((channel, Event::Heartbeat))),
            (METHOD, None) => {
                let call = Call::decode(&payload)?;
                if !call.method.content {
                    return Ok(Some((channel, Event::Call(call, None))));
                }
                self.partial.insert(channel, Partial { call, content: None });
                Ok(None)
            }
            (HEADER, Some(Partial { call, content: None })) => {
                Ok(self.hold(channel, call, Content::decode(&payload)?))
            }
            (
                BODY,
                Some(Partial {
                    call,
                    content: Some((mut content, size)),
                }),
            ) => {
                content.body.extend_from_slice(&payload);
                if u64::try_from(content.body.len())? > size {
                    bail!("a body is longer than the {size} bytes of its header");
                }
                Ok(self.hold(channel, call, (content, size)))
            }
            (kind, _) => bail!("a frame of type {kind} is where none may be"),
        }
    }

    fn hold(&mut self, channel: u16, call: Call, (content, size): (Content, u64)) -> Option<(u16, Event)> {
        if content.body.len() as u64 == size {
            return Some((channel, Event::Call(call, Some(content))));
        }
        let content = Some((content, size));
        self.partial.insert(channel, Partial { call, content });
        None
    }
}

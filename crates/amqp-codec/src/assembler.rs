use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

use crate::content::ContentHeader;
use crate::error::Error;
use crate::frame::{Frame, FrameKind};
use crate::method::{Method, decode_method};
use crate::reply_code::ReplyCode;

/// What one channel was sent: a method, with its content if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    pub method: Method,
    pub content: Option<Content>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Content {
    /// Flags and list, not looked into.
    pub properties: Bytes,
    pub body: Body,
}

/// The pieces of a body, one for each frame that it came in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Body {
    pieces: SmallVec<[Bytes; 1]>,
    length: usize,
}

/// Puts the frames of one channel together (section 4.2.6).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assembler {
    state: State,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum State {
    #[default]
    Method,
    Header(Method),
    Body {
        method: Method,
        content: Content,
        missing: u64,
    },
}

/// Why a frame does not go on where the one before it ended. The texts are RabbitMQ's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unassembled {
    #[error("expected method frame, got non method frame instead")]
    NoMethod,
    #[error("expected content header for class {expected}, got non content header frame instead")]
    NoHeader { expected: u16 },
    #[error("expected content header for class {expected}, got one for class {class_id} instead")]
    HeaderOf { expected: u16, class_id: u16 },
    #[error("expected content body, got non content body frame instead")]
    NoBody,
    #[error("content body frame exceeds remaining content size")]
    BodyTooLong,
    #[error(transparent)]
    Malformed(#[from] Error),
}

impl Unassembled {
    /// The code with which the connection ends because of this.
    pub fn reply_code(&self) -> ReplyCode {
        match self {
            Unassembled::NoMethod
            | Unassembled::NoHeader { .. }
            | Unassembled::HeaderOf { .. }
            | Unassembled::NoBody => ReplyCode::UnexpectedFrame,
            Unassembled::BodyTooLong => ReplyCode::FrameError,
            Unassembled::Malformed(error) => error.reply_code(),
        }
    }
}

impl Assembler {
    /// Takes the next frame of the channel, and gives what is complete with it. After an error the connection has to end.
    ///
    /// # Errors
    /// The frame is not one that may follow, or it cannot be read.
    pub fn accept(&mut self, frame: &Frame) -> Result<Option<Command>, Unassembled> {
        match std::mem::take(&mut self.state) {
            State::Method => self.method(frame),
            State::Header(method) => self.header(method, frame),
            State::Body {
                method,
                content,
                missing,
            } => self.body(method, content, missing, frame),
        }
    }

    /// The method of which the content is awaited.
    pub fn awaiting(&self) -> Option<&Method> {
        match &self.state {
            State::Method => None,
            State::Header(method) | State::Body { method, .. } => Some(method),
        }
    }

    /// How many bytes of a body the header promised that are not here yet.
    pub fn missing(&self) -> u64 {
        match self.state {
            State::Method | State::Header(_) => 0,
            State::Body { missing, .. } => missing,
        }
    }

    /// The content that is not complete.
    pub fn partial(&self) -> Option<&Content> {
        match &self.state {
            State::Method | State::Header(_) => None,
            State::Body { content, .. } => Some(content),
        }
    }

    fn method(&mut self, frame: &Frame) -> Result<Option<Command>, Unassembled> {
        if frame.kind != FrameKind::Method {
            return Err(Unassembled::NoMethod);
        }
        let method = decode_method(&frame.payload)?;
        if method.has_content() {
            self.state = State::Header(method);
            return Ok(None);
        }
        Ok(Some(Command {
            method,
            content: None,
        }))
    }

    fn header(&mut self, method: Method, frame: &Frame) -> Result<Option<Command>, Unassembled> {
        let expected = method.class_id();
        if frame.kind != FrameKind::Header {
            return Err(Unassembled::NoHeader { expected });
        }
        let header = ContentHeader::decode(&frame.payload)?;
        if header.weight != 0 {
            return Err(Unassembled::NoHeader { expected });
        }
        if header.class_id != expected {
            let class_id = header.class_id;
            return Err(Unassembled::HeaderOf { expected, class_id });
        }
        let content = Content {
            properties: header.properties,
            body: Body::default(),
        };
        Ok(self.go_on(method, content, header.body_size))
    }

    fn body(
        &mut self,
        method: Method,
        mut content: Content,
        missing: u64,
        frame: &Frame,
    ) -> Result<Option<Command>, Unassembled> {
        if frame.kind != FrameKind::Body {
            return Err(Unassembled::NoBody);
        }
        let length = u64::try_from(frame.payload.len()).unwrap_or(u64::MAX);
        let missing = missing.checked_sub(length).ok_or(Unassembled::BodyTooLong)?;
        content.body.push(frame.payload.clone());
        Ok(self.go_on(method, content, missing))
    }

    fn go_on(&mut self, method: Method, content: Content, missing: u64) -> Option<Command> {
        if missing == 0 {
            return Some(Command {
                method,
                content: Some(content),
            });
        }
        self.state = State::Body {
            method,
            content,
            missing,
        };
        None
    }
}

impl Body {
    pub fn len(&self) -> usize {
        self.length
    }

    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// The body as one slice. It is copied only if it came in several frames.
    pub fn into_bytes(mut self) -> Bytes {
        if self.pieces.len() <= 1 {
            return self.pieces.pop().unwrap_or_default();
        }
        let mut whole = BytesMut::with_capacity(self.length);
        for piece in &self.pieces {
            whole.extend_from_slice(piece);
        }
        whole.freeze()
    }

    /// A frame without a byte is no piece, so that a body has no more of them than bytes.
    fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.length = self.length.saturating_add(piece.len());
            self.pieces.push(piece);
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Body {
        let mut body = Body::default();
        body.push(bytes);
        body
    }
}

#[cfg(test)]
mod tests;

//! What is published: a body that says when, by whom and as which it was sent, so that who gets it can check it.
//!
//! ```text
//! | sent at, ns u64 | publisher u32 | number u64 | filling |
//! ```

use anyhow::{Context, Result, ensure};
use bytes::BytesMut;
use firth_amqp_codec::{BasicProperties, FRAME_OVERHEAD, basic, write_content};

use super::link::CHANNEL;

/// What a body is at least.
pub(crate) const STAMP_BYTES: usize = 20;
const PERSISTENT: u8 = 2;
const TRANSIENT: u8 = 1;

/// The frames of a message, written once and stamped each time.
#[derive(Debug, Clone)]
pub(super) struct Template {
    bytes: BytesMut,
    stamp_at: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) sent_ns: u64,
    pub(super) publisher: u32,
    /// From 0, for each publisher and queue, or for each publisher where all queues get all.
    pub(super) number: u64,
}

impl Template {
    pub(super) fn new(
        exchange: &str,
        routing_key: &str,
        body_bytes: usize,
        persistent: bool,
        frame_max: u32,
    ) -> Result<Self> {
        ensure!(
            body_bytes >= STAMP_BYTES,
            "a message has at least {STAMP_BYTES} bytes"
        );
        let one_frame = frame_max == 0 || body_bytes + FRAME_OVERHEAD <= frame_max as usize;
        ensure!(one_frame, "a message is to fit in a frame of {frame_max} bytes");
        let properties = BasicProperties {
            delivery_mode: Some(if persistent { PERSISTENT } else { TRANSIENT }),
            ..BasicProperties::default()
        };
        let mut list = BytesMut::new();
        properties.write(&mut list)?;
        let publish = basic::Publish {
            exchange: exchange.try_into()?,
            routing_key: routing_key.try_into()?,
            ..basic::Publish::default()
        };
        // Not all alike, as no compression is to be measured.
        let body: Vec<u8> = (0..body_bytes)
            .map(|at| (at.wrapping_mul(31) % 251) as u8)
            .collect();
        let mut bytes = BytesMut::new();
        write_content(&mut bytes, CHANNEL, frame_max, &publish, &list, &body);
        let stamp_at = bytes.len() - 1 - body_bytes;
        Ok(Self { bytes, stamp_at })
    }

    /// Puts the message behind what is to be sent.
    pub(super) fn write(&mut self, stamp: &Stamp, unsent: &mut BytesMut) {
        let place = &mut self.bytes[self.stamp_at..self.stamp_at + STAMP_BYTES];
        place[..8].copy_from_slice(&stamp.sent_ns.to_be_bytes());
        place[8..12].copy_from_slice(&stamp.publisher.to_be_bytes());
        place[12..].copy_from_slice(&stamp.number.to_be_bytes());
        unsent.extend_from_slice(&self.bytes);
    }
}

impl Stamp {
    pub(super) fn read(body: &[u8]) -> Result<Self> {
        let (sent_ns, rest) = body.split_first_chunk().context("a body without a stamp")?;
        let (publisher, rest) = rest.split_first_chunk().context("a body without a publisher")?;
        let (number, _) = rest.split_first_chunk().context("a body without a number")?;
        Ok(Self {
            sent_ns: u64::from_be_bytes(*sent_ns),
            publisher: u32::from_be_bytes(*publisher),
            number: u64::from_be_bytes(*number),
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use firth_amqp_codec::{Assembler, Taken, take_frame};

    use super::*;

    #[test]
    fn a_stamp_is_found_in_the_body_of_what_was_written() {
        let mut template = Template::new("", "q", 100, true, 4096).unwrap();
        let stamp = Stamp {
            sent_ns: 5,
            publisher: 6,
            number: 7,
        };
        let mut unsent = BytesMut::new();
        template.write(&stamp, &mut unsent);
        let (mut received, mut assembler, mut commands): (Bytes, _, _) =
            (unsent.freeze(), Assembler::default(), Vec::new());
        while let Taken::Whole(frame) = take_frame(&mut received, 4096).unwrap() {
            commands.extend(assembler.accept(&frame).unwrap());
        }
        let body = commands.remove(0).content.unwrap().body.into_bytes();
        assert_eq!((body.len(), Stamp::read(&body).unwrap()), (100, stamp));
        assert!(commands.is_empty() && received.is_empty());
    }

    #[test]
    fn a_message_is_as_small_as_its_stamp_and_as_large_as_a_frame() {
        assert!(Template::new("", "q", STAMP_BYTES - 1, true, 0).is_err());
        assert!(Template::new("", "q", 4089, true, 4096).is_err());
        assert!(Template::new("", "q", 4088, true, 4096).is_ok());
    }
}

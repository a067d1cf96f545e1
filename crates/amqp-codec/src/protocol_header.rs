//! What a client sends first (section 2.2.4), and a server instead of an answer when it does not speak that version:
//!
//! ```text
//! | 'A' 'M' 'Q' 'P' | 0 | major 0 | minor 9 | revision 1 |
//! ```

/// Of version 0-9-1.
pub const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\0\0\x09\x01";

/// What 0-9 clients send. The versions differ in nothing that matters here, so RabbitMQ serves them alike.
const PROTOCOL_HEADER_0_9: [u8; 8] = *b"AMQP\x01\x01\0\x09";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProtocolHeader {
    /// So far it may be one; this many bytes more are needed to tell.
    Incomplete { needed: usize },
    /// 0-9-1, or 0-9, which is served as if it were.
    Served,
    /// Another version, or no AMQP at all: the answer is [`PROTOCOL_HEADER`] and the end of the connection.
    Other([u8; 8]),
}

/// What the first eight bytes say. Nothing is decided before they are there, as RabbitMQ has it.
pub fn read_protocol_header(received: &[u8]) -> ProtocolHeader {
    match received.first_chunk::<8>() {
        None => ProtocolHeader::Incomplete {
            needed: PROTOCOL_HEADER.len().saturating_sub(received.len()),
        },
        Some(header) if *header == PROTOCOL_HEADER || *header == PROTOCOL_HEADER_0_9 => {
            ProtocolHeader::Served
        }
        Some(header) => ProtocolHeader::Other(*header),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bytes_decide() {
        assert_eq!(
            read_protocol_header(b""),
            ProtocolHeader::Incomplete { needed: 8 }
        );
        assert_eq!(
            read_protocol_header(b"GET /"),
            ProtocolHeader::Incomplete { needed: 3 }
        );
        assert_eq!(
            read_protocol_header(b"AMQP\0\0\x09\x01rest"),
            ProtocolHeader::Served
        );
        assert_eq!(
            read_protocol_header(b"AMQP\x01\x01\0\x09"),
            ProtocolHeader::Served
        );
        let version_1_0 = *b"AMQP\0\x01\0\0";
        assert_eq!(
            read_protocol_header(&version_1_0),
            ProtocolHeader::Other(version_1_0)
        );
    }
}

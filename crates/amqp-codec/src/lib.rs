//! Bytes to typed AMQP 0-9-1 frames, methods and contents, and back.
//!
//! Invariants:
//! - Sans-IO: no socket, no clock, no runtime, no logging. Bytes in, frames out.
//! - A length is believed only when that many bytes are there, so what is allocated is bounded by what was received.
//! - Decoding never panics. It ends in a value or in an [`Error`], which names the reply code that answers it.
//! - Nothing recurses deeper than [`TABLE_DEPTH_MAX`], whatever the bytes say.
//! - Payloads are not copied: names, tables, properties and bodies are slices of the bytes they came in, and tables and
//!   properties are looked into only when they are asked for. A table is checked, without allocating, when it is read.
//! - Both directions: whoever writes a client finds here what a server needs, and the other way round.
//!
//! Absent: what a method means, in which state of a connection or a channel it may come, and who limits its size.
//!
//! A class is one file in `classes/`, as the table of its methods; `method.rs` is the table of the classes. The path of
//! what was received:
//!
//! ```text
//! read_protocol_header -> take_frame -> Assembler (decode_method, ContentHeader) -> Command
//! ```

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

#[cfg(test)]
mod arbitrary;
mod assembler;
mod class;
mod classes;
mod content;
mod error;
mod field_table;
mod frame;
mod method;
#[cfg(test)]
mod oracle_tests;
mod primitives;
mod protocol_header;
mod reply_code;
#[cfg(test)]
mod robustness_tests;

pub use self::assembler::{Assembler, Body, Command, Content, Unassembled};
pub use self::class::ClassMethod;
pub use self::classes::*;
pub use self::content::{BasicProperties, ContentHeader, write_body, write_content, write_content_start};
pub use self::error::Error;
pub use self::field_table::{
    Array, ArrayWriter, FieldTable, FieldValue, Fields, TABLE_DEPTH_MAX, Table, TableWriter, Values,
};
pub use self::frame::{
    FRAME_END, FRAME_MAX_MIN, FRAME_MAX_UNTUNED, FRAME_OVERHEAD, Frame, FrameKind, Taken, frame_size,
    take_frame, write_frame_start, write_heartbeat,
};
pub use self::method::{Method, decode_method, write_method};
pub use self::primitives::{Field, LONG_STR_BYTES_MAX, LongStr, Reader, ShortStr, Writer};
pub use self::protocol_header::{PROTOCOL_HEADER, ProtocolHeader, read_protocol_header};
pub use self::reply_code::ReplyCode;

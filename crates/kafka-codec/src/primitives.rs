//! The primitive types of the protocol: readers and writers that know the two encodings of a length.
//!
//! ```text
//!                  flexible versions            older versions
//! string           uvarint(n + 1), 0 = null     i16 n, -1 = null
//! bytes, records   uvarint(n + 1), 0 = null     i32 n, -1 = null
//! array            uvarint(n + 1), 0 = null     i32 n, -1 = null
//! tagged fields    uvarint(count), then per field uvarint(tag) uvarint(size) bytes
//! ```
//!
//! Integers are big-endian. Source: KIP-482 and the protocol guide of Apache Kafka, "Protocol Primitive Types".

mod byte_str;
mod float64;
mod reader;
mod records;
mod uuid;
mod wire;
mod writer;

pub use self::byte_str::ByteStr;
pub use self::float64::Float64;
pub use self::reader::{ARRAY_ELEMENTS_MAX, Reader, TAGGED_FIELDS_MAX};
pub use self::records::Records;
pub use self::uuid::Uuid;
pub use self::wire::Wire;
pub use self::writer::Writer;

use crate::Compression;

/// Why bytes are not a batch that can be used. Nothing here is retriable with the same bytes, but for
/// [`Error::Incomplete`] when more of them may arrive.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("incomplete batch: {needed} bytes are needed, {available} are present")]
    Incomplete { needed: usize, available: usize },
    /// `what` names the field and the rule that it breaks; `value` is what was found.
    #[error("malformed batch: {what}: {value}")]
    Malformed { what: &'static str, value: i64 },
    #[error("corrupt batch: the header says CRC-32C {expected:#010x}, its bytes have {found:#010x}")]
    Crc { expected: u32, found: u32 },
    #[error("unsupported message format: magic {0}, only 2 is supported")]
    UnsupportedMagic(i8),
    #[error("unsupported compression code {0}, only 0 to 4 are known")]
    UnsupportedCompression(i16),
    #[error("malformed batch: {codec} data: {reason}")]
    Decompression { codec: Compression, reason: String },
    #[error("the records decompress to more than {limit} bytes")]
    TooLarge { limit: usize },
}

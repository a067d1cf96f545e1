//! The storage engine: append-only logs behind one shared write-ahead log.
//!
//! Invariants:
//! - An append is memory, durability is an event: [`Engine::append`] does no I/O, and its [`Commit`] resolves when the
//!   frame is durable. Readers see what is durable, in the sense of the engine's [`Durability`].
//! - A frame is all or nothing: it lies within one commit block.
//! - An offset is final when it was assigned, ascends within its log, and is never given to another record. A log's id is
//!   never given to another log.
//! - A failed flush is final: nothing after it is acknowledged.
//! - Nothing is repaired by deleting. What was acknowledged and is damaged is quarantined, named, and never served.
//! - All I/O passes the seam in [`file`]; time and randomness come from the [`Environment`].
//!
//! Absent on purpose: topics, partitions and configuration (they are records of the layer above, in
//! [`LogId::DEFINITIONS`]), the contents of records, and protocols.

mod background;
mod block;
#[cfg(test)]
mod block_tests;
mod cache;
mod carried;
pub mod catalog;
mod checkpoint;
mod commit;
mod compaction;
mod core;
mod cut;
mod engine;
mod environment;
pub mod file;
mod frame;
mod freeing;
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod ids;
mod lane;
mod lock;
mod manifest;
mod meta;
mod pacing;
mod producers;
mod quarantine;
mod reading;
mod recovery;
mod rewrite;
mod rewriter;
mod scan;
mod scrub;
mod sealer;
pub mod segment;
mod segments;
mod sequencer;
mod signal;
#[cfg(feature = "simulation")]
pub mod simulation;
mod stats;
mod stored;
mod sync;
mod view;
mod wal;
mod wal_slices;

pub use commit::{Commit, Failed};
pub use compaction::{Compaction, Keep, RewriteError, Rewritten};
pub use cut::Cut;
pub use engine::Engine;
pub use environment::{Direct, Durability, Environment, Options};
pub use frame::{
    Append, AppendError, Appended, Bounds, Change, ExtentUsage, FRAME_BYTES_MAX, Frame, Kind, LogId, Newest,
    Placed, Read, ReadError, Seek,
};
pub use producers::ActiveProducer;
pub use recovery::OpenError;
pub use signal::Signal;
pub use stats::Stats;

//! Crashes and faults: the process is killed, its system calls fail, its replies are lost, and after every
//! recovery a checker reads everything back.
//!
//! Writers tag each record with writer, partition, sequence and checksum, and remember what they sent and what was
//! acknowledged. Violations are: **lost** (acknowledged and not read), **duplicate**, **reorder** (per partition and
//! writer), **phantom** (read and never sent, or refused), **changed** (an offset with other bytes than were read
//! before), **hole**, and a **high watermark** or log start that went back. Nothing may be unknown at the end of an
//! idempotent writer: what was not acknowledged is sent again with the same sequence, and is there exactly once.
//!
//! `FIRTH_SEED` repeats the decisions of a run; the moments are the machine's. `FIRTH_EVERYTHING` tries every call that is
//! sampled otherwise.

pub(crate) mod checker;
pub(crate) mod client;
mod faults;
mod idempotent;
mod kill;
pub(crate) mod load;
mod points;
mod proxy;
pub(crate) mod random;
mod record;
mod strace;
mod writer;

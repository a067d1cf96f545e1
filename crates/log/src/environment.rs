//! What the engine needs from outside: time, randomness, and someone to tell that it cannot go on.

use std::sync::Arc;
use std::time::Duration;

#[derive(Clone)]
pub struct Environment {
    /// The wall clock, in milliseconds since 1970.
    pub wall_ms: Arc<dyn Fn() -> i64 + Send + Sync>,
    pub random: Arc<dyn Fn() -> [u8; 16] + Send + Sync>,
    /// Called once, with the reason, when a flush failed: nothing more is acknowledged, and the process is to exit.
    pub on_failure: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Environment {
    /// A random number.
    pub(crate) fn draw(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = (self.random)();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

/// When an append is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// After it is on disk: it survives the loss of power.
    Disk,
    /// After it was given to the operating system: it survives a crash of the process, not of the machine.
    Os,
}

/// Whether files are written past the page cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direct {
    /// Where the file system supports it.
    Auto,
    Always,
    Never,
}

#[derive(Clone, Debug)]
pub struct Options {
    pub durability: Durability,
    pub direct: Direct,
    /// Bytes of WAL files at most. Absent: the smaller of 1 GiB and an eighth of the file system.
    pub wal_bytes_max: Option<u64>,
    /// Bytes of a WAL file but the first, which has at most 8 MiB so that starting is quick.
    pub wal_file_bytes: u64,
    /// Bytes of batches that are sealed into one segment.
    pub segment_bytes: u64,
    /// So many segments in which logs have short stretches are merged into one. 0 is for an engine that only looks: nothing
    /// is rewritten.
    pub merge_segments: usize,
    /// Bytes of committed blocks that are kept in memory for readers of the tail.
    pub cache_bytes: usize,
    /// A producer that is idle is forgotten after this time, in milliseconds, as
    /// [`Engine::tell_time`](crate::Engine::tell_time) tells it.
    pub producer_expiry_ms: i64,
    /// Bytes that producers leave free on the disk, so that sealing and reclaiming go on when they are refused. Absent:
    /// twice a segment and a WAL file. 0 is for an engine that only looks.
    pub reserve_bytes: Option<u64>,
    /// All segments are verified once in this time. Absent: only what is read is.
    pub scrub_interval: Option<Duration>,
    /// Bytes that are verified in a second at most.
    pub scrub_bytes_per_s: u64,
}

impl Default for Options {
    fn default() -> Options {
        const MIB: u64 = 1024 * 1024;
        Options {
            durability: Durability::Disk,
            direct: Direct::Auto,
            wal_bytes_max: None,
            wal_file_bytes: 64 * MIB,
            segment_bytes: 64 * MIB,
            merge_segments: 8,
            cache_bytes: 192 * MIB as usize,
            producer_expiry_ms: 24 * 60 * 60 * 1000,
            reserve_bytes: None,
            scrub_interval: None,
            scrub_bytes_per_s: 16 * MIB,
        }
    }
}

use std::time::Duration;

/// Two of the largest frames that are accepted fit, and 100 ms of what a fast disk takes: more would only queue
/// in memory what waits for the disk anyway.
pub const MEMORY_BYTES_DEFAULT: usize = 256 * 1024 * 1024;

/// What of the broker can be chosen. The binary documents each setting where it declares it.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whether a client that asks for a topic which does not exist may thereby create it.
    pub auto_create_topics: bool,
    /// Partitions of a topic whose creator names no number.
    pub num_partitions: u32,
    /// The budget of [`Memory`](crate::Memory), in bytes.
    pub memory_bytes: usize,
    /// Time between two looks for what retention may delete.
    pub retention_check_interval: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            auto_create_topics: true,
            num_partitions: 1,
            memory_bytes: MEMORY_BYTES_DEFAULT,
            retention_check_interval: Duration::from_secs(30),
        }
    }
}

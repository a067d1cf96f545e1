use crate::groups::GroupSettings;

/// What of the Kafka listener can be chosen. The binary documents each setting where it declares it.
#[derive(Clone, Debug)]
pub struct Config {
    /// The id under which this broker appears in the cluster that clients see.
    pub node_id: i32,
    /// Host and port that clients are told to connect to. Absent: the address that the client used.
    pub advertise: Option<(String, u16)>,
    /// Open connections at most; the next one waits in the listener's backlog.
    pub connections_max: usize,
    /// Bytes of a request at most.
    pub frame_bytes_max: usize,
    /// Bytes of records in one answer to Fetch at most, but for one batch that is larger.
    pub fetch_bytes_max: usize,
    /// Fetch sessions at most (KIP-227).
    pub fetch_sessions_max: usize,
    /// A connection is closed when its client is to send or read and does neither for so long.
    pub stall_ms_max: u64,
    /// How long connections may take to answer what they have begun when the broker stops.
    pub drain_ms_max: u64,
    pub groups: GroupSettings,
}

impl Default for Config {
    /// The limits that Apache Kafka has by default, where it has them.
    fn default() -> Config {
        Config {
            node_id: 1,
            advertise: None,
            connections_max: 10_000,
            frame_bytes_max: 100 * 1024 * 1024,
            fetch_bytes_max: 55 * 1024 * 1024,
            fetch_sessions_max: 1000,
            stall_ms_max: 30_000,
            drain_ms_max: 5000,
            groups: GroupSettings::default(),
        }
    }
}

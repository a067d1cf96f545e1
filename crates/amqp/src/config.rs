/// What of the AMQP listener can be chosen. The binary documents each setting where it declares it.
#[derive(Clone, Debug)]
pub struct Config {
    /// Open connections at most; the next one waits in the listener's backlog.
    pub connections_max: usize,
    /// Connections at most that have not logged in.
    pub unauthenticated_max: usize,
    /// How long a client may take until it has opened its connection.
    pub handshake_ms_max: u64,
    /// Channels of a connection, as they are offered.
    pub channel_max: u16,
    /// Bytes of a frame, as they are offered.
    pub frame_max: u32,
    /// Seconds between signs of life, as they are offered; 0 for none.
    pub heartbeat_s: u16,
    /// Bytes of a message at most.
    pub message_bytes_max: usize,
    /// A channel is closed when a delivery on it is not acknowledged for so long; 0 for never.
    pub consumer_timeout_ms: u64,
    /// A connection is closed when the rest of a frame does not come for so long.
    pub stall_ms_max: u64,
    /// How long connections may take to end when the broker stops.
    pub drain_ms_max: u64,
}

impl Default for Config {
    /// RabbitMQ's limits, where it has them.
    fn default() -> Config {
        Config {
            connections_max: 10_000,
            unauthenticated_max: 1000,
            handshake_ms_max: 10_000,
            channel_max: 2047,
            frame_max: 131_072,
            heartbeat_s: 60,
            message_bytes_max: 16 * 1024 * 1024,
            consumer_timeout_ms: 30 * 60 * 1000,
            stall_ms_max: 30_000,
            drain_ms_max: 5000,
        }
    }
}

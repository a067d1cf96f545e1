/// What of groups can be chosen, with the names and the defaults of Apache Kafka but for the first.
#[derive(Clone, Debug)]
pub struct GroupSettings {
    /// `group.initial.rebalance.delay.ms`: how long the first member of an empty group waits for others. Each that comes
    /// prolongs it by as much, up to the members' rebalance timeout.
    ///
    /// Apache Kafka has 3000, and 0 in what it ships for trying out. What the delay spares a group are rebalances while its
    /// members start, each of which takes a heartbeat interval; what it costs is that every consumer that is alone waits
    /// for it. Members that are started together arrive within some hundred milliseconds of each other.
    pub initial_rebalance_delay_ms: i32,
    /// `group.min.session.timeout.ms`.
    pub session_timeout_ms_min: i32,
    /// `group.max.session.timeout.ms`.
    pub session_timeout_ms_max: i32,
    /// `group.max.size`: members of a group.
    pub size_max: usize,
    /// `offset.metadata.max.bytes`: as Apache Kafka counts them, which is in UTF-16 units.
    pub offset_metadata_max: usize,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_check_interval_ms: i64,
    /// Bytes that members and offsets of all groups may take in memory.
    pub memory_bytes: usize,
}

impl Default for GroupSettings {
    fn default() -> GroupSettings {
        GroupSettings {
            initial_rebalance_delay_ms: 500,
            session_timeout_ms_min: 6000,
            session_timeout_ms_max: 1_800_000,
            size_max: usize::MAX,
            offset_metadata_max: 4096,
            offsets_retention_ms: 7 * 24 * 60 * 60 * 1000,
            offsets_check_interval_ms: 600_000,
            memory_bytes: 64 * 1024 * 1024,
        }
    }
}

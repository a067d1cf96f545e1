//! Settings of the broker that are about groups.

use firth_kafka_codec::{TYPE_INT, TYPE_LONG};

use super::broker::Row;
use crate::groups::GroupSettings;
use crate::server::Client;

const MINUTE_MS: i64 = 60_000;

macro_rules! rows {
    ($($name:literal $config_type:ident, $value:expr, $documentation:literal;)*) => {
        pub(super) const ROWS: &[Row] = &[$(Row {
            name: $name,
            config_type: $config_type,
            default: Some(|| text($value, &GroupSettings::default())),
            value: |client: &Client| text($value, &client.server.config.groups),
            documentation: $documentation,
        },)*];
    };
}

fn text<T: ToString>(value: fn(&GroupSettings) -> T, settings: &GroupSettings) -> String {
    value(settings).to_string()
}

rows! {
    "group.initial.rebalance.delay.ms" TYPE_INT, |groups| groups.initial_rebalance_delay_ms,
        "Milliseconds for which the first member of an empty group waits for others.";
    "group.min.session.timeout.ms" TYPE_INT, |groups| groups.session_timeout_ms_min,
        "The shortest time after which a member without heartbeats is dead.";
    "group.max.session.timeout.ms" TYPE_INT, |groups| groups.session_timeout_ms_max,
        "The longest time after which a member without heartbeats is dead.";
    "group.max.size" TYPE_INT, |groups| i32::try_from(groups.size_max).unwrap_or(i32::MAX),
        "Members of a group at most.";
    "offset.metadata.max.bytes" TYPE_INT, |groups| groups.offset_metadata_max,
        "Bytes of what a member may note with an offset.";
    "offsets.retention.minutes" TYPE_INT, |groups| groups.offsets_retention_ms.div_euclid(MINUTE_MS),
        "Minutes for which the offsets of a group without members are kept.";
    "offsets.retention.check.interval.ms" TYPE_LONG, |groups| groups.offsets_check_interval_ms,
        "Milliseconds between two looks for offsets that are kept no longer.";
}

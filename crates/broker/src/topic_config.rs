//! The configuration of topics: one row per setting gives its name, type, default, range and documentation.
//!
//! A setting that can be set does something. The exceptions are marked [`Effect::Accepted`]: tools set them when they
//! create topics, and what they ask for holds in another way or has no meaning here; setting one gives a warning.
//! Every other name is refused. Defaults are Kafka's.

mod change;

pub use change::{ConfigChange, ConfigEdit};

use std::fmt;

use firth_batch::{Compression, TimestampType};
use firth_log::FRAME_BYTES_MAX;

const FRAME_BYTES: i64 = FRAME_BYTES_MAX as i64;
/// Bytes of one name or value that is looked at; no value of any setting is longer.
const TEXT_BYTES_MAX: usize = 64;

/// A row of the table.
#[derive(Debug)]
pub struct Setting {
    pub name: &'static str,
    pub default: &'static str,
    pub allowed: Allowed,
    pub effect: Effect,
    pub documentation: &'static str,
    get: fn(&TopicConfig) -> String,
    set: fn(&mut TopicConfig, &str),
}

/// The values that a setting may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// From the first to the second, both included.
    Range(i64, i64),
    Bool,
    OneOf(&'static [&'static str]),
    /// At least one of these, none of them twice, with commas between them.
    ListOf(&'static [&'static str]),
    /// A number from 0 to 1, both included.
    Ratio,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It does what its documentation says.
    Enforced,
    /// It is stored and reported, and does nothing, for this reason.
    Accepted(&'static str),
}

/// Why a configuration was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("unknown topic configuration {0}")]
    Unknown(String),
    #[error("{name} needs a value")]
    Null { name: &'static str },
    #[error("{name}={value} is not supported: it must be {}", allowed_of(.name))]
    Invalid { name: &'static str, value: String },
    #[error("{name} is not a list, so nothing can be added to it or taken from it")]
    NotAList { name: &'static str },
    #[error("min.compaction.lag.ms ({min}) is greater than max.compaction.lag.ms ({max})")]
    CompactionLag { min: i64, max: i64 },
}

/// What becomes of old records. Of two policies the order is kept as it was asked for, and means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CleanupPolicy {
    Delete,
    Compact,
    CompactDelete,
    DeleteCompact,
}

impl CleanupPolicy {
    /// Whether records may be deleted whatever their key is: by `retention.ms` and `retention.bytes`, and on request.
    pub fn deletes(self) -> bool {
        !matches!(self, CleanupPolicy::Compact)
    }

    /// Whether records may be deleted that a later one with the same key replaces.
    pub fn compacts(self) -> bool {
        !matches!(self, CleanupPolicy::Delete)
    }
}

/// A number from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Ratio(f64);

/// It is a number, so it is equal to itself.
impl Eq for Ratio {}

impl Ratio {
    pub fn get(self) -> f64 {
        self.0
    }
}

/// How a topic's batches are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressionType {
    Producer,
    Always(Compression),
}

/// What the setting calls [`Compression::None`].
const UNCOMPRESSED: &str = "uncompressed";

/// What a value must be able to do to stand in the table.
trait Value: Sized {
    /// `text` is allowed by the row.
    fn from_text(text: &str) -> Self;
    fn text(&self) -> String;
}

macro_rules! settings {
    ($(
        $(#[doc = $doc:literal])*
        $name:literal $field:ident: $type:ty = $default:literal, $allowed:expr, $effect:expr;
    )*) => {
        /// The configuration of one topic: for each setting its value, and whether it was set or is the default.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct TopicConfig {
            $($(#[doc = $doc])* pub $field: $type,)*
            /// A bit for each row of [`SETTINGS`].
            set: u32,
        }

        impl Default for TopicConfig {
            fn default() -> TopicConfig {
                TopicConfig { $($field: <$type as Value>::from_text($default),)* set: 0 }
            }
        }

        /// Every setting of a topic.
        pub static SETTINGS: &[Setting] = &[$(Setting {
            name: $name,
            default: $default,
            allowed: $allowed,
            effect: $effect,
            documentation: concat!($($doc),*).trim_ascii(),
            get: |config| config.$field.text(),
            set: |config, text| config.$field = <$type as Value>::from_text(text),
        },)*];
    };
}

use Allowed::{Bool, ListOf, OneOf, Range};
use Effect::{Accepted, Enforced};

const SEGMENTS: Effect = Accepted("segments are shared by all topics, and their size is the broker's choice");
const FLUSHES: Effect = Accepted("the broker's durability decides when records are flushed");
const ONE_REPLICA: Effect = Accepted("one broker stores every record and flushes it before it answers");
const POLICIES: Allowed = ListOf(&["compact", "delete"]);

settings! {
    /// Milliseconds after which records may be deleted; -1 keeps them for ever.
    "retention.ms" retention_ms: i64 = "604800000", Range(-1, i64::MAX), Enforced;
    /// Bytes of a partition above which its oldest records may be deleted; -1 is no limit.
    "retention.bytes" retention_bytes: i64 = "-1", Range(-1, i64::MAX), Enforced;
    /// The largest batch, in bytes as the producer compressed it.
    "max.message.bytes" max_message_bytes: i64 = "1048588", Range(0, FRAME_BYTES), Enforced;
    /// Whether records keep the producer's time or get the time of the append.
    "message.timestamp.type" message_timestamp_type: TimestampType = "CreateTime",
        OneOf(&["CreateTime", "LogAppendTime"]), Enforced;
    /// How many milliseconds before the broker's clock a batch's first timestamp may be, with CreateTime.
    "message.timestamp.before.max.ms" timestamp_before_max_ms: i64 = "9223372036854775807",
        Range(0, i64::MAX), Enforced;
    /// How many milliseconds after the broker's clock a batch's last timestamp may be, with CreateTime.
    "message.timestamp.after.max.ms" timestamp_after_max_ms: i64 = "3600000", Range(0, i64::MAX), Enforced;
    /// How batches are stored: as the producer compressed them, or all with this codec, or all without.
    "compression.type" compression_type: CompressionType = "producer",
        OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), Enforced;
    /// Whether old records are deleted, or of each key the latest one is kept, or both.
    "cleanup.policy" cleanup_policy: CleanupPolicy = "delete", POLICIES, Enforced;
    /// Milliseconds for which a record is not compacted.
    "min.compaction.lag.ms" min_compaction_lag_ms: i64 = "0", Range(0, i64::MAX), Enforced;
    /// Milliseconds after which records are compacted even if min.cleanable.dirty.ratio is not reached.
    "max.compaction.lag.ms" max_compaction_lag_ms: i64 = "9223372036854775807", Range(1, i64::MAX), Enforced;
    /// The part of a partition's bytes that was not compacted yet above which it is compacted.
    "min.cleanable.dirty.ratio" min_cleanable_dirty_ratio: Ratio = "0.5", Allowed::Ratio, Enforced;
    /// Milliseconds for which a compacted topic keeps a record without a value, which deletes its key.
    "delete.retention.ms" delete_retention_ms: i64 = "86400000", Range(0, i64::MAX), Enforced;
    /// Replicas that must have a record before it is acknowledged.
    "min.insync.replicas" min_insync_replicas: i64 = "1", Range(1, i32::MAX as i64), ONE_REPLICA;
    /// Whether a replica that lacks records may become the leader.
    "unclean.leader.election.enable" unclean_leader_election: bool = "false", Bool, ONE_REPLICA;
    /// Bytes of a partition's newest records from which on they may be compacted. Segments are shared by all topics.
    "segment.bytes" segment_bytes: i64 = "1073741824", Range(14, i32::MAX as i64), Enforced;
    /// Milliseconds after which a partition's newest records may be compacted. Segments are shared by all topics.
    "segment.ms" segment_ms: i64 = "604800000", Range(1, i64::MAX), Enforced;
    /// Random variation of segment.ms, in milliseconds.
    "segment.jitter.ms" segment_jitter_ms: i64 = "0", Range(0, i64::MAX), SEGMENTS;
    /// Bytes of a segment's index.
    "segment.index.bytes" segment_index_bytes: i64 = "10485760", Range(4, i32::MAX as i64), SEGMENTS;
    /// Bytes between two entries of a segment's index.
    "index.interval.bytes" index_interval_bytes: i64 = "4096", Range(0, i32::MAX as i64), SEGMENTS;
    /// Whether segment files are allocated in advance.
    "preallocate" preallocate: bool = "false", Bool, SEGMENTS;
    /// Milliseconds between the deletion of a segment and that of its file.
    "file.delete.delay.ms" file_delete_delay_ms: i64 = "60000", Range(0, i64::MAX), SEGMENTS;
    /// Records after which a flush is forced.
    "flush.messages" flush_messages: i64 = "9223372036854775807", Range(1, i64::MAX), FLUSHES;
    /// Milliseconds after which a flush is forced.
    "flush.ms" flush_ms: i64 = "9223372036854775807", Range(0, i64::MAX), FLUSHES;
}

/// The bits of `TopicConfig::set` suffice.
const _: () = assert!(SETTINGS.len() <= 32);

impl TopicConfig {
    /// The configuration that differs from the default by `entries`, and a warning for each that has no effect.
    /// Later entries of the same name win.
    pub fn parse<'a>(
        entries: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
    ) -> Result<(TopicConfig, Vec<String>), ConfigError> {
        let mut config = TopicConfig::default();
        let mut warnings = Vec::new();
        for (name, value) in entries {
            let setting = config.set(name, value)?;
            if let Accepted(reason) = setting.effect {
                warnings.push(format!("{} has no effect: {reason}", setting.name));
            }
        }
        let (min, max) = (config.min_compaction_lag_ms, config.max_compaction_lag_ms);
        if min > max {
            return Err(ConfigError::CompactionLag { min, max });
        }
        Ok((config, warnings))
    }

    fn set(&mut self, name: &str, value: Option<&str>) -> Result<&'static Setting, ConfigError> {
        let (index, setting) = find(name)?;
        let value = value.ok_or(ConfigError::Null { name: setting.name })?.trim();
        if !setting.allowed.allows(value) {
            return Err(ConfigError::Invalid {
                name: setting.name,
                value: shortened(value),
            });
        }
        (setting.set)(self, value);
        self.set |= 1 << index;
        Ok(setting)
    }

    /// Every setting with its value, and whether the topic set it.
    pub fn entries(&self) -> impl Iterator<Item = (&'static Setting, String, bool)> {
        let row = |(index, setting): (usize, &'static Setting)| {
            (setting, (setting.get)(self), self.set & (1 << index) != 0)
        };
        SETTINGS.iter().enumerate().map(row)
    }

    /// What differs from the default because the topic set it: name and value.
    pub fn overrides(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.entries()
            .filter(|(_, _, set)| *set)
            .map(|(setting, value, _)| (setting.name, value))
    }

    /// Reads back what [`TopicConfig::overrides`] gave. What this version does not know any more is left out, since a
    /// topic with its default is better than a broker that does not start.
    pub(crate) fn restore<'a>(entries: impl IntoIterator<Item = (&'a str, &'a str)>) -> TopicConfig {
        let mut config = TopicConfig::default();
        for (name, value) in entries {
            if let Err(error) = config.set(name, Some(value)) {
                tracing::warn!(%error, "a stored configuration is ignored");
            }
        }
        config
    }
}

impl Allowed {
    fn allows(&self, text: &str) -> bool {
        match self {
            Range(min, max) => text
                .parse()
                .is_ok_and(|value: i64| (*min..=*max).contains(&value)),
            Bool => matches!(text, "true" | "false"),
            OneOf(texts) => texts.contains(&text),
            ListOf(texts) => {
                let mut listed = parts(text).enumerate();
                listed.all(|(index, part)| {
                    texts.contains(&part) && !parts(text).take(index).any(|earlier| earlier == part)
                })
            }
            Allowed::Ratio => text.parse().is_ok_and(|value: f64| (0.0..=1.0).contains(&value)),
        }
    }
}

fn parts(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim)
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Range(min, i64::MAX) => write!(f, "a number from {min}"),
            Range(min, max) => write!(f, "a number from {min} to {max}"),
            Bool => f.write_str("true or false"),
            OneOf(texts) => f.write_str(&texts.join(" or ")),
            ListOf(texts) => write!(f, "a list of {}, without repetition", texts.join(" and ")),
            Allowed::Ratio => f.write_str("a number from 0 to 1"),
        }
    }
}

/// The row of this name, and its place in the table.
fn find(name: &str) -> Result<(usize, &'static Setting), ConfigError> {
    let mut rows = SETTINGS.iter().enumerate();
    rows.find(|(_, setting)| setting.name == name)
        .ok_or_else(|| ConfigError::Unknown(shortened(name)))
}

fn allowed_of(name: &str) -> String {
    let setting = SETTINGS.iter().find(|setting| setting.name == name);
    setting
        .map(|setting| setting.allowed.to_string())
        .unwrap_or_default()
}

fn shortened(text: &str) -> String {
    text.chars().take(TEXT_BYTES_MAX).collect()
}

impl Value for i64 {
    fn from_text(text: &str) -> i64 {
        text.parse().expect("the row allows numbers only")
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Value for bool {
    fn from_text(text: &str) -> bool {
        text == "true"
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Value for TimestampType {
    fn from_text(text: &str) -> TimestampType {
        if text == "LogAppendTime" {
            TimestampType::LogAppendTime
        } else {
            TimestampType::CreateTime
        }
    }

    fn text(&self) -> String {
        format!("{self:?}")
    }
}

impl Value for CompressionType {
    fn from_text(text: &str) -> CompressionType {
        match Compression::from_name(text) {
            Some(codec) => CompressionType::Always(codec),
            None if text == UNCOMPRESSED => CompressionType::Always(Compression::None),
            None => CompressionType::Producer,
        }
    }

    fn text(&self) -> String {
        let text = match self {
            CompressionType::Producer => "producer",
            CompressionType::Always(Compression::None) => UNCOMPRESSED,
            CompressionType::Always(codec) => codec.name(),
        };
        text.to_owned()
    }
}

impl Value for CleanupPolicy {
    fn from_text(text: &str) -> CleanupPolicy {
        let mut parts = parts(text);
        match (parts.next(), parts.next()) {
            (Some("compact"), None) => CleanupPolicy::Compact,
            (Some("compact"), Some(_)) => CleanupPolicy::CompactDelete,
            (_, Some(_)) => CleanupPolicy::DeleteCompact,
            (_, None) => CleanupPolicy::Delete,
        }
    }

    fn text(&self) -> String {
        let text = match self {
            CleanupPolicy::Delete => "delete",
            CleanupPolicy::Compact => "compact",
            CleanupPolicy::CompactDelete => "compact,delete",
            CleanupPolicy::DeleteCompact => "delete,compact",
        };
        text.to_owned()
    }
}

impl Value for Ratio {
    fn from_text(text: &str) -> Ratio {
        Ratio(text.parse().expect("the row allows numbers only"))
    }

    fn text(&self) -> String {
        // With a point, as Java's tools write it.
        format!("{:?}", self.0)
    }
}

#[cfg(test)]
mod tests;

//! The configuration of topics: one row per setting gives its name, type, default, range and documentation.
//!
//! A setting that can be set does something. The exceptions are marked [`Effect::Accepted`]: tools set them when they
//! create topics, and what they ask for holds in another way or has no meaning here; setting one gives a warning.
//! Every other name is refused. Defaults are Kafka's.

use std::fmt;

use firth_batch::TimestampType;
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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CleanupPolicy {
    Delete,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressionType {
    Producer,
}

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

use Allowed::{Bool, OneOf, Range};
use Effect::{Accepted, Enforced};

const SEGMENTS: Effect = Accepted("segments are shared by all topics, and their size is the broker's choice");
const FLUSHES: Effect = Accepted("the broker's durability decides when records are flushed");
const ONE_REPLICA: Effect = Accepted("one broker stores every record and flushes it before it answers");

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
    /// Batches are stored as the producer compressed them.
    "compression.type" compression_type: CompressionType = "producer", OneOf(&["producer"]), Enforced;
    /// Old records are deleted; compaction does not exist yet.
    "cleanup.policy" cleanup_policy: CleanupPolicy = "delete", OneOf(&["delete"]), Enforced;
    /// Replicas that must have a record before it is acknowledged.
    "min.insync.replicas" min_insync_replicas: i64 = "1", Range(1, i32::MAX as i64), ONE_REPLICA;
    /// Whether a replica that lacks records may become the leader.
    "unclean.leader.election.enable" unclean_leader_election: bool = "false", Bool, ONE_REPLICA;
    /// Bytes of a segment file.
    "segment.bytes" segment_bytes: i64 = "1073741824", Range(14, i32::MAX as i64), SEGMENTS;
    /// Milliseconds after which a new segment is begun.
    "segment.ms" segment_ms: i64 = "604800000", Range(1, i64::MAX), SEGMENTS;
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
        Ok((config, warnings))
    }

    fn set(&mut self, name: &str, value: Option<&str>) -> Result<&'static Setting, ConfigError> {
        let found = SETTINGS
            .iter()
            .enumerate()
            .find(|(_, setting)| setting.name == name);
        let (index, setting) = found.ok_or_else(|| ConfigError::Unknown(shortened(name)))?;
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
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Range(min, i64::MAX) => write!(f, "a number from {min}"),
            Range(min, max) => write!(f, "a number from {min} to {max}"),
            Bool => f.write_str("true or false"),
            OneOf(texts) => f.write_str(&texts.join(" or ")),
        }
    }
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
    fn from_text(_: &str) -> CompressionType {
        CompressionType::Producer
    }

    fn text(&self) -> String {
        "producer".to_owned()
    }
}

impl Value for CleanupPolicy {
    fn from_text(_: &str) -> CleanupPolicy {
        CleanupPolicy::Delete
    }

    fn text(&self) -> String {
        "delete".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str, value: &str) -> Result<(TopicConfig, Vec<String>), ConfigError> {
        TopicConfig::parse([(name, Some(value))])
    }

    #[test]
    fn every_default_is_allowed_and_reads_back() {
        for (setting, value, set) in TopicConfig::default().entries() {
            assert!(setting.allowed.allows(setting.default), "{}", setting.name);
            assert_eq!(
                (value.as_str(), set),
                (setting.default, false),
                "{}",
                setting.name
            );
            assert!(setting.documentation.ends_with('.'), "{}", setting.name);
        }
    }

    #[test]
    fn what_is_set_is_told_apart_from_the_default() {
        let (config, warnings) = parse("retention.ms", " 604800000 ").unwrap();
        assert_eq!(
            config.overrides().collect::<Vec<_>>(),
            [("retention.ms", "604800000".to_owned())]
        );
        assert_eq!(warnings, [""; 0]);
        let overrides: Vec<_> = config.overrides().collect();
        assert_eq!(
            TopicConfig::restore(overrides.iter().map(|(n, v)| (*n, v.as_str()))),
            config
        );
    }

    #[test]
    fn settings_without_effect_are_taken_with_a_warning() {
        let (config, warnings) = parse("min.insync.replicas", "2").unwrap();
        assert_eq!(config.min_insync_replicas, 2);
        assert!(warnings[0].contains("no effect"), "{warnings:?}");
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        for (name, value) in [
            ("cleanup.policy", "compact"),
            ("cleanup.policy", "compact,delete"),
            ("compression.type", "zstd"),
            ("retention.ms", "-2"),
            ("retention.ms", "soon"),
            ("retention.ms", "99999999999999999999"),
            ("max.message.bytes", "33554433"),
            ("preallocate", "1"),
        ] {
            let error = parse(name, value).unwrap_err();
            assert!(matches!(error, ConfigError::Invalid { .. }), "{error}");
        }
        assert_eq!(
            parse("cleanup.policy", "compact").unwrap_err().to_string(),
            "cleanup.policy=compact is not supported: it must be delete"
        );
        assert_eq!(parse("x", "1").unwrap_err(), ConfigError::Unknown("x".to_owned()));
        let null = TopicConfig::parse([("retention.ms", None)]);
        assert_eq!(null.unwrap_err(), ConfigError::Null { name: "retention.ms" });
    }

    #[test]
    fn a_stored_setting_that_is_unknown_now_is_left_out() {
        let config = TopicConfig::restore([("from.the.past", "1"), ("retention.bytes", "5")]);
        assert_eq!(config.retention_bytes, 5);
    }
}

//! The settings of `firth serve`: one row gives a setting's flag, environment variable, file key, default and
//! documentation. Flags go before the environment, the environment before the file.

mod load;
mod memory;
mod value;

pub(crate) use load::{Given, load};
pub(crate) use memory::Shares;
pub(crate) use value::{ByteCount, Direct, Durability, HostPort, Interval, Listen};

use std::path::PathBuf;

use value::Value;

/// For clap.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    ByteCount::parse(text).map(|count| count.0)
}

use crate::logging::LogFormat;

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Setting {
    /// The key in the file, with underscores.
    pub key: &'static str,
    /// What stands for the value in the documentation; empty for a switch.
    pub value_name: &'static str,
    pub default: &'static str,
    pub documentation: &'static str,
    set: fn(&mut Settings, &str) -> Result<(), String>,
}

impl Setting {
    /// The flag without its dashes.
    pub(crate) fn flag(&self) -> String {
        self.key.replace('_', "-")
    }

    pub(crate) fn environment_variable(&self) -> String {
        format!("FIRTH_{}", self.key.to_uppercase())
    }

    pub(crate) fn is_switch(&self) -> bool {
        self.value_name.is_empty()
    }
}

macro_rules! settings {
    ($($(#[doc = $doc:literal])* $key:ident: $type:ty, $value_name:literal, $default:literal;)*) => {
        #[derive(Clone, Debug)]
        pub(crate) struct Settings {
            $($(#[doc = $doc])* pub $key: $type,)*
        }

        impl Default for Settings {
            fn default() -> Settings {
                Settings { $($key: <$type as Value>::parse($default).expect("a test parses all defaults"),)* }
            }
        }

        pub(crate) static SETTINGS: &[Setting] = &[$(Setting {
            key: stringify!($key),
            value_name: $value_name,
            default: $default,
            documentation: concat!($($doc),*).trim_ascii(),
            set: |settings, text| {
                settings.$key = <$type as Value>::parse(text)?;
                Ok(())
            },
        },)*];
    };
}

settings! {
    /// The directory that holds everything; created if it is missing.
    data: PathBuf, "DIR", "./firth-data";
    /// Where Kafka clients connect. `localhost` is both IPv4 and IPv6, port 0 picks a free one, `off` switches it off.
    kafka: Listen, "HOST:PORT", "localhost:9092";
    /// Where AMQP 0-9-1 clients connect, those of RabbitMQ. As for `kafka`.
    amqp: Listen, "HOST:PORT", "localhost:5672";
    /// Where `/metrics`, `/healthz` and `/backup` are served; who reaches it can read everything. As for `kafka`.
    http: Listen, "HOST:PORT", "localhost:15672";
    /// When a record is acknowledged: `disk` after it was flushed, `os` after it was given to the operating system, which may lose it with the machine's power.
    durability: Durability, "disk|os", "disk";
    /// Whether files are written past the page cache: `auto` does so where the file system supports it, `always` does not start where it does not, `never` writes through the cache and flushes.
    direct: Direct, "auto|always|never", "auto";
    /// Bytes of the write-ahead log at most; `auto` is the smaller of 1 GiB and an eighth of the file system.
    wal_limit: Option<ByteCount>, "BYTES", "auto";
    /// What clients are told to connect to; `auto` is the address that each of them used.
    advertise: Option<HostPort>, "HOST:PORT", "auto";
    /// Listen on other addresses than loopback although anyone who reaches them may read and write everything.
    insecure: bool, "", "false";
    /// Whether a client that asks for a topic which does not exist thereby creates it.
    auto_create_topics: bool, "true|false", "true";
    /// Partitions of a topic whose creator names no number.
    num_partitions: u32, "N", "1";
    /// Bytes of memory to get along with; `auto` is what the machine has, or what its control group allows. An eighth of it, up to 192 MiB, keeps the newest records for readers.
    memory: Option<ByteCount>, "BYTES", "auto";
    /// Bytes that requests in flight and replies may hold together; `auto` is an eighth of `memory`, between 16 MiB and 256 MiB.
    request_memory: Option<ByteCount>, "BYTES", "auto";
    /// Milliseconds that the first member of an empty group waits for others, and each that comes prolongs that.
    group_initial_rebalance_delay_ms: i32, "MS", "500";
    /// The shortest session timeout that a member of a group may ask for, in milliseconds.
    group_min_session_timeout_ms: i32, "MS", "6000";
    /// The longest session timeout that a member of a group may ask for, in milliseconds.
    group_max_session_timeout_ms: i32, "MS", "1800000";
    /// Members of one group at most.
    group_max_size: u32, "N", "2147483647";
    /// The longest text that may be committed with an offset, in UTF-16 units as Apache Kafka counts it.
    offset_metadata_max_bytes: u32, "N", "4096";
    /// Minutes for which offsets are kept that nobody needs: after the last member of their group has left, or else after their commit.
    offsets_retention_minutes: u32, "MINUTES", "10080";
    /// Milliseconds between two looks for offsets that are kept for too long.
    offsets_retention_check_interval_ms: u32, "MS", "600000";
    /// Milliseconds between two looks for records that retention may delete.
    retention_check_interval_ms: u64, "MS", "30000";
    /// How often every sealed segment is verified in the background, at up to 16 MiB/s: `12h`, `7d`, or `off`.
    scrub_interval: Interval, "TIME", "7d";
    /// What is logged to stderr: `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `firth_log=debug,info`.
    log: String, "FILTER", "info";
    /// How it is logged: `text` in lines for people, `json` with an object in each line for programs.
    log_format: LogFormat, "text|json", "text";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_values_and_documented() {
        let mut settings = Settings::default();
        for setting in SETTINGS {
            assert_eq!(
                (setting.set)(&mut settings, setting.default),
                Ok(()),
                "{}",
                setting.key
            );
            assert!(setting.documentation.ends_with('.'), "{}", setting.key);
        }
    }
}

use firth_kafka_codec::{
    ByteStr, ErrorCode, SOURCE_DEFAULT, SOURCE_STATIC_BROKER, TYPE_BOOLEAN, TYPE_INT, TYPE_LONG, TYPE_STRING,
};

use super::{Config, groups, topic};
use crate::handlers::metadata::own_address;
use crate::handlers::{Refused, refused};
use crate::server::Client;

/// A setting of the broker. They are set where the broker is started, and stay until it ends.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) config_type: i8,
    /// None for what has none, because every broker has its own.
    pub(super) default: Option<fn() -> String>,
    pub(super) value: fn(&Client) -> String,
    pub(super) documentation: &'static str,
}

const ROWS: &[Row] = &[
    Row {
        name: "node.id",
        config_type: TYPE_INT,
        default: None,
        value: |client| client.server.config.node_id.to_string(),
        documentation: "The id of the broker.",
    },
    Row {
        name: "broker.id",
        config_type: TYPE_INT,
        default: None,
        value: |client| client.server.config.node_id.to_string(),
        documentation: "The id of the broker, as older clients call it.",
    },
    Row {
        name: "advertised.listeners",
        config_type: TYPE_STRING,
        default: None,
        value: |client| {
            let address = own_address(client);
            format!("PLAINTEXT://{}:{}", address.host, address.port)
        },
        documentation: "What this client is told to connect to.",
    },
    Row {
        name: "auto.create.topics.enable",
        config_type: TYPE_BOOLEAN,
        default: Some(|| broker_default().auto_create_topics.to_string()),
        value: |client| client.server.broker.config().auto_create_topics.to_string(),
        documentation: "Whether a client that asks for a topic which does not exist thereby creates it.",
    },
    Row {
        name: "num.partitions",
        config_type: TYPE_INT,
        default: Some(|| broker_default().num_partitions.to_string()),
        value: |client| client.server.broker.config().num_partitions.to_string(),
        documentation: "Partitions of a topic whose creator names no number.",
    },
    Row {
        name: "default.replication.factor",
        config_type: TYPE_INT,
        default: Some(|| "1".to_owned()),
        value: |_| "1".to_owned(),
        documentation: "Copies of a topic whose creator names no number; there is one broker.",
    },
    Row {
        name: "delete.topic.enable",
        config_type: TYPE_BOOLEAN,
        default: Some(|| "true".to_owned()),
        value: |_| "true".to_owned(),
        documentation: "Whether topics can be deleted.",
    },
    Row {
        name: "log.dirs",
        config_type: TYPE_STRING,
        default: None,
        value: |client| {
            let disk = client.server.broker.disk_usage();
            disk.map(|disk| disk.directory).unwrap_or_default()
        },
        documentation: "The directory that holds everything.",
    },
    Row {
        name: "log.retention.check.interval.ms",
        config_type: TYPE_LONG,
        default: Some(|| broker_default().retention_check_interval.as_millis().to_string()),
        value: |client| {
            let interval = client.server.broker.config().retention_check_interval;
            interval.as_millis().to_string()
        },
        documentation: "Milliseconds between two looks for records that retention may delete.",
    },
    Row {
        name: "queued.max.request.bytes",
        config_type: TYPE_LONG,
        default: Some(|| broker_default().memory_bytes.to_string()),
        value: |client| client.server.broker.config().memory_bytes.to_string(),
        documentation: "Bytes that requests in flight and replies may hold together.",
    },
    Row {
        name: "socket.request.max.bytes",
        config_type: TYPE_INT,
        default: Some(|| kafka_default().frame_bytes_max.to_string()),
        value: |client| client.server.config.frame_bytes_max.to_string(),
        documentation: "Bytes of a request at most.",
    },
    Row {
        name: "max.connections",
        config_type: TYPE_INT,
        default: Some(|| kafka_default().connections_max.to_string()),
        value: |client| client.server.config.connections_max.to_string(),
        documentation: "Open connections at most.",
    },
    Row {
        name: "fetch.max.bytes",
        config_type: TYPE_INT,
        default: Some(|| kafka_default().fetch_bytes_max.to_string()),
        value: |client| client.server.config.fetch_bytes_max.to_string(),
        documentation: "Bytes of records in one answer to Fetch at most, but for one batch that is larger.",
    },
    Row {
        name: "max.incremental.fetch.session.cache.slots",
        config_type: TYPE_INT,
        default: Some(|| kafka_default().fetch_sessions_max.to_string()),
        value: |client| client.server.config.fetch_sessions_max.to_string(),
        documentation: "Fetch sessions at most.",
    },
];

fn broker_default() -> firth_broker::Config {
    firth_broker::Config::default()
}

fn kafka_default() -> crate::Config {
    crate::Config::default()
}

/// Every setting of the broker, and what topics get that set nothing.
pub(super) fn configs(client: &Client) -> Vec<Config> {
    let own = ROWS.iter().chain(groups::ROWS).map(|row| config(row, client));
    own.chain(topic::defaults()).collect()
}

fn config(row: &Row, client: &Client) -> Config {
    let value = (row.value)(client);
    let default = row.default.map(|default| default());
    let is_default = default.as_ref() == Some(&value);
    let (value, default) = (ByteStr::from(value), default.map(ByteStr::from));
    let set = (!is_default).then(|| (row.name, Some(value.clone()), SOURCE_STATIC_BROKER));
    let default = default.map(|default| (row.name, Some(default), SOURCE_DEFAULT));
    Config {
        name: row.name,
        value: Some(value),
        source: if is_default {
            SOURCE_DEFAULT
        } else {
            SOURCE_STATIC_BROKER
        },
        read_only: true,
        config_type: row.config_type,
        synonyms: set.into_iter().chain(default).collect(),
        documentation: row.documentation,
        without_effect: None,
    }
}

/// Fails unless a resource named so is this broker.
pub(in crate::handlers) fn check_id(client: &Client, name: &str) -> Result<(), Refused> {
    let own = client.server.config.node_id;
    match name.parse::<i32>() {
        Ok(id) if id == own => Ok(()),
        Ok(id) => {
            let reason = format!("this is broker {own}, and there is no broker {id}");
            Err(refused(ErrorCode::InvalidRequest, &reason))
        }
        Err(_) => {
            let reason = format!("{name:?} is not the id of a broker, which is a number");
            Err(refused(ErrorCode::InvalidRequest, &reason))
        }
    }
}

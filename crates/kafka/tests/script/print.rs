use std::collections::HashMap;

use bytes::Bytes;
use firth_batch::{Batch, Batches};
use firth_broker::Broker;
use firth_kafka_codec::*;

use crate::support::NOW_MS;

/// Topic ids and session ids are random. Scripts know a topic by the name that it has or had, and a session as `s1` if
/// it is the first that was seen.
#[derive(Default)]
pub(super) struct Names {
    ids: HashMap<String, Uuid>,
    names: HashMap<Uuid, String>,
    sessions: Vec<i32>,
    members: Vec<String>,
}

impl Names {
    pub(super) fn learn(&mut self, broker: &Broker) {
        for topic in broker.topics().iter() {
            let (name, id) = (topic.name.to_string(), Uuid(topic.id.0));
            // Of a name that is used again, the script means the first id.
            self.ids.entry(name.clone()).or_insert(id);
            self.names.entry(id).or_insert(name);
        }
    }

    /// The id of `m1`, the first member that was seen, and so on.
    pub(super) fn member(&self, text: &str) -> ByteStr {
        let at = text.strip_prefix('m').and_then(|at| at.parse::<usize>().ok());
        match at.and_then(|at| self.members.get(at - 1)) {
            Some(id) => id.as_str().into(),
            None => text.into(),
        }
    }

    pub(super) fn member_name(&mut self, id: &str) -> String {
        if id.is_empty() {
            return "nobody".to_owned();
        }
        if !id.contains('-') {
            return id.to_owned();
        }
        if !self.members.iter().any(|known| known == id) {
            self.members.push(id.to_owned());
        }
        let at = self.members.iter().position(|known| known == id);
        format!("m{}", at.unwrap() + 1)
    }

    pub(super) fn session(&self, text: &str) -> i32 {
        match text.strip_prefix('s') {
            Some(at) => self.sessions[at.parse::<usize>().unwrap() - 1],
            None => text.parse().unwrap(),
        }
    }

    fn session_name(&mut self, id: i32) -> String {
        if id == 0 {
            return "none".to_owned();
        }
        if !self.sessions.contains(&id) {
            self.sessions.push(id);
        }
        format!(
            "s{}",
            self.sessions.iter().position(|known| *known == id).unwrap() + 1
        )
    }

    pub(super) fn id(&self, name: &str) -> Uuid {
        self.ids.get(name).copied().unwrap_or(Uuid([7; 16]))
    }

    pub(super) fn name<'a>(&'a self, name: &'a str, id: &Uuid) -> &'a str {
        match (name.is_empty(), self.names.get(id)) {
            (true, Some(name)) => name,
            (true, None) => "?",
            (false, _) => name,
        }
    }
}

pub(crate) fn error(code: ErrorCode) -> String {
    if code == ErrorCode::None {
        String::new()
    } else {
        format!(" {}", code.name())
    }
}

pub(crate) fn message(message: Option<&ByteStr>) -> String {
    let said = message.filter(|message| !message.is_empty());
    said.map_or(String::new(), |message| format!(" ({message})"))
}

fn time(timestamp: i64) -> String {
    match timestamp {
        -1 => String::new(),
        timestamp => format!(" time={}", timestamp - NOW_MS),
    }
}

pub(crate) fn read<R: RequestMessage>(version: i16, frame: &Bytes) -> R::Response {
    decode_response::<R>(version, frame).unwrap().1
}

pub(super) fn response(api: ApiKey, version: i16, frame: &Bytes, names: &mut Names) -> Vec<String> {
    match api {
        ApiKey::Produce => produced(&read::<ProduceRequest>(version, frame), names),
        ApiKey::Fetch => fetched(&read::<FetchRequest>(version, frame), version, names),
        ApiKey::ListOffsets => listed(&read::<ListOffsetsRequest>(version, frame), version),
        ApiKey::Metadata => described(&read::<MetadataRequest>(version, frame), names),
        ApiKey::ApiVersions => {
            let response = read::<ApiVersionsRequest>(version, frame);
            let keys = response.api_keys.iter();
            let keys = keys.map(|key| format!("{}:{}-{}", key.api_key, key.min_version, key.max_version));
            vec![format!(
                "versions{} {}",
                error(response.error_code),
                keys.collect::<Vec<_>>().join(" ")
            )]
        }
        ApiKey::CreateTopics => created(&read::<CreateTopicsRequest>(version, frame), version),
        ApiKey::DeleteTopics => deleted(&read::<DeleteTopicsRequest>(version, frame), names),
        ApiKey::DeleteRecords => {
            let response = read::<DeleteRecordsRequest>(version, frame);
            let lines = response.topics.iter().flat_map(|topic| {
                topic.partitions.iter().map(|partition| {
                    let DeleteRecordsPartitionResult {
                        partition_index,
                        low_watermark,
                        error_code,
                    } = partition;
                    format!(
                        "{}/{partition_index} start={low_watermark}{}",
                        topic.name,
                        error(*error_code)
                    )
                })
            });
            lines.collect()
        }
        ApiKey::InitProducerId => {
            let response = read::<InitProducerIdRequest>(version, frame);
            let InitProducerIdResponse {
                error_code,
                producer_id,
                producer_epoch,
                ..
            } = response;
            vec![format!(
                "producer id={producer_id} epoch={producer_epoch}{}",
                error(error_code)
            )]
        }
        ApiKey::FindCoordinator
        | ApiKey::JoinGroup
        | ApiKey::SyncGroup
        | ApiKey::Heartbeat
        | ApiKey::LeaveGroup
        | ApiKey::OffsetCommit
        | ApiKey::OffsetFetch
        | ApiKey::OffsetDelete
        | ApiKey::ListGroups
        | ApiKey::DescribeGroups
        | ApiKey::DeleteGroups => super::groups::response(api, version, frame, names),
        api => super::admin::response(api, version, frame),
    }
}

/// For how long a client is to wait, where a script may see that.
pub(super) fn throttled(api: ApiKey, version: i16, frame: &Bytes) -> Option<String> {
    let throttle_time_ms = match api {
        ApiKey::Produce => read::<ProduceRequest>(version, frame).throttle_time_ms,
        ApiKey::Fetch => read::<FetchRequest>(version, frame).throttle_time_ms,
        ApiKey::CreateTopics => read::<CreateTopicsRequest>(version, frame).throttle_time_ms,
        ApiKey::DeleteTopics => read::<DeleteTopicsRequest>(version, frame).throttle_time_ms,
        ApiKey::CreatePartitions => read::<CreatePartitionsRequest>(version, frame).throttle_time_ms,
        _ => 0,
    };
    (throttle_time_ms > 0).then(|| format!("throttled {throttle_time_ms} ms"))
}

fn produced(response: &ProduceResponse, names: &Names) -> Vec<String> {
    let lines = response.responses.iter().flat_map(|topic| {
        topic.partition_responses.iter().map(|partition| {
            let records = partition.record_errors.iter().map(|record| {
                let reason = message(record.batch_index_error_message.as_ref());
                format!("\n  record {}{reason}", record.batch_index)
            });
            format!(
                "{}/{} offset={}{}{}{}{}",
                names.name(&topic.name, &topic.topic_id),
                partition.index,
                partition.base_offset,
                time(partition.log_append_time_ms),
                error(partition.error_code),
                message(partition.error_message.as_ref()),
                records.collect::<String>(),
            )
        })
    });
    lines.collect()
}

fn fetched(response: &FetchResponse, version: i16, names: &mut Names) -> Vec<String> {
    let mut lines = Vec::new();
    if version >= 7 {
        lines.push(format!(
            "session={}{}",
            names.session_name(response.session_id),
            error(response.error_code)
        ));
    }
    for topic in &response.responses {
        let name = names.name(&topic.topic, &topic.topic_id);
        lines.extend(
            topic
                .partitions
                .iter()
                .map(|data| format!("{name}/{}", partition(data))),
        );
    }
    lines
}

fn partition(data: &PartitionData) -> String {
    let mut line = format!(
        "{} {}..{}",
        data.partition_index, data.log_start_offset, data.high_watermark
    );
    if data.last_stable_offset != data.high_watermark {
        line += &format!(" stable={}", data.last_stable_offset);
    }
    line += &error(data.error_code);
    if data.diverging_epoch != EpochEndOffset::default() {
        let EpochEndOffset { epoch, end_offset } = data.diverging_epoch;
        line += &format!(" diverges epoch={epoch} end={end_offset}");
    }
    if let Some(aborted) = &data.aborted_transactions {
        line += &format!(" aborted={}", aborted.len());
    }
    let bytes = data
        .records
        .as_ref()
        .map(|records| records.parts().concat())
        .unwrap_or_default();
    for batch in Batches::new(&bytes) {
        let (header, bytes) = batch.unwrap();
        let batch = Batch::stored(Bytes::copy_from_slice(bytes)).unwrap();
        let records = batch.records(1 << 20).unwrap();
        let values = records.iter().map(|record| {
            let value = record.unwrap().value.unwrap_or(b"null");
            String::from_utf8_lossy(&value[..value.len().min(8)]).into_owned()
        });
        let values: Vec<_> = values.collect();
        line += &format!(" {}[{}]", header.base_offset, values.join(" "));
    }
    line
}

fn listed(response: &ListOffsetsResponse, version: i16) -> Vec<String> {
    let lines = response.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(move |partition| {
            if version == 0 {
                let (index, offsets) = (partition.partition_index, &partition.old_style_offsets);
                return format!(
                    "{}/{index} offsets={offsets:?}{}",
                    topic.name,
                    error(partition.error_code)
                );
            }
            format!(
                "{}/{} offset={}{} epoch={}{}",
                topic.name,
                partition.partition_index,
                partition.offset,
                time(partition.timestamp),
                partition.leader_epoch,
                error(partition.error_code),
            )
        })
    });
    lines.collect()
}

fn described(response: &MetadataResponse, names: &Names) -> Vec<String> {
    let topics = response.topics.iter().map(|topic| {
        let name = topic.name.clone().unwrap_or_default();
        let name = names.name(&name, &topic.topic_id);
        let partitions = topic.partitions.iter();
        let partitions =
            partitions.map(|p| format!("{}@{}:{}", p.partition_index, p.leader_id, p.leader_epoch));
        let partitions: Vec<_> = partitions.collect();
        let operations = match topic.topic_authorized_operations {
            AUTHORIZED_OPERATIONS_UNKNOWN => String::new(),
            operations => format!(" operations={operations}"),
        };
        format!(
            "{name} [{}]{operations}{}",
            partitions.join(" "),
            error(topic.error_code)
        )
    });
    let brokers = response
        .brokers
        .iter()
        .map(|broker| format!("broker {} at {}", broker.node_id, broker.host));
    brokers.chain(topics).collect()
}

fn created(response: &CreateTopicsResponse, version: i16) -> Vec<String> {
    let lines = response.topics.iter().map(|topic| {
        let configs = topic
            .configs
            .iter()
            .flatten()
            .filter(|config| config.config_source == 1);
        let configs =
            configs.map(|config| format!(" {}={}", config.name, config.value.clone().unwrap_or_default()));
        let shape = match version {
            5.. if topic.error_code == ErrorCode::None => {
                format!(
                    " partitions={} rf={}",
                    topic.num_partitions, topic.replication_factor
                )
            }
            _ => String::new(),
        };
        let configs: String = configs.collect();
        let (code, message) = (error(topic.error_code), message(topic.error_message.as_ref()));
        format!("{} created{shape}{configs}{code}{message}", topic.name)
    });
    lines.collect()
}

fn deleted(response: &DeleteTopicsResponse, names: &Names) -> Vec<String> {
    let lines = response.responses.iter().map(|topic| {
        let name = topic.name.clone().unwrap_or_default();
        let name = names.name(&name, &topic.topic_id);
        let (code, message) = (error(topic.error_code), message(topic.error_message.as_ref()));
        format!("{name} deleted{code}{message}")
    });
    lines.collect()
}

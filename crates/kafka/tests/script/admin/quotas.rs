use bytes::Bytes;
use firth_kafka_codec::*;

use crate::script::Sent;
use crate::script::print::{error, message, read};
use crate::script::request::{Words, one};
use crate::support::TestClient;

/// `limit` alters the quotas of the entity whose parts are named as `type:name`, with `*` for the default; `key=remove` removes
/// one. `quotas` lists those that match such parts, with `+` for any name.
pub(super) fn encode(words: &Words<'_>, client: &mut TestClient) -> (Sent, Bytes) {
    let version = words.number("v", 1);
    match words.words[0] {
        "limit" => one(client, version, &alter_client_quotas(words)),
        "quotas" => one(client, version, &describe_client_quotas(words)),
        other => panic!("unknown request {other}"),
    }
}

fn parts<'a>(words: &'a Words<'_>) -> impl Iterator<Item = (ByteStr, &'a str)> {
    let named = words.words[1..].iter().filter_map(|word| word.split_once(':'));
    named.map(|(entity_type, name)| (entity_type.into(), name))
}

fn alter_client_quotas(words: &Words<'_>) -> AlterClientQuotasRequest {
    let entity = parts(words).map(|(entity_type, name)| AlterClientQuotasEntity {
        entity_type,
        entity_name: (name != "*").then(|| name.into()),
    });
    let mut ops: Vec<_> = words.values.iter().filter(|(key, _)| key.contains('_')).collect();
    ops.sort();
    let op = |(key, value): (&&str, &&str)| OpData {
        key: (*key).into(),
        value: value.parse::<f64>().unwrap_or(0.0).into(),
        remove: *value == "remove",
    };
    let mut ops: Vec<_> = ops.into_iter().map(op).collect();
    if words.has("twice") {
        ops.extend(ops.clone());
    }
    let entry = AlterClientQuotasEntry {
        entity: entity.collect(),
        ops,
    };
    AlterClientQuotasRequest {
        entries: vec![entry; words.number("times", 1)],
        validate_only: words.has("validate"),
    }
}

fn describe_client_quotas(words: &Words<'_>) -> DescribeClientQuotasRequest {
    let component = |(entity_type, name): (ByteStr, &str)| ComponentData {
        entity_type,
        match_type: words.number(
            "match",
            match name {
                "*" => MATCH_DEFAULT,
                "+" => MATCH_SPECIFIED,
                _ => MATCH_EXACT,
            },
        ),
        r#match: (!matches!(name, "*" | "+")).then(|| name.into()),
    };
    DescribeClientQuotasRequest {
        components: parts(words).map(component).collect(),
        strict: words.has("strict"),
    }
}

pub(super) fn response(api: ApiKey, version: i16, frame: &Bytes) -> Vec<String> {
    match api {
        ApiKey::AlterClientQuotas => {
            let response = read::<AlterClientQuotasRequest>(version, frame);
            let lines = response.entries.iter().map(|entry| {
                let parts = entry
                    .entity
                    .iter()
                    .map(|part| named(&part.entity_type, &part.entity_name));
                let (code, reason) = (error(entry.error_code), message(entry.error_message.as_ref()));
                format!("{}limited{code}{reason}", parts.collect::<String>())
            });
            lines.collect()
        }
        ApiKey::DescribeClientQuotas => {
            let response = read::<DescribeClientQuotasRequest>(version, frame);
            if response.error_code.is_error() {
                let (code, reason) = (
                    error(response.error_code),
                    message(response.error_message.as_ref()),
                );
                assert_eq!(response.entries, None);
                return vec![format!("quotas{code}{reason}")];
            }
            let entries = response.entries.unwrap();
            let lines = entries.iter().map(|entry| {
                let parts = entry
                    .entity
                    .iter()
                    .map(|part| named(&part.entity_type, &part.entity_name));
                let values = entry
                    .values
                    .iter()
                    .map(|value| format!(" {}={}", value.key, value.value.get()));
                let values: String = values.collect();
                format!("{}has{values}", parts.collect::<String>())
            });
            std::iter::once("quotas".to_owned()).chain(lines).collect()
        }
        other => panic!("{other:?} is not about quotas"),
    }
}

fn named(entity_type: &ByteStr, name: &Option<ByteStr>) -> String {
    format!("{entity_type}:{} ", name.as_deref().unwrap_or("*"))
}

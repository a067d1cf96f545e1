use std::collections::HashMap;
use std::iter;

use firth_broker::{EntityQuotas, QuotaEntity};
use firth_kafka_codec::{
    ByteStr, DescribeClientQuotasEntity, DescribeClientQuotasEntry, DescribeClientQuotasRequest,
    DescribeClientQuotasResponse, ErrorCode, MATCH_DEFAULT, MATCH_EXACT, MATCH_SPECIFIED, ValueData,
};

use super::alter_client_quotas::{CLIENT_ID, IP, Part, USER, parts};
use super::{Answer, Refused, refused};
use crate::server::Client;

pub(super) async fn handle(
    client: Client,
    request: DescribeClientQuotasRequest,
) -> DescribeClientQuotasResponse {
    let filter = match filter(&request) {
        Ok(filter) => filter,
        Err((error_code, error_message)) => {
            return DescribeClientQuotasResponse {
                error_code,
                error_message,
                entries: None,
                ..Default::default()
            };
        }
    };
    let entities = client.server.broker.quotas().entities();
    let found = entities
        .iter()
        .filter(|(entity, _)| matches(entity, &filter, request.strict));
    DescribeClientQuotasResponse {
        error_message: None,
        entries: Some(found.map(|(entity, quotas)| entry(entity, quotas)).collect()),
        ..Default::default()
    }
}

/// What a part of an entity has to be.
#[derive(PartialEq, Eq)]
enum Wanted {
    Named(ByteStr),
    Default,
    Any,
}

/// By type of a part.
type Filter = HashMap<ByteStr, Wanted>;

fn filter(request: &DescribeClientQuotasRequest) -> Result<Filter, Refused> {
    let invalid = |reason: &str| Err(refused(ErrorCode::InvalidRequest, &reason));
    let mut filter = Filter::new();
    for component in &request.components {
        let entity_type = &component.entity_type;
        if entity_type.is_empty() {
            return invalid("Invalid empty entity type.");
        }
        if filter.contains_key(entity_type) {
            let reason = format!("Entity type {entity_type} cannot appear more than once in the filter.");
            return invalid(&reason);
        }
        if ![USER, CLIENT_ID, IP].contains(&entity_type.as_str()) {
            let reason = format!("Unsupported entity type {entity_type}");
            return Err(refused(ErrorCode::UnsupportedVersion, &reason));
        }
        let wanted = match (component.match_type, &component.r#match) {
            (MATCH_EXACT, Some(name)) => Wanted::Named(name.clone()),
            (MATCH_DEFAULT, None) => Wanted::Default,
            (MATCH_SPECIFIED, None) => Wanted::Any,
            (MATCH_EXACT, None) => return invalid("an exact match needs a name"),
            (MATCH_DEFAULT | MATCH_SPECIFIED, Some(_)) => return invalid("only an exact match has a name"),
            (other, _) => return invalid(&format!("Unknown match type {other}")),
        };
        filter.insert(entity_type.clone(), wanted);
    }
    if filter.contains_key(IP) && filter.len() > 1 {
        let reason = "IP filter component should not be used with user or clientId filter component.";
        return invalid(&format!("Invalid entity filter component combination. {reason}"));
    }
    Ok(filter)
}

/// Whether an entity has every part that is wanted, and with `strict` no other. A strict filter that wants nothing finds nothing.
fn matches(entity: &QuotaEntity, filter: &Filter, strict: bool) -> bool {
    let parts = parts(entity);
    let is_wanted = |(entity_type, wanted): (&ByteStr, &Wanted)| {
        let mut parts = parts.iter();
        let part = parts.find(|part| part.entity_type == entity_type.as_str());
        part.is_some_and(|part| match wanted {
            Wanted::Named(name) => part.is_named(name),
            Wanted::Default => part.name.is_none(),
            Wanted::Any => true,
        })
    };
    filter.iter().all(is_wanted) && (!strict || parts.len() == filter.len())
}

fn entry(entity: &QuotaEntity, quotas: &EntityQuotas) -> DescribeClientQuotasEntry {
    let part = |Part { entity_type, name }| DescribeClientQuotasEntity {
        entity_type: ByteStr::from_static(entity_type),
        entity_name: name,
    };
    let value = |(key, limit): (&firth_broker::QuotaKey, &firth_broker::QuotaLimit)| ValueData {
        key: ByteStr::from_static(key.name()),
        value: limit.get().into(),
    };
    DescribeClientQuotasEntry {
        entity: parts(entity).into_iter().map(part).collect(),
        values: quotas.iter().map(value).collect(),
    }
}

impl Answer for DescribeClientQuotasResponse {
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        iter::once(self.error_code)
    }
}

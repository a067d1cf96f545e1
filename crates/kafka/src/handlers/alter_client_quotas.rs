use std::net::IpAddr;

use firth_broker::{InvalidQuota, QuotaEdits, QuotaEntity, QuotaKey, QuotaLimit, QuotaName};
use firth_kafka_codec::{
    AlterClientQuotasEntity, AlterClientQuotasEntry, AlterClientQuotasEntryResponse,
    AlterClientQuotasRequest, AlterClientQuotasResponse, ByteStr, ErrorCode, OpData,
};

use super::{Answer, Refused, message, once, refused};
use crate::error;
use crate::server::Client;

pub(super) const USER: &str = "user";
pub(super) const CLIENT_ID: &str = "client-id";
pub(super) const IP: &str = "ip";

pub(super) async fn handle(client: Client, request: AlterClientQuotasRequest) -> AlterClientQuotasResponse {
    let (mut asked, mut changes) = (Vec::new(), Vec::new());
    for (entry, is_repeated) in once(request.entries, |entry| sorted(&entry.entity)) {
        let change = match is_repeated {
            true => Err(invalid(&"the request names this entity more than once")),
            false => change(&entry),
        };
        asked.push((entry.entity, change.map(|change| changes.push(change))));
    }
    let broker = &client.server.broker;
    let mut altered = broker
        .alter_quotas(changes, request.validate_only)
        .await
        .into_iter();
    let entries = asked.into_iter().map(|(entity, change)| {
        let done = change.and_then(|()| match altered.next() {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err((error::of_define(&error), message(&error))),
            None => Err((ErrorCode::UnknownServerError, None)),
        });
        let (error_code, error_message) = done.err().unwrap_or((ErrorCode::None, None));
        AlterClientQuotasEntryResponse {
            error_code,
            error_message,
            entity,
        }
    });
    AlterClientQuotasResponse {
        entries: entries.collect(),
        ..Default::default()
    }
}

fn invalid(reason: &impl ToString) -> Refused {
    refused(ErrorCode::InvalidRequest, reason)
}

/// The parts of an entity, which may be named in any order.
fn sorted(entity: &[AlterClientQuotasEntity]) -> Vec<(String, Option<String>)> {
    let part = |part: &AlterClientQuotasEntity| {
        let name = part.entity_name.as_ref().map(ToString::to_string);
        (part.entity_type.to_string(), name)
    };
    let mut parts: Vec<_> = entity.iter().map(part).collect();
    parts.sort();
    parts
}

fn change(entry: &AlterClientQuotasEntry) -> Result<(QuotaEntity, QuotaEdits), Refused> {
    let entity = entity(&entry.entity)?;
    let mut edits = QuotaEdits::new();
    for (op, is_repeated) in once(&entry.ops, |op| op.key.clone()) {
        if is_repeated {
            return Err(invalid(&format!("Duplicate quota key {}", op.key)));
        }
        edits.extend(edit(&entity, op).map_err(|error| invalid(&error))?);
    }
    Ok((entity, edits))
}

/// Nothing is to be done where a quota is removed that the entity can not have.
fn edit(entity: &QuotaEntity, op: &OpData) -> Result<Option<(QuotaKey, Option<QuotaLimit>)>, InvalidQuota> {
    match (QuotaKey::of(entity, &op.key), op.remove) {
        (Ok(key), true) => Ok(Some((key, None))),
        (Ok(key), false) => Ok(Some((key, Some(QuotaLimit::new(key, op.value.get())?)))),
        (Err(_), true) => Ok(None),
        (Err(error), false) => Err(error),
    }
}

fn entity(named: &[AlterClientQuotasEntity]) -> Result<QuotaEntity, Refused> {
    let (mut user, mut client_id, mut ip) = (None, None, None);
    for part in named {
        let entity_type = &part.entity_type;
        let place = match entity_type.as_str() {
            USER => &mut user,
            CLIENT_ID => &mut client_id,
            IP => &mut ip,
            other => return Err(invalid(&format!("Unhandled client quota entity type: {other}"))),
        };
        if part.entity_name.as_ref().is_some_and(|name| name.is_empty()) {
            return Err(invalid(&format!("Empty {entity_type} not supported")));
        }
        if place.replace(part.entity_name.as_deref()).is_some() {
            let reason = format!("Invalid client quota entity, duplicate entity entry {entity_type}");
            return Err(invalid(&reason));
        }
    }
    match (user, client_id, ip) {
        (Some(user), Some(client_id), None) => Ok(QuotaEntity::UserClientId(name(user)?, name(client_id)?)),
        (Some(user), None, None) => Ok(QuotaEntity::User(name(user)?)),
        (None, Some(client_id), None) => Ok(QuotaEntity::ClientId(name(client_id)?)),
        (None, None, Some(None)) => Ok(QuotaEntity::Ip(None)),
        (None, None, Some(Some(text))) => {
            // Names of hosts are not looked up: what they stand for may change, and is not the broker's to know.
            let address: IpAddr = text
                .parse()
                .map_err(|_| invalid(&format!("{text} is not a valid IP address")))?;
            Ok(QuotaEntity::Ip(Some(address.to_canonical())))
        }
        (None, None, None) => Err(invalid(&"Invalid empty client quota entity")),
        (_, _, Some(_)) => {
            let reason =
                "Invalid quota entity combination, IP entity should not be combined with User or ClientId";
            Err(invalid(&reason))
        }
    }
}

fn name(name: Option<&str>) -> Result<QuotaName, Refused> {
    match name {
        Some(name) => QuotaName::named(name).map_err(|error| invalid(&error)),
        None => Ok(QuotaName::Default),
    }
}

/// A part of an entity as the protocol has it.
pub(super) struct Part {
    pub(super) entity_type: &'static str,
    /// None for the default.
    pub(super) name: Option<ByteStr>,
}

impl Part {
    /// Addresses can be written in more than one way.
    pub(super) fn is_named(&self, name: &ByteStr) -> bool {
        let address = |text: &str| text.parse::<IpAddr>().ok().map(|address| address.to_canonical());
        match &self.name {
            Some(known) if self.entity_type == IP => address(known) == address(name),
            Some(known) => known == name,
            None => false,
        }
    }
}

pub(super) fn parts(entity: &QuotaEntity) -> Vec<Part> {
    let part = |entity_type, name: &QuotaName| Part {
        entity_type,
        name: match name {
            QuotaName::Default => None,
            QuotaName::Named(name) => Some(ByteStr::from(&**name)),
        },
    };
    match entity {
        QuotaEntity::User(user) => vec![part(USER, user)],
        QuotaEntity::ClientId(client_id) => vec![part(CLIENT_ID, client_id)],
        QuotaEntity::UserClientId(user, client_id) => vec![part(USER, user), part(CLIENT_ID, client_id)],
        QuotaEntity::Ip(ip) => vec![Part {
            entity_type: IP,
            name: ip.map(|ip| ByteStr::from(ip.to_string())),
        }],
    }
}

impl Answer for AlterClientQuotasResponse {
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        self.entries.iter().map(|entry| entry.error_code)
    }
}

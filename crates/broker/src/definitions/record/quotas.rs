//! The record of an entity's quotas. Its layout is with the others'.

use std::net::IpAddr;

use super::{DecodeError, Fields, Record, encode_text};
use crate::{QuotaEntity, QuotaKey, QuotaLimit, QuotaName};

const USER: u8 = 1;
const CLIENT_ID: u8 = 2;
const USER_CLIENT_ID: u8 = 3;
const ANY_IP: u8 = 4;
const IPV4: u8 = 5;
const IPV6: u8 = 6;

const DEFAULT: u8 = 0;
const NAMED: u8 = 1;

#[expect(clippy::expect_used, reason = "there are five keys")]
pub(super) fn encode_quotas(entity: &QuotaEntity, quotas: &[(QuotaKey, QuotaLimit)], out: &mut Vec<u8>) {
    encode_entity(entity, out);
    out.push(u8::try_from(quotas.len()).expect("an entity has each key once"));
    for (key, limit) in quotas {
        out.push(id(*key));
        out.extend_from_slice(&limit.get().to_le_bytes());
    }
}

pub(super) fn decode_quotas(fields: &mut Fields<'_>) -> Result<Record, DecodeError> {
    let entity = decode_entity(fields)?;
    let count = fields.u8()?;
    let quotas = (0..count).map(|_| {
        let known = fields.u8()?;
        let mut keys = QuotaKey::ALL.into_iter();
        let key = keys
            .find(|key| id(*key) == known)
            .ok_or(DecodeError::Malformed("quota key"))?;
        let limit = QuotaLimit::new(key, f64::from_le_bytes(fields.array()?));
        Ok((key, limit.map_err(|_| DecodeError::Malformed("quota limit"))?))
    });
    let quotas = quotas.collect::<Result<_, DecodeError>>()?;
    Ok(Record::QuotasSet { entity, quotas })
}

fn id(key: QuotaKey) -> u8 {
    match key {
        QuotaKey::ProducerByteRate => 1,
        QuotaKey::ConsumerByteRate => 2,
        QuotaKey::RequestPercentage => 3,
        QuotaKey::ControllerMutationRate => 4,
        QuotaKey::ConnectionCreationRate => 5,
    }
}

fn encode_entity(entity: &QuotaEntity, out: &mut Vec<u8>) {
    match entity {
        QuotaEntity::User(user) => {
            out.push(USER);
            encode_name(user, out);
        }
        QuotaEntity::ClientId(client_id) => {
            out.push(CLIENT_ID);
            encode_name(client_id, out);
        }
        QuotaEntity::UserClientId(user, client_id) => {
            out.push(USER_CLIENT_ID);
            encode_name(user, out);
            encode_name(client_id, out);
        }
        QuotaEntity::Ip(None) => out.push(ANY_IP),
        QuotaEntity::Ip(Some(IpAddr::V4(ip))) => {
            out.push(IPV4);
            out.extend_from_slice(&ip.octets());
        }
        QuotaEntity::Ip(Some(IpAddr::V6(ip))) => {
            out.push(IPV6);
            out.extend_from_slice(&ip.octets());
        }
    }
}

fn decode_entity(fields: &mut Fields<'_>) -> Result<QuotaEntity, DecodeError> {
    match fields.u8()? {
        USER => decode_name(fields).map(QuotaEntity::User),
        CLIENT_ID => decode_name(fields).map(QuotaEntity::ClientId),
        USER_CLIENT_ID => Ok(QuotaEntity::UserClientId(
            decode_name(fields)?,
            decode_name(fields)?,
        )),
        ANY_IP => Ok(QuotaEntity::Ip(None)),
        IPV4 => Ok(QuotaEntity::Ip(Some(fields.array::<4>()?.into()))),
        IPV6 => Ok(QuotaEntity::Ip(Some(fields.array::<16>()?.into()))),
        _ => Err(DecodeError::Malformed("quota entity")),
    }
}

fn encode_name(name: &QuotaName, out: &mut Vec<u8>) {
    match name {
        QuotaName::Default => out.push(DEFAULT),
        QuotaName::Named(name) => {
            out.push(NAMED);
            encode_text(name, out);
        }
    }
}

fn decode_name(fields: &mut Fields<'_>) -> Result<QuotaName, DecodeError> {
    match fields.u8()? {
        DEFAULT => Ok(QuotaName::Default),
        NAMED => QuotaName::named(&fields.text()?).map_err(|_| DecodeError::Malformed("quota name")),
        _ => Err(DecodeError::Malformed("quota name")),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::Entry;
    use super::*;

    pub(in super::super) fn examples() -> Vec<Record> {
        let named = |name| QuotaName::named(name).unwrap();
        let entities = [
            QuotaEntity::User(named("alice")),
            QuotaEntity::ClientId(QuotaName::Default),
            QuotaEntity::UserClientId(QuotaName::Default, named("batch")),
            QuotaEntity::Ip(None),
            QuotaEntity::Ip(Some([10, 0, 0, 7].into())),
            QuotaEntity::Ip(Some("fe80::1".parse().unwrap())),
        ];
        let set = |entity| {
            let limit = |(key, value)| (key, QuotaLimit::new(key, value).unwrap());
            let quotas = [
                (QuotaKey::ProducerByteRate, 1024.0),
                (QuotaKey::RequestPercentage, 12.5),
            ];
            Record::QuotasSet {
                entity,
                quotas: quotas.map(limit).into(),
            }
        };
        let none = Record::QuotasSet {
            entity: QuotaEntity::Ip(None),
            quotas: Vec::new(),
        };
        entities.into_iter().map(set).chain([none]).collect()
    }

    #[test]
    fn the_bytes_of_a_quota_stay_what_they_are() {
        let key = QuotaKey::ConsumerByteRate;
        let set = Record::QuotasSet {
            entity: QuotaEntity::UserClientId(QuotaName::Default, QuotaName::named("ab").unwrap()),
            quotas: vec![(key, QuotaLimit::new(key, 2.0).unwrap())],
        };
        let mut expected = vec![1, 10, 3, 0, 1, 2, 0, b'a', b'b', 1, 2];
        expected.extend(2_f64.to_le_bytes());
        assert_eq!(Entry::Record(set).encode(), expected);
    }

    #[test]
    fn a_limit_that_cannot_be_kept_is_malformed() {
        for limit in [0.0, -1.0, f64::NAN, f64::INFINITY, 1.5] {
            let mut bytes = vec![1, 10, 4, 1, 1];
            bytes.extend(limit.to_le_bytes());
            assert_eq!(
                Entry::decode(&bytes),
                Err(DecodeError::Malformed("quota limit")),
                "{limit}"
            );
        }
    }
}

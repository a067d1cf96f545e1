//! What the store of users writes, as keys and values of the log of users. All integers are little-endian.
//!
//! ```text
//! key
//! 1 User              type u8 = 1 | name text
//! 2 Permissions       type u8 = 2 | virtual host text | user text
//! 3 TopicPermissions  type u8 = 3 | virtual host text | user text | exchange text
//! 4 Rule              type u8 = 4 | principal opt | virtual host text | resource u8 | pattern | permission u8 | effect u8
//!
//! value of a user
//! version u8 = 1 | count u32 | tag text* | credentials
//! credentials := 0 u8                                                         none
//!              | 1 u8                                                         the name is the password
//!              | 2 u8 | salt 16 bytes | memory KiB u32 | passes u32 | lanes u32 | argon2id 32 bytes
//!                     | salt 16 bytes | iterations u32 | StoredKey 32 bytes | ServerKey 32 bytes     SCRAM-SHA-256
//!                     | salt 16 bytes | iterations u32 | StoredKey 64 bytes | ServerKey 64 bytes     SCRAM-SHA-512
//!              | 3 u8 | digest u8 (1 SHA-256, 2 SHA-512) | salt 4 bytes and digest, bytes            imported
//!
//! value of permissions        version u8 = 1 | configure text | write text | read text
//! value of topic permissions  version u8 = 1 | write text | read text
//! value of a rule             version u8 = 1
//!
//! pattern    := 1 u8 | name text (literal)  |  2 u8 | prefix text  |  3 u8 (any)
//! resource   := 1 virtual host, 2 exchange, 3 queue, 4 topic
//! permission := 0 all, 1 configure, 2 write, 3 read
//! effect     := 1 allow, 2 deny
//! text       := length u32 | UTF-8      bytes := length u32 | bytes      opt := 0 u8, or 1 u8 | text
//! ```

use std::sync::Arc;

use super::account::{Permissions, TopicPermissions};
use super::credentials::{Cost, Credentials, Imported, ImportedDigest, Password, SALT_BYTES, Scram};
use crate::StateRecord;
use crate::authorizer::{Effect, Pattern, Permission, ResourceKind, Rule};
use crate::fields::{Fields, Malformed, put, put_length, put_optional, put_text};

const VERSION: u8 = 1;
const USER: u8 = 1;
const PERMISSIONS: u8 = 2;
const TOPIC_PERMISSIONS: u8 = 3;
const RULE: u8 = 4;

/// A record that was read, or is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    User {
        name: Arc<str>,
        tags: Arc<[Arc<str>]>,
        credentials: Credentials,
    },
    Permissions(Permissions),
    TopicPermissions(TopicPermissions),
    Rule(Rule),
}

/// What is to have no record any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Removed {
    User(Arc<str>),
    Permissions {
        virtual_host: Arc<str>,
        user: Arc<str>,
    },
    TopicPermissions {
        virtual_host: Arc<str>,
        user: Arc<str>,
        exchange: Arc<str>,
    },
    Rule(Rule),
}

pub(crate) fn stored(stored: &Stored) -> StateRecord {
    let mut value = vec![VERSION];
    let key = match stored {
        Stored::User {
            name,
            tags,
            credentials,
        } => {
            put_length(&mut value, tags.len());
            tags.iter().for_each(|tag| put(&mut value, tag.as_bytes()));
            put_credentials(&mut value, credentials);
            user_key(name)
        }
        Stored::Permissions(permissions) => {
            put(&mut value, permissions.configure.as_bytes());
            put(&mut value, permissions.write.as_bytes());
            put(&mut value, permissions.read.as_bytes());
            permissions_key(&permissions.virtual_host, &permissions.user)
        }
        Stored::TopicPermissions(permissions) => {
            put(&mut value, permissions.write.as_bytes());
            put(&mut value, permissions.read.as_bytes());
            topic_permissions_key(
                &permissions.virtual_host,
                &permissions.user,
                &permissions.exchange,
            )
        }
        Stored::Rule(rule) => rule_key(rule),
    };
    StateRecord {
        key: key.into(),
        value: Some(value.into()),
    }
}

pub(crate) fn removed(removed: &Removed) -> StateRecord {
    let key = match removed {
        Removed::User(name) => user_key(name),
        Removed::Permissions { virtual_host, user } => permissions_key(virtual_host, user),
        Removed::TopicPermissions {
            virtual_host,
            user,
            exchange,
        } => topic_permissions_key(virtual_host, user, exchange),
        Removed::Rule(rule) => rule_key(rule),
    };
    StateRecord {
        key: key.into(),
        value: None,
    }
}

fn user_key(name: &str) -> Vec<u8> {
    let mut key = vec![USER];
    put(&mut key, name.as_bytes());
    key
}

fn permissions_key(virtual_host: &str, user: &str) -> Vec<u8> {
    let mut key = vec![PERMISSIONS];
    put(&mut key, virtual_host.as_bytes());
    put(&mut key, user.as_bytes());
    key
}

fn topic_permissions_key(virtual_host: &str, user: &str, exchange: &str) -> Vec<u8> {
    let mut key = vec![TOPIC_PERMISSIONS];
    put(&mut key, virtual_host.as_bytes());
    put(&mut key, user.as_bytes());
    put(&mut key, exchange.as_bytes());
    key
}

fn rule_key(rule: &Rule) -> Vec<u8> {
    let mut key = vec![RULE];
    put_optional(&mut key, rule.principal.as_deref(), put_text);
    put(&mut key, rule.virtual_host.as_bytes());
    key.push(match rule.resource {
        ResourceKind::VirtualHost => 1,
        ResourceKind::Exchange => 2,
        ResourceKind::Queue => 3,
        ResourceKind::Topic => 4,
    });
    match &rule.pattern {
        Pattern::Literal(name) => {
            key.push(1);
            put(&mut key, name.as_bytes());
        }
        Pattern::Prefix(prefix) => {
            key.push(2);
            put(&mut key, prefix.as_bytes());
        }
        Pattern::Any => key.push(3),
    }
    key.push(match rule.permission {
        None => 0,
        Some(Permission::Configure) => 1,
        Some(Permission::Write) => 2,
        Some(Permission::Read) => 3,
    });
    key.push(match rule.effect {
        Effect::Allow => 1,
        Effect::Deny => 2,
    });
    key
}

fn put_credentials(out: &mut Vec<u8>, credentials: &Credentials) {
    match credentials {
        Credentials::None => out.push(0),
        Credentials::Name => out.push(1),
        Credentials::Password(password) => {
            out.push(2);
            out.extend_from_slice(&password.salt);
            for cost in [
                password.cost.memory_kib,
                password.cost.passes,
                password.cost.lanes,
            ] {
                out.extend_from_slice(&cost.to_le_bytes());
            }
            out.extend_from_slice(&password.hash);
            put_scram(out, &password.sha256);
            put_scram(out, &password.sha512);
        }
        Credentials::Imported(imported) => {
            out.push(3);
            out.push(match imported.digest {
                ImportedDigest::Sha256 => 1,
                ImportedDigest::Sha512 => 2,
            });
            put(out, &imported.bytes);
        }
    }
}

fn put_scram<const N: usize>(out: &mut Vec<u8>, scram: &Scram<N>) {
    out.extend_from_slice(&scram.salt);
    out.extend_from_slice(&scram.iterations.to_le_bytes());
    out.extend_from_slice(&scram.stored_key);
    out.extend_from_slice(&scram.server_key);
}

pub(crate) fn decode(record: &StateRecord) -> Result<Stored, Malformed> {
    let mut key = Fields(&record.key);
    let mut value = Fields(record.value.as_deref().unwrap_or_default());
    let kind = key.u8()?;
    if value.u8()? != VERSION {
        return Err(Malformed("version"));
    }
    let stored = match kind {
        USER => Stored::User {
            name: key.text()?,
            tags: {
                let count = value.length()?;
                (0..count).map(|_| value.text()).collect::<Result<_, _>>()?
            },
            credentials: credentials(&mut value)?,
        },
        PERMISSIONS => Stored::Permissions(Permissions {
            virtual_host: key.text()?,
            user: key.text()?,
            configure: value.text()?,
            write: value.text()?,
            read: value.text()?,
        }),
        TOPIC_PERMISSIONS => Stored::TopicPermissions(TopicPermissions {
            virtual_host: key.text()?,
            user: key.text()?,
            exchange: key.text()?,
            write: value.text()?,
            read: value.text()?,
        }),
        RULE => Stored::Rule(rule(&mut key)?),
        _ => return Err(Malformed("type")),
    };
    key.end()?;
    value.end()?;
    Ok(stored)
}

fn rule(key: &mut Fields<'_>) -> Result<Rule, Malformed> {
    Ok(Rule {
        principal: key.optional(Fields::text)?,
        virtual_host: key.text()?,
        resource: match key.u8()? {
            1 => ResourceKind::VirtualHost,
            2 => ResourceKind::Exchange,
            3 => ResourceKind::Queue,
            4 => ResourceKind::Topic,
            _ => return Err(Malformed("kind of resource")),
        },
        pattern: match key.u8()? {
            1 => Pattern::Literal(key.text()?),
            2 => Pattern::Prefix(key.text()?),
            3 => Pattern::Any,
            _ => return Err(Malformed("pattern")),
        },
        permission: match key.u8()? {
            0 => None,
            1 => Some(Permission::Configure),
            2 => Some(Permission::Write),
            3 => Some(Permission::Read),
            _ => return Err(Malformed("permission")),
        },
        effect: match key.u8()? {
            1 => Effect::Allow,
            2 => Effect::Deny,
            _ => return Err(Malformed("effect")),
        },
    })
}

fn credentials(value: &mut Fields<'_>) -> Result<Credentials, Malformed> {
    match value.u8()? {
        0 => Ok(Credentials::None),
        1 => Ok(Credentials::Name),
        2 => Ok(Credentials::Password(Box::new(Password {
            salt: value.array::<SALT_BYTES>()?,
            cost: Cost::new(value.u32()?, value.u32()?, value.u32()?).ok_or(Malformed("cost"))?,
            hash: value.array()?,
            sha256: scram(value)?,
            sha512: scram(value)?,
        }))),
        3 => {
            let digest = match value.u8()? {
                1 => ImportedDigest::Sha256,
                2 => ImportedDigest::Sha512,
                _ => return Err(Malformed("digest")),
            };
            let imported = Imported::new(digest, value.bytes()?);
            imported.map(Credentials::Imported).ok_or(Malformed("digest"))
        }
        _ => Err(Malformed("credentials")),
    }
}

fn scram<const N: usize>(value: &mut Fields<'_>) -> Result<Scram<N>, Malformed> {
    Ok(Scram {
        salt: value.array()?,
        iterations: value.u32()?,
        stored_key: value.array()?,
        server_key: value.array()?,
    })
}

#[cfg(test)]
mod tests;

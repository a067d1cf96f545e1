//! Which limit holds for whom. The most specific one, in this order, which is Apache Kafka's:
//!
//! ```text
//! user and client id | user and any client id | user | any user and client id | any user and any client id | any user
//! client id | any client id
//! ```
//!
//! Those of one line are counted together only where the limit is that of a user: each client id that has a limit has it
//! for itself, also where the limit is a default.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::{QuotaEntity, QuotaLimit, QuotaName};

/// Who is to be held to a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaSubject<'a> {
    Client { user: &'a str, client_id: &'a str },
    Ip(IpAddr),
}

/// Those that share one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Scope<'a> {
    User(&'a str),
    ClientId(&'a str),
    UserClientId(&'a str, &'a str),
    Ip(IpAddr),
}

/// The limits of one key.
#[derive(Debug, Default)]
pub(super) struct Limits {
    users: HashMap<Arc<str>, Level>,
    any_user: Level,
    /// Without regard to the user.
    clients: Level,
    ips: HashMap<IpAddr, QuotaLimit>,
    any_ip: Option<QuotaLimit>,
}

#[derive(Debug, Default)]
struct Level {
    client_ids: HashMap<Arc<str>, QuotaLimit>,
    any_client_id: Option<QuotaLimit>,
    /// Of all clients of a user together.
    whole: Option<QuotaLimit>,
}

impl Limits {
    pub(super) fn is_empty(&self) -> bool {
        let levels = [&self.any_user, &self.clients];
        self.users.is_empty()
            && levels.into_iter().all(Level::is_empty)
            && self.ips.is_empty()
            && self.any_ip.is_none()
    }

    pub(super) fn set(&mut self, entity: &QuotaEntity, limit: Option<QuotaLimit>) {
        match entity {
            QuotaEntity::User(user) => self.set_of_user(user, |level| level.whole = limit),
            QuotaEntity::UserClientId(user, client_id) => {
                self.set_of_user(user, |level| level.set(client_id, limit));
            }
            QuotaEntity::ClientId(client_id) => self.clients.set(client_id, limit),
            QuotaEntity::Ip(None) => self.any_ip = limit,
            QuotaEntity::Ip(Some(ip)) => put(&mut self.ips, *ip, limit),
        }
    }

    fn set_of_user(&mut self, user: &QuotaName, set: impl FnOnce(&mut Level)) {
        match user {
            QuotaName::Default => set(&mut self.any_user),
            QuotaName::Named(name) => {
                let level = self.users.entry(name.clone()).or_default();
                set(level);
                if level.is_empty() {
                    self.users.remove(name);
                }
            }
        }
    }

    pub(super) fn find<'a>(&self, subject: QuotaSubject<'a>) -> Option<(QuotaLimit, Scope<'a>)> {
        let (user, client_id) = match subject {
            QuotaSubject::Client { user, client_id } => (user, client_id),
            QuotaSubject::Ip(ip) => {
                let limit = self.ips.get(&ip).copied().or(self.any_ip)?;
                return Some((limit, Scope::Ip(ip)));
            }
        };
        for level in [self.users.get(user), Some(&self.any_user)].into_iter().flatten() {
            if let Some(limit) = level.of_client_id(client_id) {
                return Some((limit, Scope::UserClientId(user, client_id)));
            }
            if let Some(limit) = level.whole {
                return Some((limit, Scope::User(user)));
            }
        }
        let limit = self.clients.of_client_id(client_id)?;
        Some((limit, Scope::ClientId(client_id)))
    }
}

impl Level {
    fn is_empty(&self) -> bool {
        self.client_ids.is_empty() && self.any_client_id.is_none() && self.whole.is_none()
    }

    fn set(&mut self, client_id: &QuotaName, limit: Option<QuotaLimit>) {
        match client_id {
            QuotaName::Default => self.any_client_id = limit,
            QuotaName::Named(name) => put(&mut self.client_ids, name.clone(), limit),
        }
    }

    fn of_client_id(&self, client_id: &str) -> Option<QuotaLimit> {
        self.client_ids.get(client_id).copied().or(self.any_client_id)
    }
}

fn put<K: std::hash::Hash + Eq>(limits: &mut HashMap<K, QuotaLimit>, key: K, limit: Option<QuotaLimit>) {
    match limit {
        Some(limit) => _ = limits.insert(key, limit),
        None => _ = limits.remove(&key),
    }
}

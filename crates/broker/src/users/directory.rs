//! All users and what they may do: a state machine without a clock, a lock or a log.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

use super::account::{Account, DEFAULT_USER, Identity, Permissions, TopicPermissions};
use super::credentials::Credentials;
use super::record::{Removed, Stored};
use crate::authorizer::Rules;

/// By user, then by virtual host: what goes with a user lies together.
type PermissionsKey = (Arc<str>, Arc<str>);
type TopicPermissionsKey = (Arc<str>, Arc<str>, Arc<str>);

#[derive(Debug, Default)]
pub(crate) struct Directory {
    pub(crate) accounts: BTreeMap<Arc<str>, Arc<Account>>,
    permissions: BTreeMap<PermissionsKey, Permissions>,
    topic_permissions: BTreeMap<TopicPermissionsKey, TopicPermissions>,
    pub(crate) rules: Rules,
}

impl Directory {
    pub(crate) fn account(&self, name: &str) -> Option<&Arc<Account>> {
        self.accounts.get(name)
    }

    pub(crate) fn permissions_of(&self, user: &Arc<str>, virtual_host: &str) -> Option<&Permissions> {
        self.permissions.get(&(user.clone(), Arc::from(virtual_host)))
    }

    pub(crate) fn topic_permissions_of(
        &self,
        user: &Arc<str>,
        virtual_host: &str,
        exchange: &str,
    ) -> Option<&TopicPermissions> {
        let key = (user.clone(), Arc::from(virtual_host), Arc::from(exchange));
        self.topic_permissions.get(&key)
    }

    pub(crate) fn permissions(&self) -> impl Iterator<Item = &Permissions> {
        self.permissions.values()
    }

    pub(crate) fn topic_permissions(&self) -> impl Iterator<Item = &TopicPermissions> {
        self.topic_permissions.values()
    }

    /// How many records there are beside those of users.
    pub(crate) fn grants(&self) -> usize {
        let permissions = self
            .permissions
            .len()
            .saturating_add(self.topic_permissions.len());
        permissions.saturating_add(self.rules.len())
    }

    pub(crate) fn apply(&mut self, stored: Stored) {
        match stored {
            Stored::User {
                name,
                tags,
                credentials,
            } => self.put_account(name, tags, credentials),
            Stored::Permissions(permissions) => {
                let key = (permissions.user.clone(), permissions.virtual_host.clone());
                self.permissions.insert(key, permissions);
            }
            Stored::TopicPermissions(permissions) => {
                let key = (
                    permissions.user.clone(),
                    permissions.virtual_host.clone(),
                    permissions.exchange.clone(),
                );
                self.topic_permissions.insert(key, permissions);
            }
            Stored::Rule(rule) => self.rules.add(rule),
        }
    }

    pub(crate) fn remove(&mut self, removed: &Removed) {
        match removed {
            Removed::User(name) => {
                if let Some(account) = self.accounts.remove(name) {
                    account.identity.deleted.send_replace(true);
                }
            }
            Removed::Permissions { virtual_host, user } => {
                self.permissions.remove(&(user.clone(), virtual_host.clone()));
            }
            Removed::TopicPermissions {
                virtual_host,
                user,
                exchange,
            } => {
                let key = (user.clone(), virtual_host.clone(), exchange.clone());
                self.topic_permissions.remove(&key);
            }
            Removed::Rule(rule) => self.rules.remove(rule),
        }
    }

    /// Who has logged in as a user stays that when the user is changed.
    fn put_account(&mut self, name: Arc<str>, tags: Arc<[Arc<str>]>, credentials: Credentials) {
        let known = self.accounts.get(&name).map(|account| account.identity.clone());
        let identity = known.unwrap_or_else(|| {
            Arc::new(Identity {
                name: name.clone(),
                deleted: watch::Sender::new(false),
            })
        });
        let account = Account {
            identity,
            tags,
            credentials,
            verified: OnceLock::new(),
        };
        self.accounts.insert(name, Arc::new(account));
    }
}

/// What there is before anything was changed. It is stored with the first change.
pub(crate) fn defaults() -> [Stored; 2] {
    let user: Arc<str> = DEFAULT_USER.into();
    let all: Arc<str> = ".*".into();
    let permissions = Permissions {
        virtual_host: "/".into(),
        user: user.clone(),
        configure: all.clone(),
        write: all.clone(),
        read: all,
    };
    let account = Stored::User {
        name: user,
        tags: [super::account::ADMINISTRATOR.into()].into(),
        credentials: Credentials::Name,
    };
    [account, Stored::Permissions(permissions)]
}

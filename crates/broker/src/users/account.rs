//! What is known about a user, and what users may do.

use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

use super::credentials::Credentials;

/// The tag of those who may do everything in the administration.
pub const ADMINISTRATOR: &str = "administrator";
/// The user that exists from the first start, with its name as the password. It may connect over loopback alone.
pub const DEFAULT_USER: &str = "guest";

/// A user, as administration sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub name: Arc<str>,
    /// In the order in which they were given.
    pub tags: Arc<[Arc<str>]>,
    /// Without one nobody can log in as this user by password.
    pub has_password: bool,
}

/// What a user may do in a virtual host: a regular expression each, of the names of exchanges and queues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    pub virtual_host: Arc<str>,
    pub user: Arc<str>,
    pub configure: Arc<str>,
    pub write: Arc<str>,
    pub read: Arc<str>,
}

/// With which routing keys a user may publish to a topic exchange, and bind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPermissions {
    pub virtual_host: Arc<str>,
    pub user: Arc<str>,
    pub exchange: Arc<str>,
    pub write: Arc<str>,
    pub read: Arc<str>,
}

/// Somebody who has logged in. It is worth nothing any more when the user is deleted, also if one of the same name is created.
#[derive(Clone, Debug)]
pub struct Principal {
    pub(crate) identity: Arc<Identity>,
}

impl Principal {
    pub fn name(&self) -> &Arc<str> {
        &self.identity.name
    }

    /// Becomes true when the user is deleted: its connections are to be closed then.
    pub fn deleted(&self) -> watch::Receiver<bool> {
        self.identity.deleted.subscribe()
    }
}

/// Lasts from the creation of a user to its deletion. Two are the same if they are the same object.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) name: Arc<str>,
    pub(crate) deleted: watch::Sender<bool>,
}

/// A user, as the store has it.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) identity: Arc<Identity>,
    pub(crate) tags: Arc<[Arc<str>]>,
    pub(crate) credentials: Credentials,
    /// A keyed digest of the password, once it was checked. It goes with this object, as every change of the user makes a new one.
    pub(crate) verified: OnceLock<u128>,
}

impl Account {
    pub(crate) fn user(&self) -> User {
        User {
            name: self.identity.name.clone(),
            tags: self.tags.clone(),
            has_password: !matches!(self.credentials, Credentials::None),
        }
    }
}

//! Who may do what. Every path of every protocol asks here, with an [`Operation`], before it does something for a client.
//!
//! A user may do what its permissions in the virtual host say, or what a [`Rule`] allows; what a rule denies it may not, whatever
//! allows it. What passes a topic exchange needs a permission for its routing key besides, if the user has topic permissions for
//! that exchange.
//!
//! A connection asks its own [`Access`], which remembers a few answers for as long as nothing changes. Every change of users,
//! permissions or rules makes all of them ask again, so what is revoked is revoked at once. Who wants to hear of that, as it still
//! delivers what was allowed before, watches [`Authorizer::changes`].

mod expressions;
mod operation;
mod rules;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

pub use self::expressions::InvalidExpression;
pub(crate) use self::expressions::{Expressions, Variables, validate};
pub use self::operation::{Destination, Needs, Operation, Passage, Permission, Resource};
pub(crate) use self::rules::Rules;
pub use self::rules::{Effect, Pattern, ResourceKind, Rule};
use crate::users::{Directory, Principal, Store};

/// The name by which permissions call the default exchange, which has none.
const DEFAULT_EXCHANGE: &str = "amq.default";
/// Answers that a connection remembers. RabbitMQ's channels have 12.
const REMEMBERED_MAX: usize = 16;

/// Decides; clones share it.
#[derive(Clone)]
pub struct Authorizer {
    store: Arc<Store>,
}

impl fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorizer").finish_non_exhaustive()
    }
}

/// Somebody may not do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    pub user: Arc<str>,
    pub virtual_host: Arc<str>,
    pub permission: Permission,
    pub resource: OwnedResource,
}

/// What was asked for, named as the client named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnedResource {
    VirtualHost,
    Exchange(String),
    Queue(String),
    Topic(String),
    RoutingKey { exchange: String, key: Vec<u8> },
}

/// The words are RabbitMQ's.
impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Denied {
            user,
            virtual_host,
            permission: _,
            resource,
        } = self;
        let within = |kind: &str, name: &str| format!("{kind} '{name}' in vhost '{virtual_host}'");
        match resource {
            OwnedResource::VirtualHost => write!(f, "access to vhost '{virtual_host}'")?,
            OwnedResource::Exchange(name) if name.is_empty() => {
                write!(f, "access to {}", within("exchange", DEFAULT_EXCHANGE))?;
            }
            OwnedResource::Exchange(name) => write!(f, "access to {}", within("exchange", name))?,
            OwnedResource::Queue(name) => write!(f, "access to {}", within("queue", name))?,
            OwnedResource::Topic(name) => write!(f, "access to {}", within("topic", name))?,
            OwnedResource::RoutingKey { exchange, key } => {
                let key = String::from_utf8_lossy(key);
                write!(f, "access to topic '{key}' in {}", within("exchange", exchange))?;
            }
        }
        write!(f, " refused for user '{user}'")
    }
}

impl std::error::Error for Denied {}

impl Authorizer {
    pub(crate) fn new(store: Arc<Store>) -> Authorizer {
        Authorizer { store }
    }

    /// What a connection asks, for one user and one virtual host. Whether it may work there at all is a question, too
    /// ([`Operation::Open`]).
    pub fn access(&self, principal: &Principal, virtual_host: &str) -> Access {
        Access {
            authorizer: self.clone(),
            principal: principal.clone(),
            virtual_host: virtual_host.into(),
            client_id: None,
            generation: u64::MAX,
            remembered: Vec::new(),
        }
    }

    /// A number that changes with everything that may change an answer.
    pub fn generation(&self) -> u64 {
        self.store.changes.generation.load(Ordering::Acquire)
    }

    /// As [`Authorizer::generation`], for who waits for a change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.store.changes.told.subscribe()
    }

    /// Whether the user who logged in is still there.
    pub fn is_known(&self, principal: &Principal) -> bool {
        is_known(&self.store.read(), principal)
    }

    /// Whether the user has a tag now.
    pub fn has_tag(&self, principal: &Principal, tag: &str) -> bool {
        let directory = self.store.read();
        is_known(&directory, principal)
            && directory
                .account(principal.name())
                .is_some_and(|account| account.tags.iter().any(|has| **has == *tag))
    }

    fn is_allowed(&self, access: &Access, permission: Permission, resource: &Resource<'_>) -> bool {
        // Nothing is compiled or matched under the lock.
        let answer = decide(&self.store.read(), access, permission, resource);
        match answer {
            Answer::Allowed => true,
            Answer::Denied => false,
            Answer::Matching(expression) => {
                let (is_key, text) = match *resource {
                    Resource::VirtualHost => return false,
                    Resource::Exchange("") => (false, DEFAULT_EXCHANGE.as_bytes()),
                    Resource::Exchange(name) | Resource::Queue(name) | Resource::Topic(name) => {
                        (false, name.as_bytes())
                    }
                    Resource::RoutingKey { key, .. } => (true, key),
                };
                let variables = is_key.then(|| access.variables());
                self.store
                    .expressions
                    .is_match(&expression, variables.as_ref(), text)
            }
        }
    }
}

enum Answer {
    Allowed,
    Denied,
    /// If what is asked for matches the expression.
    Matching(Arc<str>),
}

fn decide(directory: &Directory, access: &Access, permission: Permission, resource: &Resource<'_>) -> Answer {
    if !is_known(directory, &access.principal) {
        return Answer::Denied;
    }
    let (user, virtual_host) = (access.principal.name(), &*access.virtual_host);
    match directory.rules.effect(user, virtual_host, permission, resource) {
        Some(Effect::Deny) => return Answer::Denied,
        Some(Effect::Allow) => return Answer::Allowed,
        None => {}
    }
    if let Resource::RoutingKey { exchange, .. } = resource {
        let permissions = directory.topic_permissions_of(user, virtual_host, exchange);
        return match (permissions, permission) {
            // Who has no topic permissions for an exchange may use all keys.
            (None, _) => Answer::Allowed,
            (Some(permissions), Permission::Write) => Answer::Matching(permissions.write.clone()),
            (Some(permissions), Permission::Read) => Answer::Matching(permissions.read.clone()),
            // No operation asks for it.
            (Some(_), Permission::Configure) => Answer::Denied,
        };
    }
    match (directory.permissions_of(user, virtual_host), resource, permission) {
        (None, _, _) => Answer::Denied,
        // Who has any permissions in a virtual host may open it.
        (Some(_), Resource::VirtualHost, _) => Answer::Allowed,
        (Some(permissions), _, Permission::Configure) => Answer::Matching(permissions.configure.clone()),
        (Some(permissions), _, Permission::Write) => Answer::Matching(permissions.write.clone()),
        (Some(permissions), _, Permission::Read) => Answer::Matching(permissions.read.clone()),
    }
}

fn is_known(directory: &Directory, principal: &Principal) -> bool {
    let account = directory.account(principal.name());
    account.is_some_and(|account| Arc::ptr_eq(&account.identity, &principal.identity))
}

/// What a connection asks. It remembers what was allowed until something changes.
#[derive(Clone, Debug)]
pub struct Access {
    authorizer: Authorizer,
    principal: Principal,
    virtual_host: Arc<str>,
    client_id: Option<Arc<str>>,
    generation: u64,
    /// The newest answer last.
    remembered: Vec<(Permission, OwnedResource)>,
}

impl Access {
    /// What `{client_id}` in topic permissions stands for. It is put in as a literal.
    pub fn with_client_id(mut self, client_id: &str) -> Access {
        self.client_id = Some(client_id.into());
        self.remembered.clear();
        self
    }

    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    pub fn virtual_host(&self) -> &Arc<str> {
        &self.virtual_host
    }

    fn variables(&self) -> Variables<'_> {
        Variables {
            username: self.principal.name(),
            vhost: &self.virtual_host,
            client_id: self.client_id.as_deref(),
        }
    }

    /// Whether the operation may be done now.
    pub fn authorize(&mut self, operation: &Operation<'_>) -> Result<(), Denied> {
        // It is read first: what changes after it makes this answer forgotten, although it may know of the change already.
        let generation = self.authorizer.generation();
        if self.generation != generation {
            self.generation = generation;
            self.remembered.clear();
        }
        operation
            .needs()
            .into_iter()
            .try_for_each(|(permission, resource)| self.need(permission, &resource))
    }

    fn need(&mut self, permission: Permission, resource: &Resource<'_>) -> Result<(), Denied> {
        let is_remembered =
            |(allowed, to): &(Permission, OwnedResource)| *allowed == permission && to.is(resource);
        if self.remembered.iter().rev().any(is_remembered) {
            return Ok(());
        }
        if !self.authorizer.is_allowed(self, permission, resource) {
            return Err(Denied {
                user: self.principal.name().clone(),
                virtual_host: self.virtual_host.clone(),
                permission,
                resource: OwnedResource::from(resource),
            });
        }
        if self.remembered.len() >= REMEMBERED_MAX {
            self.remembered.remove(0);
        }
        self.remembered.push((permission, OwnedResource::from(resource)));
        Ok(())
    }
}

impl OwnedResource {
    fn is(&self, resource: &Resource<'_>) -> bool {
        match (self, resource) {
            (OwnedResource::VirtualHost, Resource::VirtualHost) => true,
            (OwnedResource::Exchange(a), Resource::Exchange(b))
            | (OwnedResource::Queue(a), Resource::Queue(b))
            | (OwnedResource::Topic(a), Resource::Topic(b)) => a == b,
            (
                OwnedResource::RoutingKey { exchange, key },
                Resource::RoutingKey {
                    exchange: of,
                    key: with,
                },
            ) => exchange == of && key == with,
            _ => false,
        }
    }
}

impl From<&Resource<'_>> for OwnedResource {
    fn from(resource: &Resource<'_>) -> OwnedResource {
        match *resource {
            Resource::VirtualHost => OwnedResource::VirtualHost,
            Resource::Exchange(name) => OwnedResource::Exchange(name.to_owned()),
            Resource::Queue(name) => OwnedResource::Queue(name.to_owned()),
            Resource::Topic(name) => OwnedResource::Topic(name.to_owned()),
            Resource::RoutingKey { exchange, key } => OwnedResource::RoutingKey {
                exchange: exchange.to_owned(),
                key: key.to_vec(),
            },
        }
    }
}

/// Tells that answers may be others now.
#[derive(Debug)]
pub(crate) struct Changes {
    generation: AtomicU64,
    told: watch::Sender<u64>,
}

impl Default for Changes {
    fn default() -> Changes {
        Changes {
            generation: AtomicU64::new(0),
            told: watch::Sender::new(0),
        }
    }
}

impl Changes {
    /// Called when what changed can be seen.
    pub(crate) fn tell(&self) {
        let before = self.generation.fetch_add(1, Ordering::AcqRel);
        self.told.send_replace(before.wrapping_add(1));
    }
}

#[cfg(test)]
mod tests;

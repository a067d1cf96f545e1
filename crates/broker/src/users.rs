//! The users of all protocols, and what they may do: one store, in a log of its own.
//!
//! ```text
//! administration -- change --> Directory --> records --> the log of users --> commit
//! protocol -- authenticate --> Guard (back-off) --> hashing, a few at a time --> Principal
//! protocol -- Operation --> Authorizer --> Directory
//! ```
//!
//! - A change appends its records under the lock, holds at once, and is answered when they are durable.
//! - The default user exists from the first start. Nothing is stored before the first change, which then stores it, too: so its
//!   deletion lasts.
//! - A password is hashed on a blocking thread, a few at a time. What was found right is remembered by a keyed digest as long as the
//!   user is not changed, so that clients which connect again cost nothing.
//! - Who is not known costs as much time as a wrong password, and gets the same answer.

mod account;
mod authentication;
mod credentials;
mod directory;
mod guard;
mod origin;
pub(crate) mod record;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub use self::account::{ADMINISTRATOR, DEFAULT_USER, Permissions, Principal, TopicPermissions, User};
use self::authentication::Hashing;
pub use self::authentication::Refused;
use self::credentials::Credentials;
pub use self::credentials::{Imported, ImportedDigest};
pub(crate) use self::directory::Directory;
use self::directory::defaults;
use self::guard::Guard;
pub use self::origin::Origin;
use self::record::{Removed, Stored};
use crate::authorizer::{Authorizer, Changes, Expressions, InvalidExpression, Rule, Variables, validate};
use crate::{Commit, Environment, Error, StateError, StateLog, StateRecord};

/// Bytes of the name of a user, as of other names.
pub const USER_NAME_BYTES_MAX: usize = 255;
/// Bytes of a password.
pub const PASSWORD_BYTES_MAX: usize = 4096;
/// Users in the store.
pub const USERS_MAX: usize = 100_000;
/// Permissions, topic permissions and rules in the store.
pub const GRANTS_MAX: usize = 1_000_000;
const TAGS_MAX: usize = 64;
const TAG_BYTES_MAX: usize = 255;

/// The store of users; clones share it.
#[derive(Clone)]
pub struct Users {
    store: Arc<Store>,
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users").finish_non_exhaustive()
    }
}

/// What the store and the authorizer share.
pub(crate) struct Store {
    log: StateLog,
    environment: Environment,
    directory: RwLock<Directory>,
    /// Of the newest record. It is locked inside the directory's lock.
    commit: Mutex<Commit>,
    pub(crate) changes: Changes,
    pub(crate) expressions: Expressions,
    hashing: Hashing,
    guard: Guard,
}

/// What becomes of a user's password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasswordChange {
    /// It stays. A user who is new has none.
    Keep,
    /// Nobody can log in by password.
    Remove,
    Set(NewPassword),
    Import(Imported),
}

/// A password, which is shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct NewPassword(Vec<u8>);

impl NewPassword {
    pub fn new(password: impl Into<Vec<u8>>) -> NewPassword {
        NewPassword(password.into())
    }
}

impl fmt::Debug for NewPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewPassword")
    }
}

/// Why users or permissions could not be changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsersError {
    #[error("the name of a user has 1 to {USER_NAME_BYTES_MAX} bytes, and no control characters")]
    InvalidName,
    #[error("a password has 1 to {PASSWORD_BYTES_MAX} bytes")]
    InvalidPassword,
    #[error("a user has at most {TAGS_MAX} tags of 1 to {TAG_BYTES_MAX} bytes")]
    InvalidTags,
    #[error("user '{0}' does not exist")]
    UnknownUser(String),
    #[error(transparent)]
    InvalidExpression(#[from] InvalidExpression),
    #[error("there may be {USERS_MAX} users, and {GRANTS_MAX} permissions and rules")]
    TooMany,
    /// Retry later: space may have been freed.
    #[error("the disk is full")]
    Full,
    /// Whether the change was made durable is not known.
    #[error("the storage has failed")]
    Failed,
}

impl From<StateError> for UsersError {
    fn from(error: StateError) -> UsersError {
        match error {
            StateError::Full => UsersError::Full,
            StateError::TooLarge { .. } => UsersError::TooMany,
            StateError::Failed => UsersError::Failed,
        }
    }
}

impl Users {
    pub(crate) fn state_log(&self) -> &StateLog {
        &self.store.log
    }

    /// The users as the log has them.
    ///
    /// # Errors
    /// A record cannot be read.
    pub(crate) fn open(log: StateLog, environment: Environment) -> Result<Users, Error> {
        let mut directory = Directory::default();
        if log.is_new() {
            defaults().into_iter().for_each(|stored| directory.apply(stored));
        }
        for replayed in log.take_replayed() {
            let stored = record::decode(&replayed.record).map_err(|what| log.unreadable(&replayed, what))?;
            directory.apply(stored);
        }
        let store = Store {
            hashing: Hashing::new(&environment),
            guard: Guard::new(&environment),
            log,
            environment,
            directory: RwLock::new(directory),
            commit: Mutex::new(Commit::done()),
            changes: Changes::default(),
            expressions: Expressions::default(),
        };
        Ok(Users {
            store: Arc::new(store),
        })
    }

    /// Who decides what users may do.
    pub fn authorizer(&self) -> Authorizer {
        Authorizer::new(self.store.clone())
    }

    /// Of the newest change: an answer that says what there is waits for it.
    pub fn commit(&self) -> Commit {
        self.store.newest()
    }

    pub fn user(&self, name: &str) -> Option<User> {
        self.store.read().account(name).map(|account| account.user())
    }

    /// All users, sorted by name.
    pub fn users(&self) -> Vec<User> {
        self.store
            .read()
            .accounts
            .values()
            .map(|account| account.user())
            .collect()
    }

    /// Creates a user or changes one. `tags` stay as they are where there are none given. Returns whether the user is new.
    pub async fn put(
        &self,
        name: &str,
        password: PasswordChange,
        tags: Option<Vec<String>>,
    ) -> Result<bool, UsersError> {
        validate_name(name)?;
        let tags = tags.map(validate_tags).transpose()?;
        let credentials = match password {
            PasswordChange::Keep => None,
            PasswordChange::Remove => Some(Credentials::None),
            PasswordChange::Import(imported) => Some(Credentials::Imported(imported)),
            PasswordChange::Set(NewPassword(password)) => {
                if password.is_empty() || password.len() > PASSWORD_BYTES_MAX {
                    return Err(UsersError::InvalidPassword);
                }
                Some(self.store.hashing.make(password).await)
            }
        };
        let (is_new, commit) = self.store.change(|directory| {
            let known = directory.account(name);
            if known.is_none() && directory.accounts.len() >= USERS_MAX {
                return Err(UsersError::TooMany);
            }
            let kept = known.map(|account| account.credentials.clone());
            let had = known.map(|account| account.tags.clone());
            let user = Stored::User {
                name: name.into(),
                tags: tags.or(had).unwrap_or_default(),
                credentials: credentials.or(kept).unwrap_or(Credentials::None),
            };
            Ok((known.is_none(), vec![Change::Put(user)]))
        })?;
        wait(commit).await?;
        Ok(is_new)
    }

    /// Deletes a user and its permissions. Rules stay, as they may be of a user who is yet to come.
    pub async fn delete(&self, name: &str) -> Result<(), UsersError> {
        let ((), commit) = self.store.change(|directory| {
            known(directory, name)?;
            let permissions = directory.permissions().filter(|of| *of.user == *name);
            let topics = directory.topic_permissions().filter(|of| *of.user == *name);
            let mut changes = vec![Change::Remove(Removed::User(name.into()))];
            changes.extend(permissions.map(remove_permissions));
            changes.extend(topics.map(remove_topic_permissions));
            Ok(((), changes))
        })?;
        wait(commit).await
    }

    /// All permissions, sorted by user.
    pub fn permissions(&self) -> Vec<Permissions> {
        self.store.read().permissions().cloned().collect()
    }

    /// All topic permissions, sorted by user.
    pub fn topic_permissions(&self) -> Vec<TopicPermissions> {
        self.store.read().topic_permissions().cloned().collect()
    }

    /// Gives a user other permissions in a virtual host, which the caller knows to exist. Returns whether it had none.
    pub async fn set_permissions(&self, permissions: Permissions) -> Result<bool, UsersError> {
        for expression in [&permissions.configure, &permissions.write, &permissions.read] {
            validate(expression, None)?;
        }
        let (is_new, commit) = self.store.change(|directory| {
            known(directory, &permissions.user)?;
            let had = directory.permissions_of(&permissions.user, &permissions.virtual_host);
            let is_new = had.is_none();
            room(directory, is_new)?;
            Ok((is_new, vec![Change::Put(Stored::Permissions(permissions))]))
        })?;
        wait(commit).await?;
        Ok(is_new)
    }

    /// Returns whether there were any.
    pub async fn clear_permissions(&self, virtual_host: &str, user: &str) -> Result<bool, UsersError> {
        self.remove_all(|directory| {
            let of_user = directory.permissions().filter(|of| *of.user == *user);
            let found = of_user.filter(|of| *of.virtual_host == *virtual_host);
            found.map(remove_permissions).collect()
        })
        .await
    }

    /// Gives a user other topic permissions for an exchange. Returns whether it had none.
    pub async fn set_topic_permissions(&self, permissions: TopicPermissions) -> Result<bool, UsersError> {
        // What variables stand for may be anything; an expression has to be one whatever that is.
        let variables = Variables {
            username: "",
            vhost: "",
            client_id: Some(""),
        };
        for expression in [&permissions.write, &permissions.read] {
            validate(expression, Some(&variables))?;
        }
        let (is_new, commit) = self.store.change(|directory| {
            known(directory, &permissions.user)?;
            let TopicPermissions {
                virtual_host,
                user,
                exchange,
                ..
            } = &permissions;
            let is_new = directory
                .topic_permissions_of(user, virtual_host, exchange)
                .is_none();
            room(directory, is_new)?;
            Ok((is_new, vec![Change::Put(Stored::TopicPermissions(permissions))]))
        })?;
        wait(commit).await?;
        Ok(is_new)
    }

    /// For one exchange, or for all. Returns whether there were any.
    pub async fn clear_topic_permissions(
        &self,
        virtual_host: &str,
        user: &str,
        exchange: Option<&str>,
    ) -> Result<bool, UsersError> {
        self.remove_all(|directory| {
            let of_user = directory.topic_permissions().filter(|of| *of.user == *user);
            let found = of_user.filter(|of| {
                *of.virtual_host == *virtual_host && exchange.is_none_or(|exchange| *of.exchange == *exchange)
            });
            found.map(remove_topic_permissions).collect()
        })
        .await
    }

    /// What belongs to a virtual host goes with it: a new one of the same name is another.
    pub async fn forget_virtual_host(&self, virtual_host: &str) -> Result<(), UsersError> {
        self.remove_all(|directory| {
            let permissions = directory
                .permissions()
                .filter(|of| *of.virtual_host == *virtual_host);
            let topics = directory
                .topic_permissions()
                .filter(|of| *of.virtual_host == *virtual_host);
            let rules = directory
                .rules
                .iter()
                .filter(|rule| *rule.virtual_host == *virtual_host);
            let permissions = permissions.map(remove_permissions);
            let topics = topics.map(remove_topic_permissions);
            let rules = rules.map(|rule| Change::Remove(Removed::Rule(rule.clone())));
            permissions.chain(topics).chain(rules).collect()
        })
        .await
        .map(|_| ())
    }

    /// All access rules.
    pub fn rules(&self) -> Vec<Rule> {
        self.store.read().rules.iter().cloned().collect()
    }

    /// Returns whether the rule is new.
    pub async fn add_rule(&self, rule: Rule) -> Result<bool, UsersError> {
        let (is_new, commit) = self.store.change(|directory| {
            if directory.rules.contains(&rule) {
                return Ok((false, Vec::new()));
            }
            room(directory, true)?;
            Ok((true, vec![Change::Put(Stored::Rule(rule))]))
        })?;
        wait(commit).await?;
        Ok(is_new)
    }

    /// Returns whether there was such a rule.
    pub async fn remove_rule(&self, rule: &Rule) -> Result<bool, UsersError> {
        self.remove_all(|directory| {
            let found = directory.rules.contains(rule);
            found
                .then(|| Change::Remove(Removed::Rule(rule.clone())))
                .into_iter()
                .collect()
        })
        .await
    }

    async fn remove_all(&self, find: impl FnOnce(&Directory) -> Vec<Change>) -> Result<bool, UsersError> {
        let (found, commit) = self.store.change(|directory| {
            let changes = find(directory);
            Ok((!changes.is_empty(), changes))
        })?;
        wait(commit).await?;
        Ok(found)
    }
}

/// What changes in the directory and in the log.
enum Change {
    Put(Stored),
    Remove(Removed),
}

impl Change {
    fn record(&self) -> StateRecord {
        match self {
            Change::Put(stored) => record::stored(stored),
            Change::Remove(removed) => record::removed(removed),
        }
    }
}

impl Store {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Directory> {
        self.directory.read().unwrap_or_else(|_| half_changed())
    }

    fn write(&self) -> RwLockWriteGuard<'_, Directory> {
        self.directory.write().unwrap_or_else(|_| half_changed())
    }

    /// Of the newest record: what an answer waits for that rests on what the directory says.
    fn newest(&self) -> Commit {
        self.commit.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stores what `f` finds to be changed, whole or not at all, and has it hold. Where nothing is to be changed, the commit is that
    /// of the newest change, since what was found may rest on it.
    fn change<T>(
        &self,
        f: impl FnOnce(&Directory) -> Result<(T, Vec<Change>), UsersError>,
    ) -> Result<(T, Commit), UsersError> {
        let mut directory = self.write();
        let (found, changes) = f(&directory)?;
        if changes.is_empty() {
            return Ok((found, self.newest()));
        }
        let defaults = match self.log.is_new() {
            true => defaults().iter().map(record::stored).collect(),
            false => Vec::new(),
        };
        let records: Vec<_> = defaults
            .into_iter()
            .chain(changes.iter().map(Change::record))
            .collect();
        let commit = self.log.append(&records, self.environment.clock.wall_ms())?;
        for change in changes {
            match change {
                Change::Put(stored) => directory.apply(stored),
                Change::Remove(removed) => directory.remove(&removed),
            }
        }
        self.commit
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone_from(&commit);
        drop(directory);
        self.changes.tell();
        Ok((found, commit))
    }
}

async fn wait(commit: Commit) -> Result<(), UsersError> {
    commit.await.map_err(|_| UsersError::Failed)
}

fn known(directory: &Directory, user: &str) -> Result<(), UsersError> {
    match directory.account(user) {
        Some(_) => Ok(()),
        None => Err(UsersError::UnknownUser(user.to_owned())),
    }
}

fn room(directory: &Directory, is_new: bool) -> Result<(), UsersError> {
    match is_new && directory.grants() >= GRANTS_MAX {
        true => Err(UsersError::TooMany),
        false => Ok(()),
    }
}

fn remove_permissions(of: &Permissions) -> Change {
    Change::Remove(Removed::Permissions {
        virtual_host: of.virtual_host.clone(),
        user: of.user.clone(),
    })
}

fn remove_topic_permissions(of: &TopicPermissions) -> Change {
    Change::Remove(Removed::TopicPermissions {
        virtual_host: of.virtual_host.clone(),
        user: of.user.clone(),
        exchange: of.exchange.clone(),
    })
}

fn validate_name(name: &str) -> Result<(), UsersError> {
    let is_valid = (1..=USER_NAME_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control);
    is_valid.then_some(()).ok_or(UsersError::InvalidName)
}

/// Without those that are given twice.
fn validate_tags(given: Vec<String>) -> Result<Arc<[Arc<str>]>, UsersError> {
    let mut tags: Vec<Arc<str>> = Vec::new();
    for tag in given {
        let is_valid = (1..=TAG_BYTES_MAX).contains(&tag.len()) && !tag.chars().any(char::is_control);
        if !is_valid {
            return Err(UsersError::InvalidTags);
        }
        if !tags.iter().any(|has| **has == *tag) {
            tags.push(tag.into());
        }
    }
    match tags.len() > TAGS_MAX {
        true => Err(UsersError::InvalidTags),
        false => Ok(tags.into()),
    }
}

/// A panic left the store half changed. Who may do what is unknown, so the process ends and recovery takes over.
fn half_changed() -> ! {
    tracing::error!("a thread panicked while it changed users; aborting so that recovery takes over");
    std::process::abort()
}

#[cfg(test)]
mod tests;

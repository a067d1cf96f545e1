//! Virtual hosts, and what is declared in them: exchanges, queues and bindings.
//!
//! ```text
//! handler -- a change --> VirtualHost (its lock) --> records --> the topology's log --> commit
//!    ^                          |                                                         |
//!    |                          '--> Contents, at once                                    |
//!    '--------------------------- waits until it is durable ------------------------------'
//! ```
//!
//! - A change is decided under the lock of its virtual host, its records are appended there, so that the log has them in the
//!   order in which they took effect, and it is done at once. Every reply waits for the newest commit of what it rests on.
//! - What is not durable, and what belongs to one connection, is in memory alone: it touches no disk.
//! - A binding is stored if both of its ends are. It goes with either.
//! - Whether a client may do something is asked before, by the protocol; so is whether what is there is what was asked for.
//! - Streams are topics too. [`Broker`](crate::Broker) declares and deletes queues and deletes virtual hosts, since that
//!   may have to wait for topics.

mod binding;
mod bindings;
mod changes;
mod connection;
mod contents;
mod error;
mod exchange;
mod journal;
pub(crate) mod record;
mod replay;
mod streams;
mod virtual_host;

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use firth_log::Commit;

pub(crate) use self::binding::BindingDetails;
pub use self::binding::{Binding, Destination, NewBinding};
pub use self::connection::VirtualHostConnection;
pub(crate) use self::contents::Contents;
pub use self::error::TopologyError;
#[cfg(test)]
pub(crate) use self::exchange::predeclared;
pub use self::exchange::{DEFAULT_EXCHANGE, Exchange, ExchangeKind, HashOn, HashProperty, NewExchange};
use self::journal::Journal;
use self::record::Stored;
pub(crate) use self::replay::Replay;
pub use self::virtual_host::{Declared, DeletedQueue, VirtualHost, VirtualHostSettings};
use crate::queues::Queues;
use crate::router::HeaderMatch;
use crate::topics::Topics;
use crate::{StateError, StateLog, TopicId};

/// The virtual host that there is from the start.
pub const FIRST_VIRTUAL_HOST: &str = "/";
/// Bytes of a name or a key; protocols write their length into one byte.
pub const NAME_BYTES_MAX: usize = 255;
/// Bytes of the arguments of one declaration or binding.
pub const ARGUMENTS_BYTES_MAX: usize = 1024 * 1024;

/// All virtual hosts.
pub struct Topology {
    journal: Arc<Journal>,
    virtual_hosts: RwLock<BTreeMap<Arc<str>, Arc<VirtualHost>>>,
}

/// A virtual host that is there no more, and what was in it.
pub(crate) struct DeletedVirtualHost {
    virtual_host: Arc<VirtualHost>,
    contents: Contents,
    /// The reply waits for it.
    pub(crate) commit: Commit,
}

impl Topology {
    /// What `replay` says, but for what has lost what it rests on. That is removed from the log, too.
    pub(crate) fn open(
        replay: Replay,
        queues: Arc<Queues>,
        topics: Arc<Topics>,
    ) -> Result<Topology, StateError> {
        replay::open(replay, queues, topics)
    }

    pub(crate) fn state_log(&self) -> &StateLog {
        self.journal.state_log()
    }

    pub fn virtual_host(&self, name: &str) -> Option<Arc<VirtualHost>> {
        self.read().get(name).cloned()
    }

    /// All virtual hosts, sorted by name.
    pub fn virtual_hosts(&self) -> Vec<Arc<VirtualHost>> {
        self.read().values().cloned().collect()
    }

    /// Creates a virtual host, unless there is one of this name.
    pub fn create_virtual_host(
        &self,
        name: &str,
        settings: VirtualHostSettings,
    ) -> Result<Declared<VirtualHost>, TopologyError> {
        check_name("name of a virtual host", name)?;
        check_settings(&settings)?;
        let mut virtual_hosts = self.write();
        if let Some(known) = virtual_hosts.get(name) {
            return Ok(Declared {
                item: known.clone(),
                is_new: false,
                commit: known.commit(),
            });
        }
        let id = self.journal.virtual_host_id()?;
        let name: Arc<str> = name.into();
        let stored = Stored::VirtualHost(id, name.clone(), settings.clone());
        let commit = self.journal.append(&[stored.record()])?;
        let virtual_host = Arc::new(VirtualHost::new(id, name.clone(), settings, self.journal.clone()));
        virtual_hosts.insert(name, virtual_host.clone());
        Ok(Declared {
            item: virtual_host,
            is_new: true,
            commit,
        })
    }

    /// Deletes a virtual host. Its connections are told; what was in it is to be forgotten.
    pub(crate) fn delete_virtual_host(&self, name: &str) -> Result<DeletedVirtualHost, TopologyError> {
        self.journal.found()?;
        let mut virtual_hosts = self.write();
        let unknown = || TopologyError::UnknownVirtualHost(name.to_owned());
        let virtual_host = virtual_hosts.get(name).cloned().ok_or_else(unknown)?;
        let (contents, commit) = virtual_host.close()?;
        virtual_hosts.remove(name);
        Ok(DeletedVirtualHost {
            virtual_host,
            contents,
            commit,
        })
    }

    /// Removes the streams and the bindings that rest on a topic which was deleted.
    pub(crate) fn topic_deleted(&self, id: TopicId, name: &str) -> Result<Commit, TopologyError> {
        let mut newest = Commit::done();
        for virtual_host in self.virtual_hosts() {
            if let Some(commit) = virtual_host.topic_deleted(id, name)? {
                newest = commit;
            }
        }
        Ok(newest)
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<Arc<str>, Arc<VirtualHost>>> {
        self.virtual_hosts.read().unwrap_or_else(|_| half_changed())
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<Arc<str>, Arc<VirtualHost>>> {
        self.virtual_hosts.write().unwrap_or_else(|_| half_changed())
    }
}

impl DeletedVirtualHost {
    /// Closes all queues that were in it, and removes what is stored of it. Nobody waits for that: an id of a virtual host is
    /// never given again, so it means nothing. Returns the topics of its streams.
    ///
    /// With very many queues it takes long.
    pub(crate) fn forget(self) -> Result<Vec<TopicId>, TopologyError> {
        self.virtual_host.forget(&self.contents)
    }
}

/// A panic left the virtual hosts half changed, so the process ends and recovery takes over.
fn half_changed() -> ! {
    tracing::error!(
        "a thread panicked while it changed the virtual hosts; aborting so that recovery takes over"
    );
    std::process::abort()
}

fn check_name(what: &'static str, name: &str) -> Result<(), TopologyError> {
    let (bytes, max) = (name.len(), NAME_BYTES_MAX);
    match bytes > max {
        true => Err(TopologyError::TooLong { what, bytes, max }),
        false => Ok(()),
    }
}

fn check_settings(settings: &VirtualHostSettings) -> Result<(), TopologyError> {
    let tags = settings.tags.iter().map(String::len);
    let (bytes, max) = (
        tags.sum::<usize>().saturating_add(settings.description.len()),
        ARGUMENTS_BYTES_MAX,
    );
    match bytes > max {
        true => Err(TopologyError::TooLong {
            what: "description of a virtual host",
            bytes,
            max,
        }),
        false => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests;

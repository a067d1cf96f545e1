//! The connections that use a virtual host.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use firth_log::Commit;

use super::{TopologyError, VirtualHost};
use crate::ConnectionId;

/// A connection's part in a virtual host: it counts as one, and owns its exclusive queues, which end with it.
#[derive(Debug)]
pub struct VirtualHostConnection {
    id: ConnectionId,
    virtual_host: Arc<VirtualHost>,
    is_closed: bool,
}

impl VirtualHost {
    /// # Errors
    /// The virtual host was deleted, or has as many connections as it may have.
    pub fn connect(self: &Arc<VirtualHost>) -> Result<VirtualHostConnection, TopologyError> {
        // Locked, so that of two connections one is the last that is allowed.
        let contents = self.write()?;
        let max = contents.settings.max_connections;
        if let Some(max) = max.filter(|max| self.connection_count() >= *max) {
            return Err(TopologyError::TooManyConnections {
                virtual_host: self.name().to_string(),
                max,
            });
        }
        self.connections.fetch_add(1, Ordering::Relaxed);
        Ok(VirtualHostConnection {
            id: self.journal.connection_id(),
            virtual_host: self.clone(),
            is_closed: false,
        })
    }

    /// Deletes the exclusive queues of a connection, all together.
    fn disconnect(&self, connection: ConnectionId) -> Result<Commit, TopologyError> {
        self.connections.fetch_sub(1, Ordering::Relaxed);
        let mut contents = self.write()?;
        let queues = contents.exclusive_queues(connection);
        if queues.is_empty() {
            return Ok(Commit::done());
        }
        for queue in &queues {
            // Nobody minds that they are used.
            let _ = queue.delete(false, false);
        }
        let removal = contents.removal(queues, Vec::new(), Vec::new());
        self.remove(&mut contents, &removal)?;
        Ok(contents.commit.clone())
    }
}

impl VirtualHostConnection {
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    pub fn virtual_host(&self) -> &Arc<VirtualHost> {
        &self.virtual_host
    }

    /// Ends it. Whoever is told that the connection is closed finds its exclusive queues gone.
    pub fn close(mut self) -> Commit {
        self.end()
    }

    fn end(&mut self) -> Commit {
        if mem::replace(&mut self.is_closed, true) {
            return Commit::done();
        }
        match self.virtual_host.disconnect(self.id) {
            Ok(commit) => commit,
            Err(TopologyError::UnknownVirtualHost(_)) => Commit::done(),
            Err(error) => {
                tracing::error!(%error, virtual_host = %self.virtual_host.name(), "what a connection owned was removed in memory alone");
                Commit::done()
            }
        }
    }
}

impl Drop for VirtualHostConnection {
    fn drop(&mut self) {
        self.end();
    }
}

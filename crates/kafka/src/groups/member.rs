use std::sync::Arc;

use bytes::Bytes;

/// What stands for a parked request. The machine gives it back with the reply.
pub(crate) type Ticket = u64;

/// A deadline that never comes.
pub(super) const NEVER: u64 = u64::MAX;

/// A way to assign that a member knows, and what it tells the leader for that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Protocol {
    pub(crate) name: Arc<str>,
    pub(crate) metadata: Bytes,
}

#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// Of a static member (KIP-345).
    pub(crate) instance_id: Option<Arc<str>>,
    pub(crate) client_id: Arc<str>,
    pub(crate) client_host: Arc<str>,
    pub(crate) session_timeout_ms: i32,
    pub(crate) rebalance_timeout_ms: i32,
    /// The one it likes best first; no name twice.
    pub(crate) protocols: Vec<Protocol>,
    pub(crate) assignment: Bytes,
    /// It was not told its id yet, so it cannot send heartbeats.
    pub(super) is_new: bool,
    /// When its session ends, unless it is heard of before.
    pub(super) deadline_ms: u64,
    pub(super) joining: Option<Ticket>,
    pub(super) syncing: Option<Ticket>,
}

impl Member {
    /// Empty if it does not know the protocol.
    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|known| &*known.name == protocol);
        found.map_or_else(Bytes::new, |found| found.metadata.clone())
    }

    /// Who waits for a rebalance is alive for as long as that takes.
    pub(super) fn is_waiting(&self) -> bool {
        !self.is_new && (self.joining.is_some() || self.syncing.is_some())
    }

    /// Memory that it takes beside its id.
    pub(super) fn bytes(&self) -> usize {
        let texts = [&self.client_id, &self.client_host].map(|text| text.len());
        let instance_id = self.instance_id.as_ref().map_or(0, |id| id.len());
        let protocols = self.protocols.iter().map(Protocol::bytes);
        let parts = texts.into_iter().chain(protocols);
        let parts = parts.chain([instance_id, self.assignment.len(), size_of::<Member>()]);
        parts.fold(0, usize::saturating_add)
    }
}

impl Protocol {
    pub(super) fn bytes(&self) -> usize {
        size_of::<Protocol>()
            .saturating_add(self.name.len())
            .saturating_add(self.metadata.len())
    }
}

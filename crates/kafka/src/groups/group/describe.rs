//! What is told of a group to those who look at it.

use std::sync::Arc;

use bytes::Bytes;

use super::{Group, State};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Described {
    pub(crate) state: State,
    pub(crate) protocol_type: Option<Arc<str>>,
    /// Of a stable group.
    pub(crate) protocol: Option<Arc<str>>,
    pub(crate) members: Vec<DescribedMember>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DescribedMember {
    pub(crate) id: Arc<str>,
    pub(crate) instance_id: Option<Arc<str>>,
    pub(crate) client_id: Arc<str>,
    pub(crate) client_host: Arc<str>,
    /// Empty unless the group is stable.
    pub(crate) metadata: Bytes,
    /// While the group rebalances, that of the last generation.
    pub(crate) assignment: Bytes,
}

impl Group {
    pub(crate) fn id(&self) -> &Arc<str> {
        &self.id
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    pub(crate) fn protocol_type(&self) -> Option<&Arc<str>> {
        self.protocol_type.as_ref()
    }

    pub(crate) fn member_count(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn describe(&self) -> Described {
        let protocol = self.protocol.clone().filter(|_| self.state == State::Stable);
        let members = self.members.iter().map(|(id, member)| DescribedMember {
            id: id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            metadata: protocol
                .as_ref()
                .map_or_else(Bytes::new, |protocol| member.metadata(protocol)),
            assignment: member.assignment.clone(),
        });
        Described {
            state: self.state,
            protocol_type: self.protocol_type.clone(),
            members: members.collect(),
            protocol,
        }
    }
}

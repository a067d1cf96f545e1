//! A group as the log has it.

use std::sync::Arc;

use firth_broker::TopicId;

use super::{Group, State};
use crate::groups::member::{Member, Protocol};
use crate::groups::offsets::Committed;
use crate::groups::record::StoredGroup;

impl Group {
    /// The generation that was stored goes on. Its members have as long as their sessions last to be heard of.
    pub(crate) fn restore(&mut self, stored: StoredGroup, now_ms: u64) {
        self.is_stored = true;
        self.generation = stored.generation;
        self.since_ms = Some(stored.since_ms);
        self.protocol_type = stored.protocol_type;
        self.protocol = stored.protocol;
        self.leader = stored.leader;
        self.state = match stored.members.is_empty() {
            true => State::Empty,
            false => State::Stable,
        };
        for member in stored.members {
            let session_ms = u64::try_from(member.session_timeout_ms).unwrap_or(0);
            let protocol = self.protocol.clone().map(|name| Protocol {
                name,
                metadata: member.metadata,
            });
            let restored = Member {
                instance_id: member.instance_id,
                client_id: member.client_id,
                client_host: member.client_host,
                session_timeout_ms: member.session_timeout_ms,
                rebalance_timeout_ms: member.rebalance_timeout_ms,
                protocols: protocol.into_iter().collect(),
                assignment: member.assignment,
                is_new: false,
                deadline_ms: now_ms.saturating_add(session_ms),
                joining: None,
                syncing: None,
            };
            self.insert(Arc::clone(&member.id), restored);
        }
        self.subscribed = self.subscriptions();
    }

    pub(crate) fn restore_offset(&mut self, topic: TopicId, partition: i32, committed: Committed) {
        self.offsets.put(topic, partition, committed);
    }
}

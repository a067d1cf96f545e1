//! Offsets that nobody needs any more, and groups of which nothing is left.

use std::sync::Arc;

use firth_broker::TopicId;

use super::{Group, State};
use crate::groups::offsets::Committed;
use crate::groups::turn::Turn;

/// Since when an offset is not needed.
enum Since {
    Committed,
    /// In milliseconds since 1970.
    Time(i64),
}

impl Group {
    /// Deletes offsets whose time is over at `known_ms`, in milliseconds since 1970, and those of topics that are gone; then
    /// the group, if nobody is in it and none are left. Returns the number of offsets that were deleted.
    pub(crate) fn expire(
        &mut self,
        known_ms: i64,
        topic_name: &dyn Fn(TopicId) -> Option<Arc<str>>,
        turn: &mut Turn<'_>,
    ) -> usize {
        let since = self.not_needed_since();
        let mut gone = Vec::new();
        for (topic, partitions) in self.offsets.topics() {
            let name = topic_name(topic);
            let is_subscribed = name.as_ref().is_some_and(|name| self.is_subscribed_to(name));
            let is_expired = |committed: &Committed| match &since {
                Some(since) => !is_subscribed && is_over(committed, since, known_ms, turn),
                None => false,
            };
            let expired = partitions
                .iter()
                .filter(|(_, committed)| name.is_none() || is_expired(committed));
            gone.extend(expired.map(|(partition, _)| (topic, *partition)));
        }
        let mut removed = self.remove_offsets(&gone, turn);
        if self.state == State::Empty && self.offsets.is_empty() && self.pending.is_empty() {
            removed = removed.and_then(|()| self.delete_record(turn));
        }
        match removed {
            Ok(()) => gone.len(),
            Err(error) => {
                // The next look tries again.
                tracing::warn!(group = &*self.id, %error, "expired offsets are not removed");
                0
            }
        }
    }

    /// None while they are needed.
    fn not_needed_since(&self) -> Option<Since> {
        match (&self.protocol_type, self.state) {
            // Who assigns partitions itself is in no group that could tell whether it is still there.
            (None, _) => Some(Since::Committed),
            (Some(_), State::Empty) => Some(self.since_ms.map_or(Since::Committed, Since::Time)),
            (Some(_), State::Stable) if self.is_of_consumers() && self.subscribed.is_some() => {
                Some(Since::Committed)
            }
            (Some(_), _) => None,
        }
    }
}

fn is_over(committed: &Committed, since: &Since, known_ms: i64, turn: &Turn<'_>) -> bool {
    match (committed.expires_ms, since) {
        (Some(expires_ms), _) => known_ms >= expires_ms,
        (None, Since::Committed) => {
            known_ms.saturating_sub(committed.committed_ms) >= turn.settings.offsets_retention_ms
        }
        (None, Since::Time(since_ms)) => {
            known_ms.saturating_sub(*since_ms) >= turn.settings.offsets_retention_ms
        }
    }
}

//! A static member that comes back without the id it had (KIP-345).

use std::sync::Arc;

use firth_kafka_codec::ErrorCode;

use super::{Group, Join, State};
use crate::error;
use crate::groups::member::{Member, Ticket};
use crate::groups::record;
use crate::groups::turn::{Cause, Joined, Turn, Why};

impl Group {
    /// The member takes the place of the one with the same instance id. Where the group is stable and stays as it is, nobody
    /// else notices.
    pub(super) fn replace_static(&mut self, old_id: &Arc<str>, join: Join, turn: &mut Turn<'_>) {
        tracing::info!(
            group = &*self.id,
            instance = join.instance_id.as_deref(),
            old_member = &**old_id,
            member = &*join.new_id,
            "a static member takes its place again"
        );
        let (id, ticket) = (join.new_id.clone(), join.ticket);
        let (reason, may_skip_assignment) = (join.reason.clone(), join.may_skip_assignment);
        let before = (self.state == State::Stable).then(|| self.without_offsets());
        let replies = turn.replies.len();
        let old_leader = self.leader.clone();
        self.rename(old_id, &id, join, turn);
        let why = Why {
            cause: Cause::StaticMemberReplaced,
            member: &id,
            reason: reason.as_deref(),
        };
        match before {
            Some(before) if self.choose_protocol() == self.protocol => {
                if let Err(error) = self.store(turn) {
                    turn.replies.truncate(replies);
                    self.undo(before);
                    let error = error::of_state(&error, ErrorCode::GroupMaxSizeReached);
                    turn.joined(ticket, Joined::refused(Arc::from(""), error));
                    return;
                }
                self.answer_replaced(&id, old_leader, may_skip_assignment, turn);
            }
            Some(_) => self.rebalance_or_complete(why, turn),
            // The leader may have been told the old id, and would assign to that.
            None if self.state == State::CompletingRebalance => self.prepare_rebalance(why, turn),
            None => self.maybe_complete_join(turn),
        }
    }

    fn rename(&mut self, old_id: &Arc<str>, id: &Arc<str>, join: Join, turn: &mut Turn<'_>) {
        let was_leader = self.is_leader(old_id);
        let was_pending_sync = self.pending_sync.contains(old_id);
        let Some(old) = self.take(old_id) else { return };
        // Whoever still waits with the old id is fenced at once.
        self.answer_gone(&old, ErrorCode::FencedInstanceId, old_id.clone(), turn);
        let member = Member {
            joining: None,
            syncing: None,
            is_new: false,
            deadline_ms: turn.after(join.session_timeout_ms),
            client_id: join.client_id.clone(),
            client_host: join.client_host.clone(),
            ..old
        };
        self.insert(id.clone(), member);
        if was_leader {
            self.leader = Some(id.clone());
        }
        if was_pending_sync {
            self.pending_sync.insert(id.clone());
        }
        self.park_joining(id, join, turn);
    }

    fn answer_replaced(
        &mut self,
        id: &Arc<str>,
        old_leader: Option<Arc<str>>,
        may_skip_assignment: bool,
        turn: &mut Turn<'_>,
    ) {
        let mut reply = self.joined(id);
        if let Some(generation) = &mut reply.generation {
            if may_skip_assignment {
                generation.skip_assignment = self.is_leader(id);
            } else {
                // With the old leader's id it takes itself for a follower, and assigns nothing.
                generation.leader = old_leader;
                generation.members = Vec::new();
            }
        }
        let parked: Option<Option<Ticket>> = self.change(id, |member| member.joining.take());
        if let Some(ticket) = parked.flatten() {
            turn.joined(ticket, reply);
        }
    }

    /// A copy to go back to. Offsets are many, and are not changed meanwhile.
    fn without_offsets(&mut self) -> Group {
        let offsets = std::mem::take(&mut self.offsets);
        let copy = self.clone();
        self.offsets = offsets;
        copy
    }

    fn undo(&mut self, before: Group) {
        let offsets = std::mem::take(&mut self.offsets);
        *self = Group { offsets, ..before };
    }

    /// Stores the group as it is.
    pub(super) fn store(&mut self, turn: &mut Turn<'_>) -> Result<(), firth_broker::StateError> {
        let stored = record::group(&self.id, &self.stored(turn.now));
        (turn.journal)(&[stored])?;
        self.is_stored = true;
        Ok(())
    }
}

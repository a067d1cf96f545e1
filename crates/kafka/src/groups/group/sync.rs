//! SyncGroup and Heartbeat.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use firth_broker::StateError;
use firth_kafka_codec::ErrorCode;

use super::{Group, State};
use crate::error;
use crate::groups::member::{NEVER, Ticket};
use crate::groups::record;
use crate::groups::turn::{Cause, Synced, Turn, Why};

#[derive(Clone, Debug)]
pub(crate) struct Sync {
    pub(crate) ticket: Ticket,
    pub(crate) generation: i32,
    pub(crate) member_id: Arc<str>,
    pub(crate) instance_id: Option<Arc<str>>,
    /// What the member takes the group's for, if it says (KIP-559).
    pub(crate) protocol_type: Option<Arc<str>>,
    pub(crate) protocol: Option<Arc<str>>,
    /// By member id, from the leader.
    pub(crate) assignments: HashMap<Arc<str>, Bytes>,
}

impl Group {
    /// The reply comes with this turn or a later one.
    pub(crate) fn sync(&mut self, sync: Sync, turn: &mut Turn<'_>) {
        let checked = self.check_sync(&sync).and(match self.state {
            State::Empty => Err(ErrorCode::UnknownMemberId),
            State::PreparingRebalance => Err(ErrorCode::RebalanceInProgress),
            State::CompletingRebalance | State::Stable => Ok(()),
        });
        if let Err(error) = checked {
            turn.synced(sync.ticket, Synced::refused(error));
            return;
        }
        self.pending_sync.remove(&sync.member_id);
        if self.pending_sync.is_empty() {
            self.sync_deadline_ms = NEVER;
        }
        if self.state == State::Stable {
            let assignment = self
                .members
                .get(&sync.member_id)
                .map(|member| member.assignment.clone());
            let reply = self.synced(assignment.unwrap_or_default());
            turn.synced(sync.ticket, reply);
            return;
        }
        let parked = self.change(&sync.member_id, |member| member.syncing.replace(sync.ticket));
        if let Some(ticket) = parked.flatten() {
            // Its client has sent another one, on another connection.
            turn.synced(ticket, Synced::refused(ErrorCode::RebalanceInProgress));
        }
        if self.is_leader(&sync.member_id) {
            self.assign(&sync, turn);
        }
    }

    fn check_sync(&self, sync: &Sync) -> Result<(), ErrorCode> {
        self.check_member(&sync.member_id, sync.instance_id.as_deref())?;
        if sync.generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        let differs = |said: &Option<Arc<str>>, known: &Option<Arc<str>>| said.is_some() && said != known;
        if differs(&sync.protocol_type, &self.protocol_type) || differs(&sync.protocol, &self.protocol) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        Ok(())
    }

    /// The leader has assigned: once that is stored, it is what the members get.
    fn assign(&mut self, sync: &Sync, turn: &mut Turn<'_>) {
        match self.store_assignment(sync, turn) {
            Ok(()) => {
                self.is_stored = true;
                self.change_all(|id, member| {
                    member.assignment = sync.assignments.get(id).cloned().unwrap_or_default();
                });
                self.change_state(State::Stable, turn.now);
                let empty = self.synced(Bytes::new());
                self.answer_syncing(
                    |assignment| Synced {
                        assignment,
                        ..empty.clone()
                    },
                    turn,
                );
            }
            Err(error) => {
                tracing::warn!(group = &*self.id, generation = self.generation, %error, "an assignment is not stored");
                let error = error::of_state(&error, ErrorCode::GroupMaxSizeReached);
                self.refuse_assignment(error, turn);
                self.prepare_rebalance(Why::new(Cause::NotStored, &sync.member_id), turn);
            }
        }
    }

    fn store_assignment(&self, sync: &Sync, turn: &mut Turn<'_>) -> Result<(), StateError> {
        let mut stored = self.stored(turn.now);
        // It is stable from then on.
        stored.since_ms = turn.now.wall_ms;
        let mut bytes = 0_usize;
        for member in &mut stored.members {
            member.assignment = sync.assignments.get(&member.id).cloned().unwrap_or_default();
            bytes = bytes.saturating_add(member.assignment.len());
        }
        if bytes > turn.room {
            return Err(StateError::TooLarge {
                bytes,
                max: turn.room,
            });
        }
        (turn.journal)(&[record::group(&self.id, &stored)])
    }

    fn synced(&self, assignment: Bytes) -> Synced {
        Synced {
            error: ErrorCode::None,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment,
        }
    }

    pub(crate) fn heartbeat(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        turn: &Turn<'_>,
    ) -> ErrorCode {
        if let Err(error) = self.check_member(member_id, instance_id) {
            return error;
        }
        if generation != self.generation {
            return ErrorCode::IllegalGeneration;
        }
        self.hear_of(member_id, turn);
        match self.state {
            State::Empty => ErrorCode::UnknownMemberId,
            State::PreparingRebalance => ErrorCode::RebalanceInProgress,
            State::CompletingRebalance | State::Stable => ErrorCode::None,
        }
    }
}
